// A Maildir that another program keeps locked: the client hears so once the time is over, and the session goes on.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { makeStore } from '../../storage/support/store-world.js';
import { mailConfig } from '../../support/imap-storages.js';
import { createImapWorld } from '../../support/imap-world.js';
import type { LineClient } from '../../support/line-client.js';

const lockTimeoutMs = 100;
const append = 'APPEND INBOX {15+}\r\nSubject: a\r\n\r\nb';

interface Locked {
  readonly client: LineClient;
  readonly maildir: string;
  lock(folder?: string, file?: string): void;
  unlock(folder?: string, file?: string): void;
  [Symbol.asyncDispose](): Promise<void>;
}

/** INBOX with three messages, and `Other`; the locks are those of a process that lives. */
async function world(test: TestContext): Promise<Locked> {
  const store = makeStore(test, `mail_max_lock_timeout = ${lockTimeoutMs} ms\n${mailConfig}`);
  const maildir = join(store.folder, 'home', 'bob', 'Maildir');
  const imap = await createImapWorld({ openUser: () => store.open() });
  const { client } = await imap.connect();
  for (let count = 0; count < 3; count += 1) await client.ok(append);
  await client.ok('CREATE Other');
  await client.ok('SELECT Other');
  await client.ok('SELECT INBOX');
  const owner = spawn('sleep', ['300'], { stdio: 'ignore' });
  await once(owner, 'spawn');
  const pathOf = (folder = '', file = 'dovecot-uidlist'): string => join(maildir, folder, `${file}.lock`);
  return {
    client,
    maildir,
    lock: (folder, file) => writeFileSync(pathOf(folder, file), `${owner.pid}:${hostname()}`),
    unlock: (folder, file) => rmSync(pathOf(folder, file)),
    async [Symbol.asyncDispose]() {
      const ended = once(owner, 'exit');
      owner.kill('SIGKILL');
      await ended;
      await imap[Symbol.asyncDispose]();
    },
  };
}

describe('A mailbox that another process keeps locked', () => {
  for (const [command, folder] of [
    [append, ''],
    ['COPY 1:2 Other', '.Other'],
    ['MOVE 1:2 Other', '.Other'],
  ] as const) {
    it(`${command.split(' ')[0]}: NO [INUSE], nothing is done, and it works when the lock is gone`, async (test) => {
      await using locked = await world(test);
      const { client } = locked;
      locked.lock(folder);
      const startMs = performance.now();
      const refused = await client.run(command);
      assert.match(refused.at(-1) ?? '', /^NO \[INUSE\] Mailbox is in use by another process/);
      assert.equal(refused.length, 1, refused.join('\n'));
      assert.ok(performance.now() - startMs >= lockTimeoutMs - 1, 'it was waited for');
      assert.ok(existsSync(join(locked.maildir, folder, 'dovecot-uidlist.lock')), 'the lock of a living process stays');
      // What needs no lock goes on.
      assert.match((await client.ok('FETCH 1:* (UID)')).join('\n'), /^\* 1 .*\n\* 2 .*\n\* 3 FETCH \(UID 3\)$/);
      assert.match((await client.ok('STATUS Other (MESSAGES)')).join('\n'), /MESSAGES 0\)/);
      locked.unlock(folder);
      await client.ok(command);
    });
  }

  for (const [command, folder, file] of [
    ['SUBSCRIBE Other', '', 'subscriptions'],
    // The mailbox must not be left without its use.
    ['CREATE Gone (USE (\\Sent))', '', 'roost-special-use'],
  ] as const) {
    it(`${command}, ${file} locked: NO [INUSE] after mail_max_lock_timeout, and it works when the lock is gone`, async (test) => {
      await using locked = await world(test);
      const { client } = locked;
      client.maxWaitMs = 20_000;
      locked.lock(folder, file);
      const startMs = performance.now();
      assert.match((await client.run(command)).at(-1) ?? '', /^NO \[INUSE\]/);
      assert.ok(performance.now() - startMs >= lockTimeoutMs - 1, 'it was waited for');
      locked.unlock(folder, file);
      await client.ok(command);
    });
  }

  it('commands that need no UID are served: FETCH, STORE, EXPUNGE, NOOP', async (test) => {
    await using locked = await world(test);
    const { client } = locked;
    locked.lock();
    await client.ok('FETCH 1 BODY[]');
    await client.ok('STORE 1 +FLAGS (\\Deleted)');
    await client.ok('NOOP');
    assert.match((await client.ok('EXPUNGE')).join('\n'), /\* 1 EXPUNGE/);
  });

  it('news that need a UID: no command hangs, each ends with OK or NO [INUSE], and they come when the lock is gone', async (test) => {
    await using locked = await world(test);
    const { client } = locked;
    locked.lock();
    writeFileSync(join(locked.maildir, 'new', '1700000000.foreign.host'), 'Subject: x\r\n\r\ny\r\n');
    for (const command of ['NOOP', 'CHECK', 'STATUS INBOX (MESSAGES)', 'EXAMINE INBOX', 'SELECT INBOX']) {
      assert.match((await client.run(command)).at(-1) ?? '', /^(OK |NO \[INUSE\])/, command);
    }
    locked.unlock();
    assert.match((await client.ok('SELECT INBOX')).join('\n'), /^\* 4 EXISTS/m);
  });
});
