// Programs that fetch mail: each takes what is in the account, octet by octet.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { accountState, ImapClient } from '../support/imap.js';
import { makeMessage } from '../support/mail.js';
import { mustRun, requireProgram, runProgram } from '../support/programs.js';
import { contents, fillAccount, startSession } from '../support/session.js';
import { password } from '../support/world.js';

/** Hash of a message whatever its line ends and empty lines are (getmail adds one to a multipart), without what the program has put on top. */
function bodyHash(text: string): string {
  const from = text.indexOf('From: ');
  return createHash('sha1')
    .update(
      Buffer.from(
        text
          .slice(from)
          .replace(/^X-getmail.*\r?\n/gim, '')
          .replace(/(\r?\n)+/g, '\n')
          .trimEnd(),
        'latin1',
      ),
    )
    .digest('hex');
}

const expected = contents.map(bodyHash).sort();

function maildirHashes(maildir: string): string[] {
  return ['cur', 'new']
    .flatMap((folder) => readdirSync(join(maildir, folder)).map((name) => bodyHash(readFileSync(join(maildir, folder, name), 'latin1'))))
    .sort();
}

/** One message goes, one has its flags changed, one comes. @returns the one that came */
async function changeRemotely(port: number): Promise<string> {
  const client = await ImapClient.login(port, 'anna');
  const later = makeMessage({ subject: 'later' });
  await client.ok('SELECT INBOX');
  await client.ok('STORE 2 +FLAGS (\\Deleted)');
  await client.ok('EXPUNGE');
  await client.ok('STORE 1 +FLAGS (\\Flagged)');
  await client.append('INBOX', '', later);
  await client.logout();
  return later;
}

function makeMaildir(path: string): string {
  for (const folder of ['cur', 'new', 'tmp']) mkdirSync(join(path, folder), { recursive: true });
  return path;
}

