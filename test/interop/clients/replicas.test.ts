// Libraries that keep a copy of a mailbox over several sessions: each is told what has changed since the last, all of it and no more.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { accountState, ImapClient } from '../support/imap.js';
import { makeMessage } from '../support/mail.js';
import { mustRun, requireProgram } from '../support/programs.js';
import { checkout } from '../support/servers.js';
import { fillAccount, startSession } from '../support/session.js';
import { password } from '../support/world.js';

const scripts = join(checkout, 'test/interop/clients');

/** Every message of the inbox as a script prints it: `UID (flags) length:sha1`. */
async function inboxLines(port: number): Promise<readonly string[]> {
  const { mailboxes } = await accountState(port, 'anna');
  return mailboxes['INBOX']?.messages.map(({ uid, flags, body }) => `${uid} (${flags.join(' ')}) ${body}`) ?? [];
}

/** Flags set and taken away, a message moved, one expunged, two new ones. */
async function changeElsewhere(port: number): Promise<void> {
  const client = await ImapClient.login(port, 'anna');
  await client.ok('SELECT INBOX');
  await client.ok('UID STORE 1 +FLAGS.SILENT (\\Flagged $Label1)');
  await client.ok('UID STORE 3 -FLAGS (\\Flagged)');
  await client.ok('UID MOVE 4 Work');
  await client.ok('UID STORE 5 +FLAGS (\\Deleted)');
  await client.ok('UID EXPUNGE 5');
  await client.append('INBOX', '\\Draft', makeMessage({ subject: 'made there' }));
  await client.append('INBOX', '', makeMessage({ subject: 'also there', body: 'two\nlines' }));
  await client.logout();
}

for (const [name, program, script] of [
  ["Python's imaplib", 'python3', 'replica.py'],
  ["Perl's Mail::IMAPClient", 'perl', 'replica-imapclient.pl'],
  ["Perl's Mail::IMAPTalk", 'perl', 'replica-imaptalk.pl'],
] as const) {
  describe(`${name} with Roost`, () => {
    it('keeps a copy of the inbox, changed on both sides, by CONDSTORE and QRESYNC', async (test) => {
      requireProgram(program);
      const { world, folder, server } = await startSession(test);
      await fillAccount(world);
      const { imap } = world.ports;
      const sync = async (what: 'pull' | 'push'): Promise<readonly string[]> =>
        (await mustRun(program, [join(scripts, script), String(imap), 'anna', password, join(folder, 'copy'), what])).trim().split('\n');
      assert.deepEqual(await sync('pull'), ['told 1,2,3,4,5 gone ', ...(await inboxLines(imap))]);
      await changeElsewhere(imap);
      const changed = await inboxLines(imap);
      assert.deepEqual(
        changed.map((line) => line.replace(/ [^ ]*$/, '')),
        ['1 ($Label1 \\Flagged \\Seen)', '2 ()', '3 ()', '6 (\\Draft)', '7 ()'],
      );
      assert.deepEqual(await sync('push'), ['told 1,3,6,7 gone 4,5', ...changed]);
      const pushed = await inboxLines(imap);
      assert.deepEqual(
        pushed.map((line) => line.replace(/ [^ ]*$/, '')),
        ['2 (\\Answered here)', '3 ()', '6 (\\Draft)', '7 ()', '8 (\\Seen)'],
      );
      assert.deepEqual(await sync('pull'), ['told 2,8 gone 1', ...pushed]);
      assert.deepEqual(await sync('pull'), ['told  gone ', ...pushed], 'nothing has changed since');
      assert.doesNotMatch(server.log(), /"level":"(error|fatal)"/);
    });
  });
}
