import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseAppendItem } from '#protocol/imap/commands/append.js';
import { parseFetch } from '#protocol/imap/commands/fetch.js';
import { parseList } from '#protocol/imap/commands/list.js';
import { parseSearch } from '#protocol/imap/commands/search.js';
import { parseSelect } from '#protocol/imap/commands/select.js';
import { parseStatus } from '#protocol/imap/commands/status.js';
import { parseStore } from '#protocol/imap/commands/store.js';
import { formatDateTime, parseDateTime, parseDay } from '#protocol/imap/date.js';
import { grammarLimits, ImapSyntaxError } from '#protocol/imap/grammar.js';
import { decodeModifiedUtf7, encodeModifiedUtf7 } from '#protocol/imap/mailbox-name.js';
import { CommandReader } from '#protocol/imap/reader.js';

const read = (text: string): CommandReader => new CommandReader(text);
const refuses = (work: () => unknown): void => assert.throws(work, ImapSyntaxError);

describe('FETCH items', () => {
  for (const [text, labels] of [
    ['FLAGS', ['FLAGS']],
    ['all', ['FLAGS', 'INTERNALDATE', 'RFC822.SIZE', 'ENVELOPE']],
    ['(UID body)', ['UID', 'BODY']],
    ['BODY[]', ['BODY[]']],
    ['body.peek[1.2.mime]', ['BODY[1.2.MIME]']],
    ['(BODY[HEADER.FIELDS (From "X Y" to)]<10.20>)', ['BODY[HEADER.FIELDS (FROM "X Y" TO)]<10>']],
    ['BODY[1.HEADER.FIELDS.NOT (a)]', ['BODY[1.HEADER.FIELDS.NOT (A)]']],
    ['(RFC822 RFC822.HEADER RFC822.TEXT)', ['RFC822', 'RFC822.HEADER', 'RFC822.TEXT']],
    ['(BINARY.PEEK[2] BINARY.SIZE[2])', ['BINARY[2]', 'BINARY.SIZE[2]']],
    ['(PREVIEW (LAZY) UID)', ['PREVIEW', 'UID']],
    ['(UID UID FLAGS)', ['UID', 'FLAGS']],
  ] as const) {
    it(`reads ${text}`, () => {
      const { items } = parseFetch(read(` 1 ${text}`), false);
      assert.deepEqual(
        items.map((item) => (item.kind === 'simple' ? item.name : item.kind === 'preview' ? 'PREVIEW' : item.label)),
        labels,
      );
    });
  }
  for (const text of [
    '',
    '()',
    'FOO',
    'BODY[',
    'BODY[0]',
    'BODY[1.]',
    'BODY[MIME]',
    'BODY[]<0.0>',
    'BODY[]<1>',
    'BODY[HEADER.FIELDS ()]',
    '(FLAGS',
    'FLAGS UID',
  ]) {
    it(`refuses ${JSON.stringify(text)}`, () => refuses(() => parseFetch(read(` 1 ${text}`), false)));
  }
  it('wants VANISHED only together with UID and CHANGEDSINCE', () => {
    assert.equal(parseFetch(read(' 1:* FLAGS (CHANGEDSINCE 5 VANISHED)'), true).vanished, true);
    refuses(() => parseFetch(read(' 1:* FLAGS (VANISHED)'), true));
    refuses(() => parseFetch(read(' 1:* FLAGS (CHANGEDSINCE 5 VANISHED)'), false));
  });
});

describe('SEARCH keys', () => {
  const key = (text: string): unknown => parseSearch(read(` ${text}`)).program.key;
  it('joins keys by AND and flattens OR', () => {
    assert.deepEqual(key('SEEN UNDELETED'), {
      kind: 'and',
      keys: [
        { kind: 'flag', flag: 'seen' },
        { kind: 'not', key: { kind: 'flag', flag: 'deleted' } },
      ],
    });
    assert.deepEqual(key('OR SEEN OR DRAFT FLAGGED'), {
      kind: 'or',
      keys: ['seen', 'draft', 'flagged'].map((flag) => ({ kind: 'flag', flag })),
    });
    assert.deepEqual(key('NOT NOT SEEN'), { kind: 'flag', flag: 'seen' });
  });
  it('reads dates as days', () => {
    assert.deepEqual(key('SINCE 2-Jan-1970'), { kind: 'internal-date', relation: 'since', day: 1 });
    assert.deepEqual(key('SENTON "1-Feb-1970"'), { kind: 'sent-date', relation: 'on', day: 31 });
    refuses(() => key('SINCE 31-Feb-2020'));
  });
  it('reads RETURN options', () => {
    assert.equal(parseSearch(read(' RETURN () ALL')).returns?.all, true);
    const partial = parseSearch(read(' RETURN (PARTIAL -1:-100 COUNT) ALL')).returns?.partial;
    assert.deepEqual(partial, { range: [1, 100], fromEnd: true, text: '-1:-100' });
  });
  it('stops at the limits of nesting and number of keys instead of exhausting the stack', () => {
    const nested = (depth: number): string => `${'('.repeat(depth)}ALL${')'.repeat(depth)}`;
    assert.deepEqual(key(nested(grammarLimits.nesting)), { kind: 'all' });
    refuses(() => key(nested(grammarLimits.nesting + 1)));
    refuses(() => key('('.repeat(1_000_000)));
    key(`${'NOT '.repeat(grammarLimits.searchDepth - 1)}ALL`);
    refuses(() => key(`${'NOT '.repeat(grammarLimits.searchDepth)}ALL`));
    key(`ALL${' ALL'.repeat(grammarLimits.searchKeys - 1)}`);
    refuses(() => key(`ALL${' ALL'.repeat(grammarLimits.searchKeys)}`));
    refuses(() => key(`${'OR ALL '.repeat(100_000)}ALL`));
  });
  for (const text of ['', 'FOO', 'SUBJECT', 'OR SEEN', '()', 'LARGER x', 'UID', 'RETURN (FOO) ALL', 'KEYWORD', 'ALL )']) {
    it(`refuses ${JSON.stringify(text)}`, () => refuses(() => key(text)));
  }
});

