import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { selectFields } from '#mail/header.js';
import { MessageSummary } from '#mail/message-summary.js';
import { parseStructure } from '#mail/mime-tree.js';
import { body, bodyStructure, envelope } from '#mail/wire.js';
import { OctetBlocks } from '#util/octet-blocks.js';
import { crlf, messageNames, readMessage, readMessageCrlf } from './messages.js';

const kept = ['subject', 'from', 'to', 'references', 'x-mailer', 'content-type'];
const summary = new MessageSummary(kept);

function written(put: (out: OctetBlocks) => void): Buffer {
  const out = new OctetBlocks();
  // Not at the start of a block, as in a cache record.
  out.text('in front');
  out.begin();
  put(out);
  return Buffer.concat(out.take()).subarray('in front'.length);
}

function assertSame(message: Buffer): void {
  const structure = parseStructure(message);
  const header = message.subarray(0, structure.bodyStart);
  const text = (octets: Buffer): string => octets.toString('latin1');
  summary.begin(message);
  assert.equal(summary.headerBytes, structure.bodyStart);
  assert.equal(text(written((out) => summary.putEnvelope(out))), text(envelope(header)));
  assert.equal(text(written((out) => summary.putBody(out))), text(body(structure)));
  assert.equal(text(written((out) => summary.putBodyStructure(out))), text(bodyStructure(structure)));
  assert.equal(text(written((out) => summary.putKept(out))), text(selectFields(header, kept)));
}

const addressPieces = [
  'a',
  'Anna',
  'b.c',
  'Dr. X',
  '@',
  '<',
  '>',
  'a@b',
  '<a@b.example>',
  '<a.b@[127.0.0.1]>',
  ',',
  ', ',
  ';',
  ':',
  ' ',
  '  ',
  '\t',
  '\r\n ',
  '"',
  '"Quoted, Name"',
  '""',
  '\\',
  '(comment)',
  '.',
  '=?utf-8?q?x?=',
  '\xe4',
  '\0',
  '\x01',
];
const names = ['From', 'Sender', 'Reply-To', 'To', 'Cc', 'Bcc', 'Subject', 'Date', 'Message-ID', 'In-Reply-To', 'subject ', 'X-Mailer'];
const field = fc
  .tuple(fc.constantFrom(...names), fc.array(fc.constantFrom(...addressPieces), { maxLength: 12 }))
  .map(([name, pieces]) => `${name}: ${pieces.join('')}\r\n`);
const header = fc.array(field, { maxLength: 8 }).map((fields) => Buffer.from(`${fields.join('')}\r\nText\r\n`, 'latin1'));

describe('a message in octets', () => {
  for (const name of messageNames()) {
    it(`${name}: is described as by the parsers`, () => {
      assertSame(readMessage(name));
      assertSame(readMessageCrlf(name));
    });
  }

  it('has the fields of ENVELOPE as most mailers write them', () => {
    const message = crlf(
      'Date: Sun, 22 Nov 2026 10:00:00 +0000\nSubject: Hello there\nFrom: "Anna B." <anna@example.com>\nTo: bob@example.com, Dr. C <c.d@example.com>\nMessage-ID: <1@example.com>\n\nText\n',
    );
    summary.begin(message);
    const from = '(("Anna B." NIL "anna" "example.com"))';
    assert.equal(
      written((out) => summary.putEnvelope(out)).toString(),
      `("Sun, 22 Nov 2026 10:00:00 +0000" "Hello there" ${from} ${from} ${from} ((NIL NIL "bob" "example.com")("Dr. C" NIL "c.d" "example.com")) NIL NIL NIL "<1@example.com>")`,
    );
  });

  it('has the envelope that the parsers make, whatever the fields hold', () => {
    fc.assert(fc.property(header, assertSame), { numRuns: 3000 });
  });

  it('is the same for messages that follow one another in one block', () => {
    const out = new OctetBlocks();
    const expected: Buffer[] = [];
    for (let round = 0; round < 2000; round += 1) {
      const message = crlf(`Subject: ${round}\nFrom: ${'name '.repeat(round % 70)}<a${round}@example.com>\n\n${'x\n'.repeat(round % 7)}`);
      out.begin();
      summary.begin(message);
      summary.putEnvelope(out);
      summary.putBodyStructure(out);
      summary.putKept(out);
      const structure = parseStructure(message);
      const head = message.subarray(0, structure.bodyStart);
      expected.push(envelope(head), bodyStructure(structure), selectFields(head, kept));
    }
    assert.ok(Buffer.concat(out.take()).equals(Buffer.concat(expected)));
    assert.deepEqual(out.take(), []);
  });
});
