// Every way to say where mail lies: Dovecot makes an account there, Roost serves and changes it, and Dovecot takes it back.
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { accountState, ImapClient, quote, stateLines } from './support/imap.js';
import { deliver, makeMessage, makeMultipart } from './support/mail.js';
import { type RunningServer, type ServerName, startServer } from './support/servers.js';
import { makeWorld, type World } from './support/world.js';

interface Place {
  readonly location: string;
  readonly namespaces?: string;
  /** Paths below the home that both have to use. */
  readonly paths: readonly string[];
}

const everyKey = 'INBOX=~/Inbox:CONTROL=~/control/%n:INDEX=~/index:SUBSCRIPTIONS=wanted';

const places: readonly Place[] = [
  { location: 'maildir:~/Mail', paths: ['Mail/cur', 'Mail/.a.b/cur', 'Mail/subscriptions'] },
  {
    location: `maildir:~/Mail:${everyKey}`,
    paths: ['Inbox/cur', 'Mail/.a.b/cur', 'control/anna/.a.b/dovecot-uidlist', 'control/anna/wanted'],
  },
  { location: 'maildir:~/Mail:UTF-8', paths: ['Mail/.Entwürfe.x/cur'] },
  { location: 'maildir:~/Mail:INDEX=MEMORY', paths: ['Mail/.a.b/cur'] },
  { location: 'maildir:~/Mail:LAYOUT=fs', paths: ['Mail/cur', 'Mail/a/b/cur', 'Mail/subscriptions'] },
  {
    location: `maildir:~/Mail:LAYOUT=fs:${everyKey}`,
    paths: ['Inbox/cur', 'Mail/a/b/cur', 'control/anna/a/b/dovecot-uidlist', 'control/anna/wanted'],
  },
  { location: 'maildir:~/Mail:LAYOUT=fs:DIRNAME=mAiL', paths: ['Mail/a/mAiL/cur', 'Mail/a/b/mAiL/cur'] },
  { location: `maildir:~/Mail:LAYOUT=fs:DIRNAME=mAiL:${everyKey}`, paths: ['Inbox/cur', 'Mail/a/b/mAiL/cur', 'control/anna/wanted'] },
  { location: 'maildir:~/Mail:LAYOUT=fs:FULLDIRNAME=mAiL', paths: ['Mail/a/mAiL/cur', 'Mail/a/b/mAiL/cur'] },
  // Dovecot finds no INBOX there unless it is told where.
  { location: 'maildir:~/Mail:LAYOUT=fs:MAILBOXDIR=boxes:INBOX=~/Inbox', paths: ['Mail/boxes/a/b/cur'] },
  { location: 'maildir:~/Mail:LAYOUT=fs:UTF-8', paths: ['Mail/Entwürfe/x/cur'] },
  {
    location: 'maildir:~/Mail',
    namespaces: 'namespace old {\n  prefix = mail/\n  separator = /\n  hidden = yes\n  list = no\n  alias_for =\n}\n',
    paths: ['Mail/.a.b/cur'],
  },
];

async function serve(test: TestContext, name: ServerName, world: World): Promise<RunningServer> {
  const server = await startServer(name, world);
  test.after(() => server.stop());
  return server;
}

async function make(world: World): Promise<void> {
  await deliver(world, 'anna', makeMessage({ subject: 'delivered' }));
  const client = await ImapClient.login(world.ports.imap, 'anna');
  await client.append('INBOX', '\\Seen Work', makeMultipart('multi', 3_000));
  for (const name of ['a', 'a/b', 'gone', 'Entw&APw-rfe/x']) {
    await client.ok(`CREATE ${quote(name)}`);
    await client.append(name, '\\Flagged $Label1', makeMessage({ subject: `in ${name}` }));
    await client.append(name, '', makeMessage({ subject: `second in ${name}` }));
  }
  for (const name of ['a/b', 'Entw&APw-rfe/x', 'gone']) await client.ok(`SUBSCRIBE ${quote(name)}`);
  await client.ok('SELECT a');
  await client.ok('STORE 1 +FLAGS.SILENT (\\Deleted)');
  await client.ok('EXPUNGE');
  await client.logout();
}

