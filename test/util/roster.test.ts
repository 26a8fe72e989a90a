import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Roster } from '#util/roster.js';

describe('a roster', () => {
  it('has the members that a Set has', () => {
    const members = Array.from({ length: 8 }, (_, id) => ({ id }));
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.constantFrom(...members)), { maxLength: 100 }), (steps) => {
        const roster = new Roster<{ readonly id: number }>();
        const model = new Set<{ readonly id: number }>();
        for (const [isAdded, member] of steps) {
          if (isAdded) {
            roster.add(member);
            model.add(member);
          } else assert.equal(roster.delete(member), model.delete(member));
          assert.equal(roster.size, model.size);
          assert.deepEqual(new Set(roster), model);
        }
      }),
    );
  });
});
