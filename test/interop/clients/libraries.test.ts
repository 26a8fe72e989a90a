// IMAP and POP3 libraries, by their own idea of how a server answers.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ImapFlow } from 'imapflow';
import { ImapClient } from '../support/imap.js';
import { deliver, makeMessage, makeMultipart } from '../support/mail.js';
import { mustRun, requireProgram } from '../support/programs.js';
import { checkout, until } from '../support/servers.js';
import { contents, fillAccount, startSession } from '../support/session.js';
import { password, type World } from '../support/world.js';

const scripts = join(checkout, 'test/interop/clients');

function flow(world: World, options: { readonly qresync?: boolean; readonly secure?: boolean } = {}): ImapFlow {
  const isSecure = options.secure ?? false;
  return new ImapFlow({
    host: '127.0.0.1',
    port: isSecure ? world.ports.imaps : world.ports.imap,
    secure: isSecure,
    auth: { user: 'anna', pass: password },
    tls: { ca: readFileSync(join(world.folder, 'cert.pem'), 'utf8'), servername: 'localhost' },
    logger: false,
    qresync: options.qresync ?? false,
  });
}

describe("Python's imaplib and poplib with Roost", () => {
  it('work in the clear, after STARTTLS and over TLS', async (test) => {
    const { world, server } = await startSession(test);
    const { imap, imaps, pop3, pop3s } = world.ports;
    await mustRun('python3', [join(scripts, 'clients.py'), ...[imap, imaps, pop3, pop3s].map(String), 'anna', password]);
    assert.doesNotMatch(server.log(), /"level":"(error|fatal)"/);
  });
});

describe("Perl's Mail::IMAPClient with Roost", () => {
  it('creates, appends, searches, copies, moves, expunges and idles', async (test) => {
    requireProgram('perl');
    const { world, server } = await startSession(test);
    await mustRun('perl', [join(scripts, 'clients.pl'), String(world.ports.imap), 'anna', password]);
    assert.doesNotMatch(server.log(), /"level":"(error|fatal)"/);
  });
});

describe("Perl's Mail::IMAPTalk with Roost", () => {
  it('fetches parsed envelopes, structures and flags, and moves messages', async (test) => {
    requireProgram('perl');
    const { world, server } = await startSession(test);
    await fillAccount(world);
    await mustRun('perl', [join(scripts, 'imaptalk.pl'), String(world.ports.imap), 'anna', password]);
    assert.doesNotMatch(server.log(), /"level":"(error|fatal)"/);
  });
});

