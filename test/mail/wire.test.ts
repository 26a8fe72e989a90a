import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseStructure } from '#mail/mime-tree.js';
import { body, bodyStructure, envelope } from '#mail/wire.js';
import { wireNstring, wireString } from '#mail/wire-string.js';
import { crlf, messageNames, parseWire, readMessageCrlf, readReference, type WireValue } from './messages.js';

/** Where Roost answers otherwise than Dovecot 2.3 on purpose, and why. */
const otherEnvelope: Readonly<Record<string, string>> = {
  'addresses-broken': 'an unclosed <, a second @ and words behind an address do not end the list; no SYNTAX_ERROR hosts',
  'addresses-broken-2': 'names without brackets before an address are its display name; the list goes on behind them',
  'addresses-obsolete': 'empty list entries are skipped; an unquoted local part with a quoted piece is kept',
  'addresses-specials': 'domains with odd dots are kept; a semicolon separates; an unclosed < keeps its address',
  outlook: 'Outlook separates addresses with semicolons',
};
const otherStructure: Readonly<Record<string, string>> = {
  'boundary-long': 'boundaries longer than 80 characters are compared as a whole, so the end delimiter is seen',
  'boundary-unquoted-equals': 'an unquoted boundary with equals signs and colons is read as a whole',
  'boundary-whitespace': 'white space at the end of a boundary is no part of it (RFC 2046 5.1.1)',
  'depth-120': 'the nesting limit counts parts inside the message, and the cut part has no parameters',
  'depth-messages-120': 'the nesting limit counts parts inside the message',
  'language-odd': 'quoted disposition and language values are understood',
  'message-global': 'message/global has the structure of a message (RFC 9051 media-message)',
  'multipart-empty-boundary': 'an empty boundary is none (RFC 2046 5.1.1: 1 to 70 characters)',
  'params-broken': 'a broken parameter does not hide the ones behind it',
  'params-rfc2231': 'plain sections among extended ones are percent-encoded; parameters keep their order',
  'params-rfc2231-order': 'parameters keep their order; sections behind a gap are dropped',
  'type-broken-1': 'a broken Content-Type is text/plain (RFC 2045 5.2)',
  'type-broken-2': 'an empty Content-Type is text/plain; empty fields are NIL',
  'type-broken-3': 'a broken Content-Type is text/plain (RFC 2045 5.2)',
  'type-broken-4': 'a broken Content-Type is text/plain (RFC 2045 5.2)',
  'type-broken-5': 'a broken Content-Type is text/plain (RFC 2045 5.2)',
  'type-broken-6': 'a missing semicolon does not hide the type',
  'type-broken-7': 'junk behind the subtype does not hide the parameters',
};

/** Types, encodings and parameter names are case-insensitive and sent in lower case. */
function lowerCase(value: WireValue): WireValue {
  if (typeof value === 'string') return value.toLowerCase();
  return value === null ? null : value.map(lowerCase);
}

const text = (wire: Buffer): string => wire.toString('latin1');

describe('ENVELOPE, BODY and BODYSTRUCTURE of the example messages', () => {
  const reference = readReference();
  for (const name of messageNames()) {
    const message = readMessageCrlf(name);
    const expected = reference[name];
    assert.ok(expected, `reference.json lacks ${name}`);
    it(`${name}: ENVELOPE ${otherEnvelope[name] ?? 'is what Dovecot says'}`, () => {
      const mine = parseWire(text(envelope(message)));
      if (name in otherEnvelope) assert.notDeepEqual(mine, parseWire(expected.envelope));
      else assert.deepEqual(mine, parseWire(expected.envelope));
    });
    it(`${name}: BODYSTRUCTURE ${otherStructure[name] ?? 'is what Dovecot says'}`, () => {
      const root = parseStructure(message);
      const long = lowerCase(parseWire(text(bodyStructure(root))));
      const short = lowerCase(parseWire(text(body(root))));
      if (name in otherStructure) assert.notDeepEqual(long, lowerCase(parseWire(expected.bodystructure)));
      else {
        assert.deepEqual(long, lowerCase(parseWire(expected.bodystructure)));
        assert.deepEqual(short, lowerCase(parseWire(expected.body)));
      }
    });
  }
});

const structureOf = (message: string): string => text(bodyStructure(parseStructure(crlf(message))));
const envelopeOf = (header: string): string => text(envelope(crlf(header)));
const typed = (fields: string): string => structureOf(`${fields}\n\nx\n`);

