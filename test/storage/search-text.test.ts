import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { selectFields } from '#mail/header.js';
import { FieldNames, FieldTable, scanHeader } from '#mail/header-scan.js';
import { headerKey, keyOfFields, plainFieldPattern, plainKeyIn } from '#storage/search-text.js';

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
  it('is found by a pattern where the field is plain and there is one', () => {
    const patterns = names.map(plainFieldPattern);
    let plain = 0;
    fc.assert(
      fc.property(header, fc.constantFrom('', '\r\n', '\n', 'Subject', 'From: x'), (block, end) => {
        const whole = Buffer.concat([block, Buffer.from(end)]);
        for (const [number, name] of names.entries()) {
          const key = plainKeyIn(whole.toString('latin1'), patterns[number] as RegExp);
          if (key === undefined) continue;
          plain += 1;
          assert.equal(key, headerKey(selectFields(whole, [name])));
        }
      }),
      { numRuns: 5000 },
    );
    assert.ok(plain > 200, `${plain}`);
    const [pattern] = patterns as [RegExp];
    assert.equal(plainKeyIn('X: y\r\nsubJect \t: Hello  \r\nY: z\r\n', pattern), 'HELLO');
    assert.equal(plainKeyIn('Subject: ALL OF IT IN UPPER CASE\n', pattern), 'ALL OF IT IN UPPER CASE');
    assert.equal(plainKeyIn('Subject:\r\n', pattern), '');
    const closerLook = [
      'From: x\r\n',
      'Subject: folded\r\n line\r\nSubject: plain\r\n',
      'Subject: a\r\nSubject: b\r\n',
      'Subject: two  spaces\r\n',
      'Subject: =?utf-8?q?a?=\r\n',
      'Subject: \xe9\r\n',
      'Subject: no end',
      'X-Subject: x\r\n',
      'X: y\rSubject: z\r\n',
    ];
    for (const text of closerLook) assert.equal(plainKeyIn(text, pattern), undefined, text);
    assert.equal(plainKeyIn('X.Y: dot\n', plainFieldPattern('x.y')), 'DOT');
    assert.equal(plainKeyIn(': x\n', plainFieldPattern('')), undefined);
    assert.equal(plainKeyIn('X-Y: dot\n', plainFieldPattern('x.y')), undefined);
  });
  it('takes time in proportion to the header', () => {
    const [pattern] = names.map(plainFieldPattern) as [RegExp];
    for (const text of [
      'Subject: a\r\n'.repeat(50_000),
      `Subject: ${'a b '.repeat(200_000)}`,
      `Subject:${' \t'.repeat(300_000)}x\r\n `,
      '\nsubject'.repeat(80_000),
    ])
      assert.equal(plainKeyIn(text, pattern), undefined);
  });
  it('is null without the field, and empty for an empty one', () => {
    const table = new FieldTable();
    scanHeader(Buffer.from('From: \r\n'), new FieldNames(names), table);
    assert.equal(keyOfFields(Buffer.from('From: \r\n'), table, 0), null);
    assert.equal(keyOfFields(Buffer.from('From: \r\n'), table, 1), '');
  });
});
