import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { DotDecoder, DotEncoder } from '#protocol/line/dot-stream.js';

interface Decoded {
  content: string;
  rest: string | undefined;
  bare: boolean;
}

function decode(chunks: readonly Buffer[], looksForBareNewlines = true): Decoded {
  const decoder = new DotDecoder({ looksForBareNewlines });
  let content = '';
  for (const [index, chunk] of chunks.entries()) {
    const step = decoder.push(chunk);
    content += Buffer.concat([...step.content]).toString('latin1');
    if (step.rest !== undefined)
      return { content, rest: Buffer.concat([step.rest, ...chunks.slice(index + 1)]).toString('latin1'), bare: decoder.hasBareNewline };
  }
  return { content, rest: undefined, bare: decoder.hasBareNewline };
}

const cases: readonly (readonly [input: string, expected: Decoded])[] = [
  ['.\r\nQUIT\r\n', { content: '', rest: 'QUIT\r\n', bare: false }],
  ['a\r\n.\r\n', { content: 'a\r\n', rest: '', bare: false }],
  ['..a\r\n...\r\n.\r\nx', { content: '.a\r\n..\r\n', rest: 'x', bare: false }],
  ['\r\n\r\n.\r\n', { content: '\r\n\r\n', rest: '', bare: false }],
  ['a\n.\nb\r\n.\r\n', { content: 'a\n.\nb\r\n', rest: '', bare: true }],
  ['a\n.\r\nb\r\n.\r\n', { content: 'a\n.\r\nb\r\n', rest: '', bare: true }],
  ['a\r\n.\nb\r\n.\r\n', { content: 'a\r\n\nb\r\n', rest: '', bare: true }],
  ['a\r.\rb\r\n.\r\n', { content: 'a\r.\rb\r\n', rest: '', bare: true }],
  ['a\r\n.\r\r\n.\r\n', { content: 'a\r\n\r\r\n', rest: '', bare: true }],
  ['.a\r\n..\r\n.\r\n', { content: 'a\r\n.\r\n', rest: '', bare: false }],
];

describe('dot decoding', () => {
  for (const [input, expected] of cases) {
    it(`reads ${JSON.stringify(input)} whole and at every split`, () => {
      const bytes = Buffer.from(input, 'latin1');
      assert.deepEqual(decode([bytes]), expected);
      for (let cut = 0; cut <= bytes.length; cut++)
        assert.deepEqual(decode([bytes.subarray(0, cut), bytes.subarray(cut)]), expected, `cut at ${cut}`);
      assert.deepEqual(decode([...bytes].map((byte) => Buffer.from([byte]))), expected, 'one octet at a time');
      assert.deepEqual(decode([bytes], false), { ...expected, bare: false }, 'without a look at line ends');
    });
  }
  it('gives back what was encoded, for any octets and any cuts', () => {
    const piece = fc.constantFrom('.', '\r\n', '\n', '\r', 'a', '..', '\r\n.\r\n', '\0');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), fc.array(fc.nat(60), { maxLength: 4 }), (pieces, cuts) => {
        const content = Buffer.from(`${pieces.join('')}\r\n`, 'latin1');
        const encoder = new DotEncoder();
        const wire = Buffer.concat([...encoder.encode(content), encoder.end()]);
        const chunks: Buffer[] = [];
        let from = 0;
        for (const cut of [...cuts].sort((a, b) => a - b)) {
          if (cut > from && cut < wire.length) {
            chunks.push(wire.subarray(from, cut));
            from = cut;
          }
        }
        chunks.push(wire.subarray(from));
        const decoded = decode(chunks);
        // The encoder also doubles dots after a bare LF (for POP3 clients); SMTP's decoder undoes only those after CRLF.
        if (!decoded.bare) assert.equal(decoded.content, content.toString('latin1'));
        assert.equal(decoded.rest, '');
      }),
    );
  });
});
