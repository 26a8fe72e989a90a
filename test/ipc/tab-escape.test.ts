import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { encodeTabLine, parseTabLine, tabEscape, tabUnescape } from '#ipc/tab-escape.js';

describe('tab-escaped line', () => {
  for (const [text, escaped] of [
    ['plain', 'plain'],
    ['a\tb', 'a\u0001tb'],
    ['a\nb\r', 'a\u0001nb\u0001r'],
    ['\0\u0001', '\u00010\u00011'],
  ] as const) {
    it(`writes ${JSON.stringify(text)} as ${JSON.stringify(escaped)}`, () => {
      assert.equal(tabEscape(text), escaped);
      assert.equal(tabUnescape(escaped), text);
    });
  }

  it('takes an unknown escape for the octet itself and drops a lone escape at the end', () => {
    assert.equal(tabUnescape('a\u0001xb\u0001'), 'axb');
  });

  it('brings any fields back', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' }), { minLength: 1 }), (fields) => {
        const line = encodeTabLine(fields);
        assert.equal(line.indexOf('\n'), line.length - 1);
        assert.deepEqual(parseTabLine(line.slice(0, -1)), fields);
      }),
    );
  });
});
