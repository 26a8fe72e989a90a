// mutt and neomutt, driven by keys that are pushed at their start.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { accountState, ImapClient } from '../support/imap.js';
import { makeMessage } from '../support/mail.js';
import { mustRun, requireProgram } from '../support/programs.js';
import { contents, fillAccount, type Session, startSession } from '../support/session.js';
import { password } from '../support/world.js';

type Program = 'mutt' | 'neomutt';

/** Runs it on the inbox until the keys are through and it has ended. @returns the commands it has sent, as it has logged them */
async function runMutt(
  program: Program,
  { world, folder }: Session,
  keys: readonly string[],
  settings: readonly string[],
): Promise<string> {
  const url = `imap://anna@127.0.0.1:${world.ports.imap}`;
  const rc = join(folder, 'muttrc');
  writeFileSync(
    rc,
    `set imap_pass = ${password}
set ssl_starttls = no
set ssl_force_tls = no
set folder = ${url}/
set spoolfile = ${url}/INBOX
set delete = yes
set confirmappend = no
set confirmcreate = no
set move = no
set wait_key = no
set mark_old = no
set sort = mailbox-order
${settings.join('\n')}
`,
  );
  await mustRun('script', ['-qec', `${program} -d 3 -F ${rc} -e 'push "${keys.join('')}"'`, '/dev/null'], {
    env: { HOME: folder, TERM: 'xterm' },
  });
  const log = readFileSync(join(folder, `.${program}debug0`), 'latin1').split('\n');
  return log.filter((line) => /> a\d+ (?!LOGIN|AUTHENTICATE)/.test(line)).join('\n');
}

/** Keys that do something with the messages a pattern matches. */
function onEach(pattern: string, command: string): string {
  return `<tag-pattern>${pattern}<enter><tag-prefix>${command}<untag-pattern>~A<enter>`;
}

function lineOf(flags: string, text: string): string {
  return `${flags} ${createHash('sha1').update(Buffer.from(text, 'latin1')).digest('hex')}`;
}

/** `FLAGS sha1` of each message in a local Maildir, sorted; without the lines mutt adds to a copy. */
function localLines(maildir: string): readonly string[] {
  return ['cur', 'new']
    .filter((sub) => existsSync(join(maildir, sub)))
    .flatMap((sub) => readdirSync(join(maildir, sub)).map((name) => [name, readFileSync(join(maildir, sub, name), 'latin1')] as const))
    .map(([name, text]) =>
      lineOf(
        /:2,([A-Z]*)/.exec(name)?.[1] ?? '',
        text.replace(/^(?:Status|Content-Length|Lines): .*\r?\n/gm, '').replace(/\r?\n/g, '\r\n'),
      ),
    )
    .sort();
}

for (const program of ['mutt', 'neomutt'] as const) {
  describe(`${program} with Roost`, () => {
    it('opens the mailbox, copies, flags and deletes messages', async (test) => {
      requireProgram(program);
      const session = await startSession(test);
      const { world, server } = session;
      await fillAccount(world);
      const keys = [
        onEach('~s two', '<copy-message>=Work<enter>'),
        onEach('~s four', '<delete-message>'),
        onEach('~s five', '<flag-message>'),
        onEach('~s one', '<save-message>=Archive<enter>'),
        '<sync-mailbox><exit>',
      ];
      await runMutt(program, session, keys, ['set header_cache =']);
      const { mailboxes } = await accountState(world.ports.imap, 'anna');
      assert.deepEqual(
        mailboxes['INBOX']?.messages.map(({ uid }) => uid),
        [2, 3, 5],
      );
      assert.ok(mailboxes['INBOX']?.messages.at(-1)?.flags.includes('\\Flagged'));
      assert.equal(mailboxes['Work']?.messages.length, 3);
      assert.equal(mailboxes['Archive']?.messages.length, 1);
      assert.doesNotMatch(server.log(), /"level":"(error|fatal)"/);
    });

    for (const way of ['qresync', 'condstore'] as const) {
      it(`keeps its header cache up to date by ${way.toUpperCase()}, with changes on both sides`, async (test) => {
        requireProgram(program);
        const session = await startSession(test);
        const { world, folder, server } = session;
        await fillAccount(world);
        mkdirSync(join(folder, 'cache'));
        const settings = [
          `set header_cache = ${folder}/cache/`,
          'set imap_condstore = yes',
          `set imap_qresync = ${way === 'qresync' ? 'yes' : 'no'}`,
          'set mbox_type = Maildir',
        ];
        const copyAll = (name: string): string => onEach('~A', `<copy-message>${join(folder, name)}<enter>`);
        const first = await runMutt(program, session, [copyAll('first'), '<exit>'], settings);
        assert.match(first, /> a\d+ (?:UID )?FETCH 1:5 \(.*BODY\.PEEK\[HEADER/);
        assert.deepEqual(
          localLines(join(folder, 'first')),
          ['S', '', 'F', 'RS', ''].map((flags, index) => lineOf(flags, contents[index] ?? '')).sort(),
        );

        const client = await ImapClient.login(world.ports.imap, 'anna');
        const news = makeMessage({ subject: 'made there' });
        await client.ok('SELECT INBOX');
        await client.ok('UID STORE 2 +FLAGS.SILENT (\\Answered \\Seen)');
        await client.ok('UID STORE 3 -FLAGS.SILENT (\\Flagged)');
        await client.ok('UID STORE 4 +FLAGS.SILENT (\\Deleted)');
        await client.ok('UID EXPUNGE 4');
        await client.append('INBOX', '\\Flagged', news);
        await client.logout();

        const second = await runMutt(
          program,
          session,
          [copyAll('second'), onEach('~s five', '<flag-message>'), onEach('~s one', '<delete-message>'), '<sync-mailbox><exit>'],
          settings,
        );
        if (way === 'qresync') assert.match(second, /UID FETCH 1:5 \(FLAGS\) \(CHANGEDSINCE \d+ VANISHED\)/);
        else assert.match(second, /FETCH 1:\d+ \(.*\) \(CHANGEDSINCE \d+\)/);
        assert.doesNotMatch(second, /FETCH 1[:,]\S* \(.*BODY\.PEEK\[HEADER/, 'no header a second time');
        const copied: readonly (readonly [string, string | undefined])[] = [
          ['S', contents[0]],
          ['RS', contents[1]],
          ['', contents[2]],
          ['', contents[4]],
          ['F', news],
        ];
        assert.deepEqual(localLines(join(folder, 'second')), copied.map(([flags, text]) => lineOf(flags, text ?? '')).sort());
        const { mailboxes } = await accountState(world.ports.imap, 'anna');
        assert.deepEqual(
          mailboxes['INBOX']?.messages.map(({ uid, flags }) => `${uid} ${flags.join(' ')}`),
          ['2 \\Answered \\Seen', '3 ', '5 \\Flagged', '6 \\Flagged'],
        );

        await runMutt(program, session, [copyAll('third'), '<exit>'], settings);
        const left = copied.slice(1).map(([flags, text]) => lineOf(text === contents[4] ? 'F' : flags, text ?? ''));
        assert.deepEqual(localLines(join(folder, 'third')), left.sort());
        assert.doesNotMatch(server.log(), /"level":"(error|fatal)"/);
      });
    }
  });
}
