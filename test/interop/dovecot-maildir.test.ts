// A Maildir that Debian's Dovecot has made is served by Roost as it was, changed by Roost, and served by Dovecot again.
import assert from 'node:assert/strict';
import { chownSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { accountState, ImapClient, quote, stateLines } from './support/imap.js';
import { deliver, makeMessage, makeMultipart } from './support/mail.js';
import { startServer } from './support/servers.js';
import { makeWorld, type World } from './support/world.js';

/** One fewer than file names have letters for. */
const keywords = Array.from({ length: 25 }, (_, index) => `Keyword-${index}`);
/** As on the wire: umlauts, an ampersand, what looks like a wildcard, spaces and quotes, brackets. */
const names = [
  'Work',
  'Work/2026',
  'Entw&APw-rfe',
  'Entw&APw-rfe/&U,BTFw-',
  'R&-D',
  'a b "c"',
  '[Gmail]/All Mail',
  'under_score~tilde',
  'UPPER lower',
];

async function fillWithDovecot(world: World): Promise<void> {
  await using _server = await startServer('dovecot', world);
  for (let number = 1; number <= 12; number++) await deliver(world, 'anna', makeMessage({ subject: `delivered ${number}` }));
  const client = await ImapClient.login(world.ports.imap, 'anna');
  await client.append('INBOX', '\\Seen', makeMultipart('multi', 30_000), '01-Feb-2020 03:04:05 +0000');
  await client.append(
    'INBOX',
    '\\Draft \\Answered',
    makeMessage({ subject: 'eight bit', body: 'Gr\xc3\xbc\xc3\x9fe\n\nlast line' }),
    '17-Jul-1996 02:44:25 -0700',
  );
  await client.ok('SELECT INBOX');
  for (const [index, keyword] of keywords.entries()) await client.ok(`STORE ${1 + (index % 10)} +FLAGS.SILENT (${keyword})`);
  await client.ok('STORE 2,4 +FLAGS.SILENT (\\Seen)');
  await client.ok('STORE 3 +FLAGS.SILENT (\\Flagged \\Answered)');
  await client.ok('STORE 5,11 +FLAGS.SILENT (\\Deleted)');
  await client.ok('UID EXPUNGE 5');
  for (const name of names) {
    await client.ok(`CREATE ${quote(name)}`);
    await client.append(name, '\\Flagged $Label1', makeMessage({ subject: `in ${name.length}` }));
    await client.append(name, '', makeMessage({ subject: `second in ${name.length}` }));
  }
  for (const name of names.slice(0, 4)) await client.ok(`SUBSCRIBE ${quote(name)}`);
  await client.ok('COPY 1:3 Work');
  await client.logout();
}

/** Messages as other programs leave them: bare LF, no size in the name, still in new/. */
function addForeignFiles(world: World): void {
  const put = (folder: string, name: string, text: string): void => {
    const path = join(world.maildir('anna'), folder, name);
    writeFileSync(path, Buffer.from(text, 'latin1'));
    if (process.getuid?.() === 0) chownSync(path, world.mailUid, world.mailGid);
  };
  put('new', '1700000000.M1P1.other', makeMessage({ subject: 'LF in new', lineEnd: '\n' }));
  put('new', '1700000001.M1P1.other', makeMessage({ subject: 'CRLF in new' }));
  put('cur', '1700000002.M1P1.other:2,FS', makeMessage({ subject: 'LF in cur', lineEnd: '\n' }));
  put('cur', '1700000003.M1P1.other', makeMessage({ subject: 'no info in cur' }));
  put('cur', '1700000004.M1P1.other:2,RSx', `${makeMessage({ subject: 'mixed' })}one\ntwo\r\nthree`);
}

async function changeWithRoost(world: World): Promise<void> {
  await using _server = await startServer('roost', world);
  await deliver(world, 'anna', makeMessage({ subject: 'delivered by the other' }));
  const client = await ImapClient.login(world.ports.imap, 'anna');
  await client.append('INBOX', '\\Seen Keyword-24 Keyword-3', makeMessage({ subject: 'appended' }), '02-Mar-2021 03:04:05 +0100');
  await client.append('Work/2026', '$Forwarded', makeMultipart('later', 5_000));
  await client.ok('SELECT INBOX');
  await client.ok('STORE 1 +FLAGS (Keyword-40 \\Answered)');
  await client.ok('STORE 2 -FLAGS (\\Seen)');
  await client.ok('STORE 4 FLAGS (Keyword-20 \\Flagged)');
  await client.ok('STORE 6:7 +FLAGS.SILENT (\\Deleted)');
  await client.ok('EXPUNGE');
  await client.ok('COPY 1:4 "R&-D"');
  await client.ok('MOVE 2:3 "a b \\"c\\""');
  await client.ok('CREATE "Neu &AOQ-/deep/er"');
  await client.ok('COPY 1:* "Neu &AOQ-/deep/er"');
  await client.ok('RENAME Work Projects');
  await client.ok('RENAME "UPPER lower" "lower UPPER"');
  await client.ok('DELETE "under_score~tilde"');
  await client.ok('SUBSCRIBE "Neu &AOQ-/deep/er"');
  await client.ok('UNSUBSCRIBE "Entw&APw-rfe"');
  await client.logout();
}

/** UIDVALIDITY, next UID and the lines after the header, without the header's own extensions. */
function uidList(world: World, folder: string): { readonly validity: string; readonly lines: readonly string[] } {
  const [header = '', ...lines] = readFileSync(join(world.maildir('anna'), folder, 'dovecot-uidlist'), 'utf8')
    .trimEnd()
    .split('\n');
  return { validity: /\bV(\d+)/.exec(header)?.[1] ?? '', lines };
}

describe("A Maildir of Debian's Dovecot", () => {
  it('is served by Roost with the same UIDs, flags, keywords, sizes, dates, contents and subscriptions, and by Dovecot again after Roost changed it', async () => {
    const world = await makeWorld();
    try {
      await fillWithDovecot(world);
      addForeignFiles(world);
      const made = await (async () => {
        await using _server = await startServer('dovecot', world);
        return await accountState(world.ports.imap, 'anna');
      })();
      assert.equal(made.mailboxes['INBOX']?.messages.length, 18);
      assert.equal(
        new Set(made.mailboxes['INBOX']?.messages.flatMap(({ flags }) => flags).filter((flag) => flag.startsWith('Keyword'))).size,
        22,
      );
      const listBefore = uidList(world, '');

      const served = await (async () => {
        await using _server = await startServer('roost', world);
        return await accountState(world.ports.imap, 'anna');
      })();
      assert.deepEqual(stateLines(served), stateLines(made));
      assert.deepEqual(uidList(world, ''), listBefore, 'looking at it changes no line of the UID list');

      await changeWithRoost(world);
      const changed = await (async () => {
        await using _server = await startServer('roost', world);
        return await accountState(world.ports.imap, 'anna');
      })();
      const again = await (async () => {
        await using server = await startServer('dovecot', world);
        const state = await accountState(world.ports.imap, 'anna');
        assert.doesNotMatch(server.log(), /Error|Panic|Corrupt|Broken|fixed/, server.log());
        return state;
      })();
      assert.deepEqual(stateLines(again), stateLines(changed));
      assert.equal(again.mailboxes['INBOX']?.uidValidity, made.mailboxes['INBOX']?.uidValidity);
      assert.deepEqual(
        [again.mailboxes['Projects']?.uidValidity, again.mailboxes['Projects/2026']?.uidValidity],
        [made.mailboxes['Work']?.uidValidity, made.mailboxes['Work/2026']?.uidValidity],
        'a rename keeps UIDVALIDITY',
      );
      assert.deepEqual(again.mailboxes['Projects']?.messages, made.mailboxes['Work']?.messages);
      assert.deepEqual(readdirSync(join(world.maildir('anna'), 'tmp')), []);
    } finally {
      world.remove();
    }
  });

  it('keeps the keywords that have a letter in file names, and each server keeps those beyond the 26 letters in its own index', async () => {
    const world = await makeWorld();
    try {
      const many = (from: number, to: number): string => Array.from({ length: to - from }, (_, index) => `k${from + index}`).join(' ');
      const flagsOf = async (server: 'roost' | 'dovecot', change?: string): Promise<readonly string[]> => {
        await using running = await startServer(server, world);
        const client = await ImapClient.login(world.ports.imap, 'anna');
        if (change !== undefined) {
          await client.ok('SELECT INBOX');
          await client.ok(change);
        }
        const [message] = (await client.mailboxState('INBOX')).messages;
        await client.logout();
        assert.doesNotMatch(running.log(), /Panic|Corrupt|Broken/, running.log());
        return [...(message?.flags ?? [])].sort();
      };
      const sorted = (text: string): readonly string[] => text.split(' ').sort();
      await (async () => {
        await using _server = await startServer('dovecot', world);
        const client = await ImapClient.login(world.ports.imap, 'anna');
        await client.append('INBOX', '', makeMessage({ subject: 'keywords' }));
        await client.logout();
      })();
      assert.deepEqual(await flagsOf('dovecot', `STORE 1 FLAGS (${many(0, 32)})`), sorted(many(0, 32)));
      assert.deepEqual(await flagsOf('roost'), sorted(many(0, 26)));
      assert.deepEqual(await flagsOf('roost', 'STORE 1 +FLAGS (r1 r2 r3)'), sorted(`${many(0, 26)} r1 r2 r3`));
      assert.deepEqual(await flagsOf('roost'), sorted(`${many(0, 26)} r1 r2 r3`));
      assert.deepEqual(
        await flagsOf('dovecot', 'STORE 1 -FLAGS (k3)'),
        sorted(`${many(0, 32)}`).filter((name) => name !== 'k3'),
      );
      assert.deepEqual(
        await flagsOf('roost', 'STORE 1 -FLAGS (k4 r2)'),
        sorted(`${many(0, 26)} r1 r3`).filter((name) => !/^k[34]$/.test(name)),
      );
      assert.deepEqual(
        await flagsOf('dovecot'),
        sorted(many(0, 32)).filter((name) => !/^k[34]$/.test(name)),
      );
    } finally {
      world.remove();
    }
  });
});