describe('imapflow with Roost', () => {
  for (const secure of [false, true]) {
    it(`lists, fetches, searches, stores, appends, moves and deletes ${secure ? 'over TLS' : 'after STARTTLS'}`, async (test) => {
      const { world } = await startSession(test);
      await fillAccount(world);
      const client = flow(world, { secure });
      await client.connect();
      const folders = await client.list();
      assert.deepEqual(
        folders
          .filter(({ specialUse }) => specialUse !== undefined)
          .map(({ path, specialUse }) => [path, specialUse])
          .sort(),
        [
          ['Drafts', '\\Drafts'],
          ['INBOX', '\\Inbox'],
          ['Sent', '\\Sent'],
          ['Trash', '\\Trash'],
        ],
      );
      assert.ok(folders.some(({ path }) => path === 'Bücher'));
      const lock = await client.getMailboxLock('INBOX');
      try {
        const messages = await client.fetchAll('1:*', {
          uid: true,
          flags: true,
          envelope: true,
          bodyStructure: true,
          source: true,
          size: true,
        });
        assert.deepEqual(
          messages.map(({ source }) => source?.toString('latin1')),
          contents,
        );
        assert.equal(messages[2]?.envelope?.subject, 'three ü');
        assert.equal(messages[2]?.bodyStructure?.childNodes?.length, 2);
        assert.equal(messages[2]?.bodyStructure?.childNodes?.[1]?.dispositionParameters?.['filename'], 'data.bin');
        const part = await client.download('3', '2');
        assert.ok(part.content !== undefined);
        const chunks: Buffer[] = [];
        for await (const chunk of part.content) chunks.push(chunk as Buffer);
        assert.deepEqual(Buffer.concat(chunks), Buffer.alloc(40_000, 'three'));
        assert.deepEqual(await client.search({ subject: 'two' }, { uid: true }), [2]);
        assert.deepEqual(await client.search({ or: [{ flagged: true }, { answered: true }] }, { uid: true }), [3, 4]);
        assert.ok(await client.messageFlagsAdd('2', ['\\Flagged', 'work'], { uid: true }));
        const moved = await client.messageMove('1:2', 'Bücher', { uid: true });
        assert.ok(moved !== false && moved.uidMap?.size === 2);
        const appended = await client.append('INBOX', makeMultipart('appended', 100), ['\\Seen'], new Date('2025-01-02T03:04:05Z'));
        assert.ok(appended !== false && appended.uid === 6);
        assert.ok(await client.messageDelete({ subject: 'five' }));
        assert.deepEqual(await client.search({ all: true }, { uid: true }), [3, 4, 6]);
      } finally {
        lock.release();
      }
      const status = await client.status('Bücher', { messages: true, unseen: true, uidNext: true });
      assert.ok(status !== false);
      assert.deepEqual([status.messages, status.unseen, status.uidNext], [3, 2, 4]);
      await client.logout();
    });
  }

  it('is told of new mail, flags and expunges while it idles', async (test) => {
    const { world } = await startSession(test);
    await fillAccount(world);
    const client = flow(world);
    await client.connect();
    await client.mailboxOpen('INBOX');
    const events: string[] = [];
    client.on('exists', ({ count }) => events.push(`exists ${count}`));
    client.on('expunge', ({ seq }) => events.push(`expunge ${seq}`));
    client.on('flags', ({ seq, flags }) => events.push(`flags ${seq} ${[...flags].filter((flag) => flag !== '\\Recent').join(' ')}`));
    void client.idle();
    await deliver(world, 'anna', makeMessage({ subject: 'news' }));
    await until('the new message is told', () => (events.includes('exists 6') ? true : undefined));
    const other = await ImapClient.login(world.ports.imap, 'anna');
    await other.ok('SELECT INBOX');
    await other.ok('STORE 2 +FLAGS (\\Answered)');
    await until('the flags are told', () => (events.includes('flags 2 \\Answered') ? true : undefined));
    await other.ok('STORE 1 +FLAGS (\\Deleted)');
    await other.ok('EXPUNGE');
    await until('the expunge is told', () => (events.includes('expunge 1') ? true : undefined));
    await other.logout();
    await client.logout();
  });

  it('asks only for what has changed with CONDSTORE and QRESYNC', async (test) => {
    const { world } = await startSession(test);
    await fillAccount(world);
    const client = flow(world, { qresync: true });
    await client.connect();
    assert.ok(client.enabled.has('QRESYNC') || client.enabled.has('CONDSTORE'), [...client.enabled].join(' '));
    const first = await client.mailboxOpen('INBOX');
    assert.ok(first.highestModseq !== undefined && first.highestModseq > 0n);
    const known = first.highestModseq;
    const vanished: number[] = [];
    client.on('expunge', (event: { readonly uid?: number }) => {
      if (event.uid !== undefined) vanished.push(event.uid);
    });
    await client.mailboxClose();
    const other = await ImapClient.login(world.ports.imap, 'anna');
    await other.ok('SELECT INBOX');
    await other.ok('STORE 3 +FLAGS ($Changed)');
    await other.ok('STORE 4 +FLAGS.SILENT (\\Deleted)');
    await other.ok('EXPUNGE');
    await other.logout();
    await client.mailboxOpen('INBOX', { changedSince: known, uidValidity: first.uidValidity } as Parameters<ImapFlow['mailboxOpen']>[1]);
    const changed = await client.fetchAll('1:*', { uid: true, flags: true }, { changedSince: known, uid: true });
    assert.deepEqual(
      changed.map(({ uid }) => uid),
      [3],
    );
    assert.ok(changed[0]?.flags?.has('$Changed'));
    assert.ok((changed[0]?.modseq ?? 0n) > known);
    await client.logout();
  });
});
