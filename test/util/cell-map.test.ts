import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CellMap } from '#util/cell-map.js';

describe('a map of cells', () => {
  it('does what a Map does', () => {
    const step = fc.record({ verb: fc.constantFrom('set', 'take', 'takeAll'), key: fc.integer({ min: 0, max: 9 }), value: fc.integer() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const cells = new CellMap<number, number>();
        const model = new Map<number, number>();
        for (const { verb, key, value } of steps) {
          if (verb === 'set') {
            cells.set(key, value);
            model.set(key, value);
          } else if (verb === 'take') {
            assert.equal(cells.take(key), model.get(key));
            model.delete(key);
          } else if (key === 0) {
            assert.deepEqual(cells.takeAll(), [...model]);
            model.clear();
          }
          assert.equal(cells.size, model.size);
          assert.equal(cells.has(key), model.has(key));
          assert.equal(cells.get(key), model.get(key));
          assert.deepEqual(cells.entries(), [...model]);
        }
      }),
    );
  });

  it('holds nothing of what was removed, where a Map holds it until the next full collection', () => {
    assert.ok(survivingMegabytes('Map') > 2, 'this V8 no longer needs the class');
    assert.ok(survivingMegabytes('CellMap') < 1.5);
  });
});

/** Of 8 MB, put in and removed again, what outlives small collections. */
function survivingMegabytes(kind: 'Map' | 'CellMap'): number {
  const program = `
import { CellMap } from ${JSON.stringify(import.meta.resolve('#util/cell-map.js'))};
const map = new ${kind}();
const remove = (key) => ${kind === 'Map' ? 'map.delete(key)' : 'map.take(key)'};
for (let key = 0; key < 10; key++) map.set(key, []);
gc();
const before = process.memoryUsage().heapUsed;
for (let key = 10; key < 1010; key++) {
  map.set(key, new Array(1000).fill(key));
  remove(key - 10);
}
for (let key = 1000; key < 1010; key++) remove(key);
gc({ type: 'minor' });
gc({ type: 'minor' });
console.log((process.memoryUsage().heapUsed - before) / 1e6);
`;
  return Number(execFileSync(process.execPath, ['--expose-gc', '--input-type=module', '-e', program], { encoding: 'utf8' }));
}
