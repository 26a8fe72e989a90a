import assert from 'node:assert/strict';
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
});
