// MOVE of messages of which another server process has just taken some away (RFC 6851 3.3, 4.3; RFC 5530 EXPUNGEISSUED).
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { storages } from '../../support/imap-storages.js';
import { createImapWorld, type ImapWorld } from '../../support/imap-world.js';
import type { LineClient } from '../../support/line-client.js';

/** Two servers with nothing in common but the files: the first does not know what the second has done. INBOX has five messages. */
async function twoServers(test: TestContext): Promise<{ world: ImapWorld; own: LineClient; other: LineClient }> {
  const openUser = storages['maildir, each client apart']?.(test);
  assert.ok(openUser !== undefined);
  const world = await createImapWorld({ openUser });
  const { client: own } = await world.connect();
  for (let count = 1; count <= 5; count += 1) await own.ok(`APPEND INBOX (\\Seen) {16+}\r\nSubject: ${count}\r\n\r\nb\r`);
  await own.ok('CREATE Target');
  const { client: other } = await world.connect();
  for (const client of [own, other]) await client.ok('SELECT INBOX');
  return { world, own, other };
}

const subjects = (lines: readonly string[]): string[] => lines.flatMap((line) => /Subject: (\d)/.exec(line)?.[1] ?? []);

async function subjectsIn(client: LineClient, mailbox: string): Promise<string[]> {
  await client.ok(`EXAMINE ${mailbox}`);
  return subjects(await client.ok('FETCH 1:* BODY.PEEK[HEADER.FIELDS (SUBJECT)]'));
}

describe('MOVE, some messages gone', () => {
  for (const [form, command] of [
    ['MOVE', 'MOVE 1:4 Target'],
    ['UID MOVE', 'UID MOVE 1:4 Target'],
  ] as const) {
    it(`${form}: COPYUID of those moved, their EXPUNGEs, then NO [EXPUNGEISSUED]`, async (test) => {
      const { world, own, other } = await twoServers(test);
      await using _world = world;
      await other.ok('STORE 2:3 +FLAGS.SILENT (\\Deleted)');
      await other.ok('EXPUNGE');
      const reply = await own.run(command);
      const [copyUid = '', ...rest] = reply;
      assert.match(copyUid, /^\* OK \[COPYUID \d+ 1,4 1:2\]/, reply.join('\n'));
      assert.match(rest.at(-1) ?? '', /^NO \[EXPUNGEISSUED\]/);
      // Whatever their order, what is told leaves the client with message 5 alone.
      const left = [1, 2, 3, 4, 5];
      for (const line of rest.slice(0, -1)) {
        const [, seq] = /^\* (\d+) EXPUNGE$/.exec(line) ?? [];
        if (seq !== undefined) left.splice(Number(seq) - 1, 1);
      }
      // What others removed may be told with the next command.
      for (const line of await own.ok('NOOP')) {
        const [, seq] = /^\* (\d+) EXPUNGE$/.exec(line) ?? [];
        if (seq !== undefined) left.splice(Number(seq) - 1, 1);
      }
      assert.deepEqual(left, [5]);
      assert.deepEqual(await subjectsIn(own, 'Target'), ['1', '4']);
      assert.deepEqual(await subjectsIn(own, 'INBOX'), ['5']);
    });
  }

  it('all gone: NO [EXPUNGEISSUED], and nothing is in the target', async (test) => {
    const { world, own, other } = await twoServers(test);
    await using _world = world;
    await other.ok('STORE 1:5 +FLAGS.SILENT (\\Deleted)');
    await other.ok('EXPUNGE');
    const reply = await own.run('MOVE 1:5 Target');
    assert.match(reply.at(-1) ?? '', /^NO \[EXPUNGEISSUED\]/);
    assert.doesNotMatch(reply.join('\n'), /COPYUID/);
    assert.match((await own.ok('STATUS Target (MESSAGES)')).join('\n'), /MESSAGES 0\)/);
  });

  it('two servers move the same messages at once: each arrives once', async (test) => {
    const { world, own, other } = await twoServers(test);
    await using _world = world;
    const replies = await Promise.all([own.run('MOVE 1:5 Target'), other.run('MOVE 1:5 Target')]);
    for (const reply of replies) assert.match(reply.at(-1) ?? '', /^(OK|NO \[EXPUNGEISSUED\])/, reply.join('\n'));
    assert.deepEqual((await subjectsIn(own, 'Target')).sort(), ['1', '2', '3', '4', '5']);
  });
});
