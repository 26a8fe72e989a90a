import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { selectFields } from '#mail/header.js';
import { FieldNames, FieldTable, scanHeader } from '#mail/header-scan.js';
import { headerKey, keyOfFields } from '#storage/search-text.js';

const names = ['subject', 'from'];
const pieces = [
  'a',
  'Bc',
  ' ',
  '  ',
  '\t',
  '\r\n ',
  '\r\n\t',
  '=',
  '?',
  '=?',
  '=?utf-8?q?=C3=A4?=',
  '?=',
  '\xc3\xa4',
  '\xff',
  '\x01',
  'ß',
  '.',
  '~',
];
const line = fc
  .tuple(fc.constantFrom('Subject', 'From', 'subject ', 'X-Other'), fc.array(fc.constantFrom(...pieces), { maxLength: 12 }))
  .map(([name, parts]) => `${name}:${parts.join('')}\r\n`);
const header = fc.array(line, { maxLength: 6 }).map((lines) => Buffer.from(lines.join(''), 'latin1'));

describe('the search key of a header field', () => {
  it('is the same whether found in the whole header or in selected fields', () => {
    const table = new FieldTable();
    fc.assert(
      fc.property(header, (block) => {
        scanHeader(block, new FieldNames(names), table);
        for (const [number, name] of names.entries()) {
          assert.equal(keyOfFields(block, table, number), headerKey(selectFields(block, [name])));
        }
      }),
      { numRuns: 2000 },
    );
  });
  it('is null without the field, and empty for an empty one', () => {
    const table = new FieldTable();
    scanHeader(Buffer.from('From: \r\n'), new FieldNames(names), table);
    assert.equal(keyOfFields(Buffer.from('From: \r\n'), table, 0), null);
    assert.equal(keyOfFields(Buffer.from('From: \r\n'), table, 1), '');
  });
});
