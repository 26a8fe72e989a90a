import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { crc32, crc32Portable, joinedCrc32 } from '#util/crc32.js';

describe('CRC-32', () => {
  for (const [text, expected] of [
    ['', 0],
    ['123456789', 0xcbf43926],
  ] as const) {
    it(`of ${JSON.stringify(text)} is the published value`, () => {
      assert.equal(crc32(Buffer.from(text)), expected);
      assert.equal(crc32Portable(Buffer.from(text)), expected);
    });
  }

  it('continues from the checksum of the part before', () => {
    const bytes = Buffer.from('one after the other');
    assert.equal(crc32(bytes.subarray(5), crc32(bytes.subarray(0, 5))), crc32(bytes));
    assert.equal(crc32Portable(bytes.subarray(5), crc32Portable(bytes.subarray(0, 5))), crc32(bytes));
  });

  it('of two parts is known from that of each', () => {
    const bytes = Buffer.from(Array.from({ length: 5000 }, (_, index) => (index * 31) & 0xff));
    for (const cut of [0, 1, 7, 8, 4095, 4999, 5000]) {
      const [first, second] = [bytes.subarray(0, cut), bytes.subarray(cut)];
      assert.equal(joinedCrc32(crc32(first), crc32(second), second.length), crc32(bytes), `cut at ${cut}`);
    }
  });
});