describe('command arguments', () => {
  it('reads SELECT with QRESYNC', () => {
    const command = parseSelect(read(' INBOX (QRESYNC (67890007 20050715194045000 41,43:211 (1:3 5:7)) CONDSTORE)'));
    assert.equal(command.condstore, true);
    assert.equal(command.qresync?.modSeq, Number.MAX_SAFE_INTEGER);
    assert.deepEqual(command.qresync?.sequenceMatch?.uids, { kind: 'ranges', ranges: [[5, 7]] });
    refuses(() => parseSelect(read(' INBOX (QRESYNC (0 1))')));
    refuses(() => parseSelect(read(' INBOX (FOO)')));
  });
  it('reads STORE with and without parentheses', () => {
    assert.deepEqual(parseStore(read(' 1 +FLAGS.SILENT \\Seen work')), {
      set: { kind: 'ranges', ranges: [[1, 1]] },
      mode: 'add',
      silent: true,
      flags: ['\\Seen', 'work'],
      unchangedSince: undefined,
    });
    assert.equal(parseStore(read(' 1 (UNCHANGEDSINCE 12) FLAGS ()')).unchangedSince, 12);
    refuses(() => parseStore(read(' 1 FOO ()')));
  });
  it('reads extended LIST', () => {
    const command = parseList(read(' (SUBSCRIBED RECURSIVEMATCH) "" ("a*" b) RETURN (CHILDREN STATUS (MESSAGES))'));
    assert.deepEqual(command.patterns, ['a*', 'b']);
    assert.deepEqual(command.returns?.status, ['MESSAGES']);
    refuses(() => parseList(read(' (RECURSIVEMATCH) "" *')));
  });
  it('keeps a STATUS item once and refuses unknown ones', () => {
    assert.deepEqual(parseStatus(read(' x (MESSAGES messages)')).items, ['MESSAGES']);
    refuses(() => parseStatus(read(' x (FOO)')));
    refuses(() => parseStatus(read(' x ()')));
  });
  it('reads what stands before an APPEND literal', () => {
    assert.deepEqual(parseAppendItem(read(' (\\Seen) "01-Jan-2026 00:00:00 +0100" {5}')), {
      flags: ['\\Seen'],
      internalDateMs: Date.UTC(2025, 11, 31, 23),
      isUtf8: false,
      isCatenate: false,
    });
    assert.equal(parseAppendItem(read(' UTF8 (~{5+}')).isUtf8, true);
    refuses(() => parseAppendItem(read(' "32-Jan-2026 00:00:00 +0100" {5}')));
    refuses(() => parseAppendItem(read(' x {5}')));
  });
});

describe('dates', () => {
  it('come back as they went, in any zone', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4e9 }), fc.integer({ min: -719, max: 840 }), (seconds, zone) => {
        assert.equal(parseDateTime(formatDateTime(seconds * 1000, zone).slice(1, -1)), seconds * 1000);
      }),
    );
  });
  it('may have a blank instead of a leading zero', () => assert.equal(parseDateTime(' 1-Jan-1970 00:00:01 +0000'), 1000));
  for (const text of ['1-Jan-70', '30-Feb-2020', '01-Foo-2020', ''])
    it(`refuse ${JSON.stringify(text)}`, () => assert.equal(parseDay(text), undefined));
});

describe('mailbox names', () => {
  for (const [name, wire] of [
    ['Entwürfe', 'Entw&APw-rfe'],
    ['台北/日本語', '&U,BTFw-/&ZeVnLIqe-'],
    ['Tom & Jerry', 'Tom &- Jerry'],
    ['😀', '&2D3eAA-'],
  ] as const) {
    it(`${name} is ${wire} in modified UTF-7`, () => {
      assert.equal(encodeModifiedUtf7(name), wire);
      assert.equal(decodeModifiedUtf7(wire), name);
    });
  }
  for (const wire of ['&', '&A', '&AAA', '&AEE-', '&AOQ-&APY-', '&2D0-', '&3gA-', 'caf\xe9', '&APz-', '&AP-', 'a\tb']) {
    it(`${JSON.stringify(wire)} is no name`, () => assert.equal(decodeModifiedUtf7(wire), undefined));
  }
  it('come back as they went', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme' }), (name) => assert.equal(decodeModifiedUtf7(encodeModifiedUtf7(name)), name)));
  });
  it('have exactly one wire form', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'&-ABCDw+,/x') }), (wire) => {
        const name = decodeModifiedUtf7(wire);
        if (name !== undefined) assert.equal(encodeModifiedUtf7(name), wire);
      }),
      { numRuns: 2000 },
    );
  });
});
