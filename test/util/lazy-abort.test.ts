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

  it('is aborted already when it is first asked for after the end', () => {
    const life = new LazyAbort();
    assert.equal(life.isAborted, false);
    life.abort(new Error('over'));
    assert.equal(life.isAborted, true);
    assert.equal((life.signal.reason as Error).message, 'over');
  });
});
