import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { countInRanges, intersectRanges, normalizeRanges, rangesContain, rangesOf, subtractRanges } from '#util/number-set.js';

const numbers = fc.uniqueArray(fc.integer({ min: 1, max: 60 })).map((list) => list.sort((a, b) => a - b));
const members = (ranges: readonly (readonly [number, number])[]): number[] =>
  ranges.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, index) => first + index));

describe('Number ranges', () => {
  it('hold exactly the numbers they were made of', () => {
    fc.assert(
      fc.property(numbers, (list) => {
        const ranges = rangesOf(list);
        assert.deepEqual(members(ranges), list);
        assert.deepEqual(normalizeRanges(ranges), ranges);
        assert.equal(countInRanges(ranges), list.length);
        for (let value = 0; value <= 61; value += 1) assert.equal(rangesContain(ranges, value), list.includes(value));
      }),
    );
  });

  it('intersect and subtract as sets do', () => {
    fc.assert(
      fc.property(numbers, numbers, (left, right) => {
        assert.deepEqual(
          members(intersectRanges(rangesOf(left), rangesOf(right))),
          left.filter((value) => right.includes(value)),
        );
        assert.deepEqual(
          members(subtractRanges(rangesOf(left), rangesOf(right))),
          left.filter((value) => !right.includes(value)),
        );
      }),
    );
  });
});
