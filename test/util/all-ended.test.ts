import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { allEnded } from '#util/all-ended.js';

describe('waiting until all have ended', () => {
  it('is over at once when there is nothing', async () => {
    await allEnded([]);
  });

  it('lasts as long as the longest', async () => {
    let isOver = false;
    let end = (): void => undefined;
    const slow = new Promise<void>((resolve) => {
      end = resolve;
    });
    const all = allEnded([Promise.resolve(), slow]).then(() => {
      isOver = true;
    });
    await setImmediate();
    assert.equal(isOver, false);
    end();
    await all;
    assert.equal(isOver, true);
  });

  it('tells the first failure once all have ended', async () => {
    const ended: string[] = [];
    const late = setImmediate().then(() => {
      ended.push('late');
    });
    const works = [Promise.reject(new Error('first')), late, Promise.reject(new Error('second'))];
    await assert.rejects(allEnded(works), /first/);
    assert.deepEqual(ended, ['late']);
  });

  it('tells the failure of one alone', async () => {
    await assert.rejects(allEnded([Promise.reject(new Error('only'))]), /only/);
  });
});
