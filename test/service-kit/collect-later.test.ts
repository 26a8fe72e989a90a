import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { collectLater } from '#service-kit/collect-later.js';

/** Full collections while a heap of some 20 MB gives way to another one piece by piece. */
const churn = `
  const live = [];
  for (let turn = 0; turn < 400; turn += 1) live[turn % 40] = Array.from({ length: 20_000 }, (_, index) => ({ turn, index }));
`;

function fullCollections(flags: readonly string[]): number {
  const output = execFileSync(process.execPath, ['--trace-gc', ...flags, '-e', churn], { encoding: 'latin1' });
  return output.match(/Mark-Compact/g)?.length ?? 0;
}

describe('Collecting later', () => {
  for (const [version, flags] of [
    ['11.3.244.8-node.33', ['--heap-growing-percent=100']],
    ['12.4.254.21-node.33', []],
  ] as const) {
    it(`sets [${flags}] under V8 ${version}`, () => {
      const set: string[] = [];
      collectLater((flag) => void set.push(flag), version);
      assert.deepEqual(set, flags);
    });
  }

  it('lets this V8 collect less often, also when it is told while it runs', { skip: !process.versions.v8.startsWith('11.') }, () => {
    const tell = `require('node:v8').setFlagsFromString('--heap-growing-percent=400');`;
    const output = execFileSync(process.execPath, ['--trace-gc', '-e', `${tell}${churn}`], { encoding: 'latin1' });
    const often = fullCollections(['--heap-growing-percent=10']);
    assert.ok((output.match(/Mark-Compact/g)?.length ?? 0) < often, output);
  });
});
