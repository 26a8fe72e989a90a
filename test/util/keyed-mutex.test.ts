import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { KeyedMutex, Mutex } from '#util/keyed-mutex.js';

describe('Mutex', () => {
  it('serves waiters in order of arrival', async () => {
    const mutex = new Mutex();
    const order: number[] = [];
    const release = await mutex.acquire();
    const waiting = [1, 2, 3].map((number) => mutex.run(() => order.push(number)));
    release();
    release();
    await Promise.all(waiting);
    assert.deepEqual(order, [1, 2, 3]);
    assert.equal(mutex.isHeld, false);
  });

  it('forgets a waiter that gave up', async () => {
    const mutex = new Mutex();
    const release = await mutex.acquire();
    const abort = new AbortController();
    const waiting = mutex.acquire(abort.signal);
    abort.abort(new Error('enough'));
    await assert.rejects(waiting, /enough/);
    release();
    assert.equal(mutex.isHeld, false);
  });

  it('is not taken at once from who holds it, nor from who waits', async () => {
    const mutex = new Mutex();
    const release = mutex.acquireNow();
    assert.ok(release !== undefined);
    assert.equal(mutex.acquireNow(), undefined);
    const waiting = mutex.acquire();
    release();
    assert.equal(mutex.acquireNow(), undefined);
    (await waiting)();
    mutex.acquireNow()?.();
    assert.equal(mutex.isHeld, false);
  });

  it('is free again after work that throws', async () => {
    const mutex = new Mutex();
    await assert.rejects(
      mutex.run(() => {
        throw new Error('broken');
      }),
    );
    assert.equal(mutex.isHeld, false);
  });
});

describe('KeyedMutex', () => {
  it('lets different keys pass each other and keeps nothing behind', async () => {
    const mutex = new KeyedMutex();
    const a = await mutex.acquire('a');
    const b = await mutex.acquire('b');
    const abort = new AbortController();
    const second = mutex.acquire('a', abort.signal);
    abort.abort(new Error('enough'));
    await assert.rejects(second, /enough/);
    a();
    b();
    assert.equal(mutex.size, 0);
  });
});
