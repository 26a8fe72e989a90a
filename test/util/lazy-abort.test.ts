import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LazyAbort } from '#util/lazy-abort.js';

describe('a lazily made abort signal', () => {
  it('aborts whoever waits on it, with the first reason', () => {
    const life = new LazyAbort();
    const { signal } = life;
    life.abort(new Error('one'));
    life.abort(new Error('two'));
    assert.equal((signal.reason as Error).message, 'one');
    assert.equal(life.signal, signal);
  });

  it('may be waited on by any number, without a warning', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    const { signal } = new LazyAbort();
    for (let count = 0; count < 50; count += 1) signal.addEventListener('abort', () => undefined);
    await new Promise(setImmediate);
    process.off('warning', onWarning);
    assert.deepEqual(warnings, []);
  });

  it('is aborted already when it is first asked for after the end', () => {
    const life = new LazyAbort();
    assert.equal(life.isAborted, false);
    life.abort(new Error('over'));
    assert.equal(life.isAborted, true);
    assert.equal((life.signal.reason as Error).message, 'over');
  });
});
