import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Gathering, longestGatheringUs } from '#util/gathering.js';

/** A loop that sleeps half of the time, looked at every ms. */
function looks(gathering: Gathering, sleptShare = 0.5): (waiting: number) => number {
  let nowMs = 1_000;
  let sleptMs = 500;
  return (waiting) => {
    nowMs += 1;
    sleptMs += sleptShare;
    return gathering.limitUs(waiting, nowMs, sleptMs);
  };
}

describe('Gathering', () => {
  it('waits for others, in a loop that sleeps now and then', () => {
    const look = looks(new Gathering());
    assert.equal(look(2), longestGatheringUs);
    assert.equal(look(10), longestGatheringUs);
  });

  it('does not wait for one alone, which has ended', () => {
    const look = looks(new Gathering());
    assert.equal(look(1), 0);
    assert.equal(look(0), 0);
  });

  it('does not wait in a loop that is busy', () => {
    const look = looks(new Gathering(), 0.01);
    look(2);
    assert.equal(look(2), 0);
  });

  it('takes its own waits for sleep', () => {
    const gathering = new Gathering();
    const look = looks(gathering, 0);
    look(2);
    gathering.ended(0.3, true);
    assert.equal(look(2), longestGatheringUs);
    assert.equal(look(2), 0);
  });

  it('leaves out more and more looks while waits are in vain, and none after one that was not', () => {
    const gathering = new Gathering();
    const look = looks(gathering);
    const leftOut = (): number => {
      let count = 0;
      while (look(3) === 0) count += 1;
      return count;
    };
    const counts: number[] = [];
    for (let turn = 0; turn < 9; turn += 1) {
      counts.push(leftOut());
      gathering.ended(0.5, false);
    }
    assert.deepEqual(counts, [0, 2, 4, 8, 16, 32, 64, 128, 128]);
    leftOut();
    gathering.ended(0.1, true);
    assert.equal(leftOut(), 0);
  });
});
