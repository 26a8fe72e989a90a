import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseCancelUpdate } from '#protocol/imap/commands/cancel-update.js';
import { nextCatenatePart } from '#protocol/imap/commands/catenate.js';
import { parseEsearch } from '#protocol/imap/commands/esearch.js';
import { parseGetMetadata, parseSetMetadata } from '#protocol/imap/commands/metadata.js';
import { parseNotify } from '#protocol/imap/commands/notify.js';
import { parseGetQuota, parseSetQuota } from '#protocol/imap/commands/quota.js';
import { parseSort } from '#protocol/imap/commands/sort.js';
import { parseThread } from '#protocol/imap/commands/thread.js';
import { parseGenUrlAuth, parseResetKey, parseUrlFetch } from '#protocol/imap/commands/urlauth.js';
import { BadCharsetError, ImapSyntaxError, MailboxNameError } from '#protocol/imap/grammar.js';
import { parseImapUrl } from '#protocol/imap/imap-url.js';
import { CommandReader } from '#protocol/imap/reader.js';
import { cpuMs } from '../../support/cpu-time.js';

const parsers: Readonly<Record<string, (reader: CommandReader) => unknown>> = {
  CANCELUPDATE: parseCancelUpdate,
  CATENATE: (reader) => {
    let parts = 0;
    for (let part = nextCatenatePart(reader, true, false); part.kind !== 'end'; part = nextCatenatePart(reader, false, false)) parts += 1;
    return parts;
  },
  ESEARCH: parseEsearch,
  GENURLAUTH: parseGenUrlAuth,
  GETMETADATA: parseGetMetadata,
  GETQUOTA: parseGetQuota,
  NOTIFY: parseNotify,
  RESETKEY: parseResetKey,
  SETMETADATA: parseSetMetadata,
  SETQUOTA: parseSetQuota,
  SORT: parseSort,
  THREAD: parseThread,
  URLFETCH: parseUrlFetch,
};

/** Words of these grammars, so that random input gets deep into them. */
const words = [
  ...'( ) () " "" "a" \\ {3} {3+} ~{3} NIL * % $ 1 1:* 4294967296 -1:-5 [ ] < > . / ; = & &AOQ- &-'.split(' '),
  ...'ALL UTF-8 US-ASCII RETURN PARTIAL MIN MAX COUNT SAVE UPDATE CONTEXT REVERSE SUBJECT DATE FROM ARRIVAL'.split(' '),
  ...'REFERENCES REFS ORDEREDSUBJECT SET NONE STATUS selected personal subtree mailboxes MessageNew MessageExpunge FlagChange'.split(' '),
  ...'STORAGE MESSAGE MAXSIZE DEPTH infinity /private/comment /shared/a INBOX URL TEXT INTERNAL UID BODY.PEEK[HEADER]'.split(' '),
];
const text = fc.oneof(
  fc.array(fc.oneof(fc.constantFrom(...words), fc.string({ maxLength: 5 })), { maxLength: 30 }).map((parts) => ` ${parts.join(' ')}`),
  fc.array(fc.constantFrom(...words), { maxLength: 30 }).map((parts) => parts.join('')),
  fc.uint8Array({ maxLength: 100 }).map((octets) => Buffer.from(octets).toString('latin1')),
);

describe('IMAP extension grammars', () => {
  for (const [name, parse] of Object.entries(parsers)) {
    it(`${name} parses or refuses any text, never anything else`, () => {
      fc.assert(
        fc.property(text, (input) => {
          const reader = new CommandReader(input);
          try {
            parse(reader);
          } catch (error) {
            assert.ok(
              error instanceof ImapSyntaxError || error instanceof MailboxNameError || error instanceof BadCharsetError,
              String(error),
            );
          }
        }),
        { numRuns: 500 },
      );
    });

    it(`${name} refuses deep nesting and endless lists quickly`, () => {
      for (const input of [
        ` ${'('.repeat(60_000)}`,
        ` (${'a '.repeat(30_000)})`,
        ` "a"${' (a)'.repeat(15_000)}`,
        ` ${'a '.repeat(30_000)}`,
      ]) {
        const startedAt = cpuMs();
        assert.throws(() => parse(new CommandReader(input)), ImapSyntaxError);
        assert.ok(cpuMs() - startedAt < 500);
      }
    });
  }

  it('URLs are parsed or refused in bounded time', () => {
    const part = fc.oneof(
      fc.constantFrom(
        ...[
          'imap://',
          'anna',
          ';AUTH=*',
          '@',
          'host',
          ':143',
          '/',
          'INBOX',
          ';UIDVALIDITY=7',
          '/;UID=',
          '20',
          '/;SECTION=',
          '1.2.MIME',
          'TEXT',
        ],
        ...[
          'HEADER.FIELDS%20(A)',
          '/;PARTIAL=',
          '0.5',
          ';EXPIRE=2030-01-01T00:00:00Z',
          ';URLAUTH=',
          'user+anna',
          'authuser',
          ':INTERNAL:',
          '%',
        ],
      ),
      fc.string({ maxLength: 8 }),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 20 }), (parts) => {
        const url = parseImapUrl(parts.join(''));
        assert.ok(url === undefined || (url.uid > 0 && url.uid <= 4294967295));
      }),
      { numRuns: 2000 },
    );
    const startedAt = cpuMs();
    for (const piece of ['/;UID=1', ';SECTION=', ';URLAUTH=', 'a@', '%41', '/'])
      parseImapUrl(`imap://a@b/${piece.repeat(8000 / piece.length)}`);
    assert.ok(cpuMs() - startedAt < 500);
  });

  it('URLs keep what they say', () => {
    assert.deepEqual(parseImapUrl('/Gr%C3%BC%C3%9Fe/2026;UIDVALIDITY=7/;UID=20/;SECTION=1.2.MIME/;PARTIAL=10.20'), {
      server: undefined,
      mailbox: 'Grüße/2026',
      uidValidity: 7,
      uid: 20,
      section: { path: [1, 2], part: { kind: 'mime' } },
      partial: { offset: 10, length: 20 },
      access: undefined,
    });
    assert.equal(parseImapUrl('/;UID=20')?.mailbox, undefined);
    assert.equal(parseImapUrl(';UID=20')?.uid, 20);
    for (const url of [
      '',
      '/INBOX',
      '/INBOX/;UID=0',
      '/INBOX/;UID=x',
      'ftp://a/b/;UID=1',
      '/%FF/;UID=1',
      '/INBOX/;UID=1/;SECTION=MIME',
      ' /;UID=1',
    ])
      assert.equal(parseImapUrl(url), undefined, url);
  });
});
