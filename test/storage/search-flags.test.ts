import assert from 'node:assert/strict';
import { Buffer } from 'node:buffer';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fewMatches } from '#storage/search-flags.js';

describe('a search by flags', () => {
  const flags = fc.array(fc.integer({ min: 0, max: 31 }), { maxLength: 1000 }).map((list) => Uint8Array.from(list));
  const table = fc.array(fc.integer({ min: 0, max: 1 }), { minLength: 64, maxLength: 64 }).map((list) => Uint8Array.from(list));

  it('finds all of few matches, ascending', () => {
    fc.assert(
      fc.property(flags, table, fc.nat(31), (column, sets, only) => {
        const one = new Uint8Array(64);
        one[only] = 1;
        for (const wanted of [sets, one]) {
          const expected = [...column.keys()].filter((place) => wanted[column[place] as number] === 1);
          const found = fewMatches(column, wanted);
          if (found === undefined) assert.ok(expected.length > column.length / 64, 'many');
          else assert.deepEqual(found, expected);
        }
      }),
    );
  });

  it('looks only at its part of a larger buffer', () => {
    const whole = Uint8Array.from({ length: 400 }, (_, place) => (place === 150 || place === 350 ? 4 : 0));
    const wanted = new Uint8Array(64);
    wanted[4] = 1;
    assert.deepEqual(fewMatches(whole.subarray(100, 300), wanted), [50]);
  });

  it('does not look for the many one by one where flags repeat', ({ mock }) => {
    const wanted = new Uint8Array(64);
    wanted[4] = 1;
    const looks = mock.method(Buffer.prototype, 'indexOf');
    for (const period of [2, 3, 5, 6, 7, 10, 12, 14, 15, 21, 28, 30, 35, 42]) {
      for (const length of [5_000, 30_000, 99_840, 100_000, 1_000_000]) {
        const column = Uint8Array.from({ length }, (_, place) => (place % period === 0 ? 4 : 0));
        assert.equal(fewMatches(column, wanted), undefined, `each ${period}th of ${length}`);
      }
    }
    assert.equal(looks.mock.callCount(), 0);
  });
});