describe('BODYSTRUCTURE', () => {
  const cases: readonly (readonly [title: string, fields: string, expected: string])[] = [
    ['text without anything', 'Subject: x', '("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 1 NIL NIL NIL NIL)'],
    ['an empty Content-Type', 'Content-Type:', '("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 1 NIL NIL NIL NIL)'],
    ['a type without subtype', 'Content-Type: text', '("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 1 NIL NIL NIL NIL)'],
    [
      'a missing semicolon',
      'Content-Type: text/html charset=utf-8',
      '("text" "html" ("charset" "utf-8") NIL NIL "7bit" 3 1 NIL NIL NIL NIL)',
    ],
    [
      'broken parameters',
      'Content-Type: text/plain; charset; =x; format=flowed;; name=a b c; charset=utf-8',
      '("text" "plain" ("format" "flowed" "name" "a b c" "charset" "utf-8") NIL NIL "7bit" 3 1 NIL NIL NIL NIL)',
    ],
    [
      'a disposition without kind',
      'Content-Type: image/png\nContent-Disposition: ;filename=x',
      '("image" "png" NIL NIL NIL "7bit" 3 NIL ("attachment" ("filename" "x")) NIL NIL)',
    ],
    [
      'extended and plain sections mixed (RFC 2231 4.1)',
      "Content-Type: a/b; t*0*=us-ascii'en'%41; t*1=\"isn't\"",
      '("a" "b" ("t*" "us-ascii\'en\'%41isn%27t") NIL NIL "7bit" 3 NIL NIL NIL NIL)',
    ],
    ['a gap in the sections', 'Content-Type: a/b; n*0="x"; n*2="z"', '("a" "b" ("n" "x") NIL NIL "7bit" 3 NIL NIL NIL NIL)'],
  ];
  for (const [title, fields, expected] of cases) it(`of ${title}: ${JSON.stringify(fields)}`, () => assert.equal(typed(fields), expected));

  it('of message/global has envelope, structure and lines', () => {
    assert.equal(
      structureOf('Content-Type: message/global\n\nSubject: \xc3\xa4\n\nbody\n'),
      '("message" "global" NIL NIL NIL "7bit" 21 (NIL {2}\r\n\xc3\xa4 NIL NIL NIL NIL NIL NIL NIL NIL) ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 6 1 NIL NIL NIL NIL) 3 NIL NIL NIL NIL)',
    );
  });
  it('of a multipart nested too deep ends in application/octet-stream', () => {
    const root = parseStructure(
      crlf('Content-Type: multipart/a; boundary=a\n\n--a\nContent-Type: multipart/b; boundary=b\n\n--b\n\nx\n--b--\n--a--\n'),
      {
        nestingDepth: 1,
      },
    );
    assert.equal(text(body(root)), '(("application" "octet-stream" NIL NIL NIL "7bit" 15) "a")');
  });
});

describe('ENVELOPE', () => {
  it('takes names without brackets, semicolons and unclosed brackets for what was meant', () => {
    assert.equal(
      envelopeOf('To: First Last first@last.org\nCc: <a@b; x@y>, c@d; e@f\nBcc: <g@h\n'),
      '(NIL NIL NIL NIL NIL (("First Last" NIL "first" "last.org")) ((NIL NIL "a" "b")(NIL NIL "c" "d")(NIL NIL "e" "f")) ((NIL NIL "g" "h")) NIL NIL)',
    );
  });
  it('falls back to From for an empty Sender and a missing Reply-To', () => {
    assert.equal(
      envelopeOf('From: a@b\nSender: \n'),
      '(NIL NIL ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) ((NIL NIL "a" "b")) NIL NIL NIL NIL NIL)',
    );
  });
  it('joins repeated address fields and takes the last of repeated others', () => {
    assert.equal(
      envelopeOf('To: a@b\nTo: c@d\nSubject: one\nSubject: two\n'),
      '(NIL "two" NIL NIL NIL ((NIL NIL "a" "b")(NIL NIL "c" "d")) NIL NIL NIL NIL)',
    );
  });
  it('shows a group between markers without host', () => {
    assert.equal(
      envelopeOf('To: Friends: a@b;\n'),
      '(NIL NIL NIL NIL NIL ((NIL NIL "Friends" NIL)(NIL NIL "a" "b")(NIL NIL NIL NIL)) NIL NIL NIL NIL)',
    );
  });
});

describe('an IMAP string', () => {
  const cases: readonly (readonly [value: string, expected: string])[] = [
    ['', '""'],
    ['plain', '"plain"'],
    ['say "hi" \\', '"say \\"hi\\" \\\\"'],
    ['\xe4', '{1}\r\n\xe4'],
    ['a\r\nb', '{4}\r\na\r\nb'],
    ['a\0b', '{5}\r\na\xef\xbf\xbdb'],
    ['tab\t bell\x07', '"tab\t bell\x07"'],
    ['x'.repeat(4096), `"${'x'.repeat(4096)}"`],
    ['x'.repeat(4097), `{4097}\r\n${'x'.repeat(4097)}`],
  ];
  for (const [value, expected] of cases) {
    it(`of ${JSON.stringify(value.slice(0, 30))} (${value.length}) is ${JSON.stringify(expected.slice(0, 30))}`, () =>
      assert.equal(wireString(value), expected));
  }
  it('is NIL for what is absent', () => {
    assert.equal(wireNstring(undefined), 'NIL');
    assert.equal(wireNstring(null), 'NIL');
  });
});
