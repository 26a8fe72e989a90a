import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { LoadDecider, type LoadSample, type LoadState, maxWaitMs } from '#service-kit/load.js';

const limits = { lagMs: 70, memory: 0.9, files: 0.95 };
const calm: LoadSample = { lagMs: 1, memory: 0.2, files: 0.1 };
const lag = (lagMs: number): LoadSample => ({ ...calm, lagMs });

/** Kinds after each sample, one every `stepMs`. */
function run(samples: readonly LoadSample[], stepMs = 500): LoadState['kind'][] {
  const decider = new LoadDecider(limits);
  return samples.map((sample, index) => decider.observe(sample, index * stepMs).kind);
}

describe('load decision', () => {
  it('lets new clients wait after two late samples, not after one', () => {
    assert.deepEqual(run([lag(71), calm, lag(500), calm]), ['normal', 'normal', 'normal', 'normal']);
    assert.deepEqual(run([lag(71), lag(71)]), ['normal', 'wait']);
  });

  it('keeps to the limit itself', () => {
    assert.deepEqual(run([lag(70), lag(70), lag(70)]), ['normal', 'normal', 'normal']);
  });

  it('serves again after two calm samples, below 70 % of the limit', () => {
    assert.deepEqual(run([lag(80), lag(80), lag(50), lag(49), lag(60), lag(49), lag(49)]), [
      'normal',
      'wait',
      'wait',
      'wait',
      'wait',
      'wait',
      'normal',
    ]);
  });

  it('refuses after the longest wait, and serves again when calm', () => {
    const busy = Array.from({ length: 3 + maxWaitMs / 500 }, () => lag(200));
    const kinds = run([...busy, calm, calm]);
    assert.equal(kinds[1 + maxWaitMs / 500 - 1], 'wait');
    assert.equal(kinds[1 + maxWaitMs / 500], 'refuse');
    assert.deepEqual(kinds.slice(-2), ['refuse', 'normal']);
  });

  for (const [what, sample] of [
    ['memory', { ...calm, memory: 0.91 }],
    ['files', { ...calm, files: 0.96 }],
  ] as const) {
    it(`goes by ${what} too, and names it`, () => {
      const decider = new LoadDecider(limits);
      decider.observe(sample, 0);
      const state = decider.observe(sample, 500);
      assert.ok(state.kind === 'wait' && /memory|descriptors/.test(state.reason) && /9[16] %/.test(state.reason));
    });
  }

  it('never refuses before the wait is over, whatever the samples', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            lagMs: fc.nat(200),
            memory: fc.double({ min: 0, max: 1, noNaN: true }),
            files: fc.double({ min: 0, max: 1, noNaN: true }),
          }),
          { maxLength: 80 },
        ),
        (samples) => {
          const decider = new LoadDecider(limits);
          let waitingSinceMs: number | undefined;
          for (const [index, sample] of samples.entries()) {
            const { kind } = decider.observe(sample, index * 500);
            if (kind === 'normal') waitingSinceMs = undefined;
            else waitingSinceMs ??= index * 500;
            if (kind === 'refuse') assert.ok(index * 500 - (waitingSinceMs ?? Number.POSITIVE_INFINITY) >= maxWaitMs);
          }
        },
      ),
    );
  });
});
