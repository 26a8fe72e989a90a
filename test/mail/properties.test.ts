import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseAddressList } from '#mail/address.js';
import { parseMessageDate } from '#mail/date.js';
import { selectFields, splitHeader } from '#mail/header.js';
import { MimeScanner, parseStructure } from '#mail/mime-tree.js';
import { previewOf } from '#mail/preview.js';
import { allParts, bufferSource, partTexts } from '#mail/text.js';
import { body, bodyStructure, envelope } from '#mail/wire.js';
import { wireString } from '#mail/wire-string.js';
import { assertSound, messageNames, parseWire, readMessage } from './messages.js';

/** Pieces of which bad mail is made. */
const pieces = [
  '\r\n',
  '\n',
  '\r',
  '\r\n\r\n',
  '--',
  '--b',
  '--b--',
  '--bb',
  'b',
  ' ',
  '\t',
  ':',
  ';',
  '=',
  '"',
  '\\',
  '(',
  ')',
  '<',
  '>',
  '@',
  ',',
  '\0',
  '\xff',
  'x',
  'Content-Type: multipart/mixed; boundary=b',
  'Content-Type: multipart/mixed; boundary="bb"',
  'Content-Type: message/rfc822',
  'Content-Type: multipart/digest; boundary=b',
  'Content-Type: text/html; charset=',
  'Content-Transfer-Encoding: base64',
  'From: ',
  'Subject: =?utf-8?q?',
  '?=',
  "name*0*=utf-8''%",
  'name*1=',
  'Date: ',
  'Content-Disposition: ',
];
const soup = fc.array(fc.constantFrom(...pieces), { maxLength: 120 }).map((list) => Buffer.from(list.join(''), 'latin1'));
const octets = fc.uint8Array({ maxLength: 500 }).map((array) => Buffer.from(array));
const names = messageNames().filter((name) => !name.startsWith('depth'));

interface Mutation {
  readonly at: number;
  readonly remove: number;
  readonly insert: string;
}

const mutation: fc.Arbitrary<Mutation> = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  remove: fc.integer({ min: 0, max: 30 }),
  insert: fc.constantFrom('', ...pieces),
});
const mutated = fc.tuple(fc.constantFrom(...names), fc.array(mutation, { maxLength: 5 })).map(([name, mutations]) => {
  let message = readMessage(name).toString('latin1');
  for (const { at, remove, insert } of mutations) {
    const index = Math.floor(at * message.length);
    message = message.slice(0, index) + insert + message.slice(index + remove);
  }
  return Buffer.from(message, 'latin1');
});
const anyMessage = fc.oneof(soup, octets, mutated);

describe('any message', () => {
  it('has a structure with sound offsets', () => {
    fc.assert(
      fc.property(anyMessage, (message) => assertSound(message, parseStructure(message))),
      { numRuns: 2000 },
    );
  });
  it('has the same structure however it is cut', () => {
    fc.assert(
      fc.property(anyMessage, fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 }), (message, sizes) => {
        const scanner = new MimeScanner();
        for (let at = 0, index = 0; at < message.length; index += 1) {
          const size = sizes[index % sizes.length] ?? 1;
          scanner.push(Buffer.from(message.subarray(at, at + size)));
          at += size;
        }
        assert.deepEqual(scanner.end(), parseStructure(message));
      }),
      { numRuns: 2000 },
    );
  });
  it('has well-formed ENVELOPE, BODY and BODYSTRUCTURE', () => {
    fc.assert(
      fc.property(anyMessage, (message) => {
        const root = parseStructure(message);
        const list = parseWire(envelope(message).toString('latin1'));
        assert.ok(Array.isArray(list) && list.length === 10);
        parseWire(body(root).toString('latin1'));
        parseWire(bodyStructure(root).toString('latin1'));
      }),
      { numRuns: 2000 },
    );
  });
  it('can be read and previewed', async () => {
    await fc.assert(
      fc.asyncProperty(anyMessage, async (message) => {
        const root = parseStructure(message);
        assert.equal(typeof (await previewOf(bufferSource(message), root)), 'string');
        for (const part of allParts(root)) {
          if (part.type === 'text') for await (const text of partTexts(bufferSource(message), part)) assert.equal(typeof text, 'string');
        }
      }),
      { numRuns: 500 },
    );
  });
  it('has a header that its fields make up', () => {
    fc.assert(
      fc.property(anyMessage, (message) => {
        const fields = splitHeader(message);
        const end = fields.at(-1)?.end ?? 0;
        assert.ok(selectFields(message, [], false).equals(message.subarray(0, end)));
        const [first] = fields;
        if (first === undefined) return;
        const size = selectFields(message, [first.name]).length + selectFields(message, [first.name], false).length;
        assert.equal(size, end);
      }),
    );
  });
});

describe('any text', () => {
  const header = fc
    .array(fc.oneof(fc.constantFrom(...pieces), fc.string({ maxLength: 5 })), { maxLength: 40 })
    .map((list) => Buffer.from(list.join('')).toString('latin1'));
  it('is an address list of some kind, groups opened and closed in turn', () => {
    fc.assert(
      fc.property(header, (text) => {
        let isOpen = false;
        for (const { mailbox, host } of parseAddressList(text)) {
          if (host !== null) continue;
          assert.equal(mailbox === null, isOpen);
          isOpen = !isOpen;
        }
        assert.equal(isOpen, false);
      }),
      { numRuns: 2000 },
    );
  });
  it('is a date or none', () => {
    fc.assert(
      fc.property(fc.oneof(header, fc.string()), (text) => {
        const date = parseMessageDate(text);
        assert.ok(date === undefined || (Number.isFinite(date.ms) && Math.abs(date.zoneMinutes) < 24 * 60));
      }),
    );
  });
  it('comes back from an IMAP string, NUL aside', () => {
    fc.assert(
      fc.property(octets, (value) =>
        assert.equal(parseWire(wireString(value.toString('latin1'))), value.toString('latin1').replaceAll('\0', '\xef\xbf\xbd')),
      ),
    );
  });
});