async function change(world: World): Promise<void> {
  await deliver(world, 'anna', makeMessage({ subject: 'delivered by the other' }));
  const client = await ImapClient.login(world.ports.imap, 'anna');
  await client.append('a/b', '\\Seen Work', makeMessage({ subject: 'appended' }));
  await client.ok('SELECT INBOX');
  await client.ok('COPY 1:2 a');
  await client.ok('MOVE 1 Entw&APw-rfe/x');
  await client.ok('CREATE r/s/t');
  await client.ok('SUBSCRIBE r/s/t');
  await client.ok('RENAME a/b z');
  await client.ok('DELETE gone');
  await client.ok('UNSUBSCRIBE gone');
  await client.logout();
}

/** The same mailboxes by their other names. */
async function aliases(world: World): Promise<string[]> {
  const client = await ImapClient.login(world.ports.imap, 'anna');
  const lines: string[] = [];
  for (const name of ['mail/a', 'mail/Entw&APw-rfe/x']) {
    const { uidValidity, uidNext, messages } = await client.mailboxState(name);
    lines.push(`${name}: ${uidValidity} ${uidNext} ${messages.map(({ uid, flags }) => `${uid} ${flags.join('+')}`).join()}`);
  }
  lines.push((await client.mailboxNames('LIST "" "*"')).join(), (await client.mailboxNames('LIST "" "mail/*"')).join());
  await client.ok('SUBSCRIBE mail/a');
  lines.push((await client.mailboxNames('LSUB "" "*"')).join());
  await client.ok('UNSUBSCRIBE mail/a');
  lines.push((await client.mailboxNames('LSUB "" "*"')).join());
  await client.logout();
  return lines;
}

describe('A Maildir of Dovecot at', () => {
  for (const { location, namespaces, paths } of places)
    it(`${location}${namespaces === undefined ? '' : ', with an alias of its namespace,'} is the same for Roost, and for Dovecot again after Roost changed it`, async (test) => {
      const world = await makeWorld({ extra: `mail_location = ${location}\n${namespaces ?? ''}` });
      test.after(() => world.remove());
      const problems: string[] = [];
      /** What the account looked like before and after the work. */
      const inTurn = async (name: ServerName, work: (world: World) => Promise<void>): Promise<readonly (readonly string[])[]> => {
        const server = await serve(test, name, world);
        const before = work === make ? [] : stateLines(await accountState(world.ports.imap, 'anna'));
        await work(world);
        const after = stateLines(await accountState(world.ports.imap, 'anna'));
        const others = namespaces === undefined ? [] : await aliases(world);
        await server.stop();
        const log = server.log().split('\n');
        problems.push(
          ...log.filter((line) => /Error|Panic|Fatal|Warning/.test(line) && !/Killed with signal 15|Known settings/.test(line)),
        );
        return [before, after, others];
      };
      const [, made] = await inTurn('dovecot', make);
      const home = readdirSync(world.home('anna'), { recursive: true }).join('\n');
      for (const path of paths) assert.ok(existsSync(join(world.home('anna'), path)), `Dovecot did not make ${path} but\n${home}`);
      const [seen, changed, aliasesOfRoost] = await inTurn('roost', change);
      assert.deepEqual(seen, made, 'what Roost sees of what Dovecot made');
      const [seenAgain, , aliasesOfDovecot] = await inTurn('dovecot', async () => undefined);
      assert.deepEqual(seenAgain, changed, 'what Dovecot sees of what Roost changed');
      assert.deepEqual(aliasesOfRoost, aliasesOfDovecot, 'by their other names');
      assert.deepEqual(problems, []);
    });
});
