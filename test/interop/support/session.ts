// A Roost with a little mail in it, for a test of one client program.
import { chmodSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { ImapClient } from './imap.js';
import { makeMessage, makeMultipart } from './mail.js';
import { type RunningServer, startServer } from './servers.js';
import { makeWorld, type World, type WorldOptions } from './world.js';

export interface Session {
  readonly world: World;
  readonly server: RunningServer;
  /** A folder for the client's own files. */
  readonly folder: string;
}

/** Ends with the test. */
export async function startSession(test: TestContext, options: WorldOptions = {}): Promise<Session> {
  const world = await makeWorld(options);
  test.after(() => world.remove());
  const server = await startServer('roost', world);
  test.after(() => server.stop());
  const folder = world.makeFolder('client');
  chmodSync(folder, 0o777);
  return { world, server, folder };
}

export const contents: readonly string[] = [
  makeMessage({ subject: 'one' }),
  makeMessage({ subject: 'two', body: 'Gr\xc3\xbc\xc3\x9fe\n.dot\n..two dots\nFrom here' }),
  makeMultipart('three', 40_000),
  makeMessage({ subject: 'four', body: 'x'.repeat(900) }),
  makeMessage({ subject: 'five', body: '' }),
];

/** Five messages in the inbox, two in Work, one in a folder with an umlaut. */
export async function fillAccount(world: World, user = 'anna'): Promise<void> {
  const client = await ImapClient.login(world.ports.imap, user);
  const flags = ['\\Seen', '', '\\Flagged', '\\Seen \\Answered', ''];
  for (const [index, message] of contents.entries())
    await client.append('INBOX', flags[index] ?? '', message, `0${index + 1}-Mar-2024 10:00:00 +0000`);
  await client.ok('CREATE Work');
  await client.ok('CREATE "B&APw-cher"');
  for (const name of ['Work', 'B&APw-cher']) await client.ok(`SUBSCRIBE "${name}"`);
  await client.append('Work', '\\Seen', makeMessage({ subject: 'work one' }));
  await client.append('Work', '', makeMessage({ subject: 'work two' }));
  await client.append('B&APw-cher', '', makeMessage({ subject: 'book' }));
  await client.logout();
}