describe('curl with Roost', () => {
  for (const protocol of ['imap', 'imaps'] as const) {
    it(`reads, searches, appends and changes flags over ${protocol}`, async (test) => {
      const { world, folder } = await startSession(test);
      await fillAccount(world);
      const url = `${protocol}://127.0.0.1:${world.ports[protocol]}`;
      const curl = (path: string, ...args: readonly string[]): Promise<string> =>
        mustRun('curl', ['-sSk', '--max-time', '20', '-u', `anna:${password}`, `${url}/${path}`, ...args]);
      for (const [index, content] of contents.entries()) assert.equal(await curl(`INBOX;UID=${index + 1}`), content);
      assert.match(await curl('INBOX?SUBJECT%20two'), /^\* SEARCH 2\r?$/m);
      assert.match(await curl(''), /^\* LIST .* (?:"Work"|Work)\r?$/m);
      writeFileSync(join(folder, 'message'), contents[3] ?? '');
      await curl('Work', '-T', join(folder, 'message'));
      assert.match(await curl('INBOX', '-X', 'STORE 2 +FLAGS (\\Flagged $Label1)'), /FETCH \(.*\\Flagged/);
      const state = await accountState(world.ports.imap, 'anna');
      assert.equal(state.mailboxes['Work']?.messages.length, 3);
      assert.deepEqual(state.mailboxes['INBOX']?.messages[1]?.flags, ['$Label1', '\\Flagged', '\\Seen']);
    });
  }

  for (const protocol of ['pop3', 'pop3s'] as const) {
    it(`lists, reads and deletes over ${protocol}`, async (test) => {
      const { world } = await startSession(test);
      await fillAccount(world);
      const url = `${protocol}://127.0.0.1:${world.ports[protocol]}`;
      const curl = (path: string, ...args: readonly string[]): Promise<string> =>
        mustRun('curl', ['-sSk', '--max-time', '20', '-u', `anna:${password}`, `${url}/${path}`, ...args]);
      assert.deepEqual(
        (await curl('')).trim().split('\r\n'),
        contents.map((content, index) => `${index + 1} ${content.length}`),
      );
      for (const [index, content] of contents.entries()) assert.equal(await curl(String(index + 1)), content);
      await curl('2', '-X', 'DELE', '--head');
      assert.equal((await curl('')).trim().split('\r\n').length, 4);
    });
  }

  it('is refused with a wrong password', async (test) => {
    const { world } = await startSession(test);
    const { code } = await runProgram('curl', [
      '-sS',
      '--max-time',
      '20',
      '-u',
      'anna:wrong',
      `imap://127.0.0.1:${world.ports.imap}/INBOX`,
    ]);
    assert.equal(code, 67, 'CURLE_LOGIN_DENIED');
  });
});

/**
 * getmail asks for SIGCHLD only after it has started the process that delivers a message, and gives up after 60 s when that one was quicker
 * (getmailcore/baseclasses.py, ForkingBase.forkchild). Here it waits for the process itself.
 */
const getmailScript = `
import os, runpy, sys
from getmailcore.baseclasses import ForkingBase
ForkingBase._prepare_child = lambda self: None
ForkingBase._wait_for_child = lambda self, pid: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
runpy.run_path(sys.argv.pop(1), run_name='__main__')
`;

describe('getmail with Roost', () => {
  for (const kind of ['SimplePOP3Retriever', 'SimplePOP3SSLRetriever', 'SimpleIMAPRetriever', 'SimpleIMAPSSLRetriever'] as const) {
    it(`fetches everything with ${kind}, once`, async (test) => {
      requireProgram('getmail');
      const { world, folder } = await startSession(test);
      await fillAccount(world);
      const maildir = makeMaildir(join(folder, 'Maildir'));
      const port = world.ports[kind.includes('POP3') ? (kind.includes('SSL') ? 'pop3s' : 'pop3') : kind.includes('SSL') ? 'imaps' : 'imap'];
      writeFileSync(
        join(folder, 'getmailrc'),
        `[retriever]
type = ${kind}
server = 127.0.0.1
port = ${port}
username = anna
password = ${password}
${kind.includes('IMAP') ? 'mailboxes = ("INBOX",)\n' : ''}
[destination]
type = Maildir
path = ${maildir}/
[options]
read_all = false
delivered_to = false
received = false
`,
      );
      // As root it refuses to write into a Maildir of somebody else, and to run at all.
      const asUser = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
      if (process.getuid?.() === 0) await mustRun('chown', ['-R', '65534:65534', folder]);
      const run = (): Promise<string> =>
        mustRun('/usr/bin/python3', ['-c', getmailScript, '/usr/bin/getmail', '--getmaildir', folder, '--rcfile', 'getmailrc'], {
          env: { HOME: folder },
          cwd: folder,
          ...asUser,
        });
      await run();
      assert.deepEqual(maildirHashes(maildir), expected);
      await run();
      assert.equal(maildirHashes(maildir).length, contents.length, 'the second run fetches nothing');
      const later = await changeRemotely(world.ports.imap);
      if (process.getuid?.() === 0) await mustRun('chown', ['-R', '65534:65534', folder]);
      await run();
      assert.deepEqual(
        maildirHashes(maildir),
        [...expected, bodyHash(later)].sort(),
        'the third run fetches what came since, and only that',
      );
    });
  }
});

describe('fetchmail with Roost', () => {
  for (const [protocol, port, options] of [
    ['pop3', 'pop3', 'uidl'],
    ['pop3', 'pop3s', 'uidl'],
    ['imap', 'imap', ''],
    ['imap', 'imaps', ''],
  ] as const) {
    it(`fetches everything over ${port}, once`, async (test) => {
      requireProgram('fetchmail');
      const { world, folder } = await startSession(test);
      await fillAccount(world);
      // fetchmail takes unread messages only over IMAP.
      const client = await ImapClient.login(world.ports.imap, 'anna');
      await client.ok('SELECT INBOX');
      await client.ok('STORE 1:* -FLAGS.SILENT (\\Seen)');
      await client.logout();
      const box = join(folder, 'box');
      mkdirSync(box);
      // A new file for each message.
      writeFileSync(join(folder, 'save'), `#!/bin/sh\nexec cat >"$(mktemp ${box}/XXXXXX)"\n`);
      chmodSync(join(folder, 'save'), 0o755);
      const rc = join(folder, 'rc');
      writeFileSync(
        rc,
        `poll 127.0.0.1 protocol ${protocol} port ${world.ports[port]} ${options}
user anna password ${password} ${/s$/.test(port) ? 'ssl no sslcertck' : 'sslproto ""'} keep no rewrite mda "${join(folder, 'save')}"
`,
        { mode: 0o600 },
      );
      const run = (): ReturnType<typeof runProgram> =>
        runProgram('fetchmail', ['-f', rc, '-i', join(folder, 'ids'), '--pidfile', join(folder, 'pid'), '--invisible', '--nosyslog'], {
          env: { HOME: folder, FETCHMAILHOME: folder },
        });
      const first = await run();
      assert.equal(first.code, 0, `${first.stdout}${first.stderr}`);
      const hashes = (): string[] =>
        readdirSync(box)
          .map((name) => bodyHash(readFileSync(join(box, name), 'latin1')))
          .sort();
      assert.deepEqual(hashes(), expected);
      const second = await run();
      assert.equal(second.code, 1, `no mail: ${second.stdout}${second.stderr}`);
      assert.equal(hashes().length, contents.length);
      const later = await changeRemotely(world.ports.imap);
      const third = await run();
      assert.equal(third.code, 0, `${third.stdout}${third.stderr}`);
      assert.deepEqual(hashes(), [...expected, bodyHash(later)].sort(), 'the third run fetches what came since, and only that');
    });
  }
});
