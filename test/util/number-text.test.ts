import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { formatRanges, rangesOf } from '#util/number-set.js';
import { formatNumbers, spacedNumbers } from '#util/number-text.js';

describe('a list of numbers as text', () => {
  const numbers = fc.oneof(
    fc.array(fc.nat(4_294_967_295), { maxLength: 100 }),
    fc.array(fc.integer({ min: 4_294_960_000, max: 4_294_967_295 }), { minLength: 1_000, maxLength: 4_000, size: 'max' }),
    fc.array(fc.nat(60), { maxLength: 200 }).map((list) => [...new Set(list)].sort((a, b) => a - b)),
  );

  it('is what joining them makes', () => {
    const textOf = (list: ArrayLike<number>): string => Buffer.concat(spacedNumbers(list)).toString('latin1');
    fc.assert(fc.property(numbers, (list) => assert.equal(textOf(list), list.map((number) => ` ${number}`).join(''))));
    fc.assert(fc.property(numbers, (list) => assert.equal(textOf(Uint32Array.from(list)), list.map((number) => ` ${number}`).join(''))));
    const long = Array.from({ length: 20_000 }, (_, index) => 4_294_967_295 - index);
    assert.equal(textOf(long), ` ${long.join(' ')}`);
  });

  it('names runs by their ends', () => {
    assert.equal(formatNumbers([3, 1, 2]), '3,1:2');
    assert.equal(formatNumbers([]), '');
    assert.equal(formatNumbers([4_294_967_294, 4_294_967_295]), '4294967294:4294967295');
    fc.assert(fc.property(numbers, (list) => assert.equal(formatNumbers(list), formatRanges(rangesOf(list)))));
  });
});
