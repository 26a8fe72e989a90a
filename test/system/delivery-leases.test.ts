// An administrator moves a user while messages for him come in on one connection (docs/authentication.md, "What is remembered").
import assert from 'node:assert/strict';
import { readdirSync, renameSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { LineClient } from '../support/line-client.js';
import { patienceMs } from '../support/patience.js';
import { startRoost } from '../support/running-roost.js';

async function reply(client: LineClient): Promise<string> {
  for (;;) {
    const line = (await client.line()) ?? 'closed';
    if (line[3] !== '-') return line;
  }
}

async function say(client: LineClient, line: string, wanted: RegExp): Promise<void> {
  client.raw(`${line}\r\n`);
  assert.match(await reply(client), wanted, line);
}

describe('A message for a user whose home has changed', () => {
  for (const protocol of ['lmtp', 'smtp'] as const) {
    for (const whose of [[], ['alice']]) {
      it(`goes to the new home after ${['auth', 'cache', 'flush', ...whose].join(' ')} (${protocol})`, async () => {
        await using roost = await startRoost({ protocols: [protocol] });
        const home = (name: string): string => join(roost.folder, 'mail', name);
        const count = (name: string): number => readdirSync(join(home(name), 'Maildir', 'new')).length;
        const client = new LineClient(connect(roost.ports[protocol], '127.0.0.1'), patienceMs);
        const deliver = async (): Promise<void> => {
          await say(client, 'MAIL FROM:<s@example.com>', /^250 /);
          await say(client, 'RCPT TO:<alice>', /^250 /);
          await say(client, 'DATA', /^354 /);
          await say(client, 'Subject: x\r\n\r\ntext\r\n.', /^250 /);
        };
        assert.match(await reply(client), /^220 /);
        await say(client, protocol === 'lmtp' ? 'LHLO test' : 'EHLO test', /^250 /);
        await deliver();
        await deliver();
        assert.equal(count('alice'), 2);
        const users = join(roost.folder, 'users');
        writeFileSync(`${users}.new`, `alice:{PLAIN}secret::::${home('elsewhere')}::\n`, { mode: 0o644 });
        renameSync(`${users}.new`, users);
        const flush = await roost.admin(['auth', 'cache', 'flush', ...whose]);
        assert.deepEqual([flush.code, flush.stdout], [0, '0 cache entries flushed\n'], flush.stderr);
        await deliver();
        assert.deepEqual([count('alice'), count('elsewhere')], [2, 1]);
        client.close();
      });
    }
  }
});
