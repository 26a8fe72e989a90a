import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { type Deadline, Deadlines } from '#util/deadlines.js';

interface Named {
  readonly name: string;
}

function deadlines(context: TestContext): { readonly list: Deadlines<Named>; readonly came: string[] } {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const came: string[] = [];
  return { list: new Deadlines<Named>(1_000, ({ name }) => came.push(name)), came };
}

describe('deadlines', () => {
  it('come when their time is over, and once', (context) => {
    const { list, came } = deadlines(context);
    list.add({ name: 'one' });
    context.mock.timers.tick(999);
    assert.deepEqual(came, []);
    context.mock.timers.tick(1);
    assert.deepEqual(came, ['one']);
    context.mock.timers.tick(5_000);
    assert.deepEqual(came, ['one']);
    list.add({ name: 'two' });
    context.mock.timers.tick(1_000);
    assert.deepEqual(came, ['one', 'two']);
  });

  it('do not come when they were cancelled, even by one that came in the same moment', (context) => {
    context.mock.timers.enable({ apis: ['setTimeout'] });
    const came: string[] = [];
    const others: Deadline[] = [];
    const list = new Deadlines<Named>(1_000, ({ name }) => {
      came.push(name);
      for (const other of others) other.cancel();
    });
    const first = list.add({ name: 'one' });
    list.add({ name: 'two' });
    others.push(list.add({ name: 'three' }));
    first.cancel();
    first.cancel();
    context.mock.timers.tick(1_000);
    // The rest of the way to the next one, by the other clock.
    for (let ms = 0; ms < 100 && came.length === 0; ms++) context.mock.timers.tick(1);
    assert.deepEqual(came, ['two']);
  });

  it('come in real time, each after its own delay', async () => {
    const startedAtMs = performance.now();
    const elapsed: number[] = [];
    await new Promise<void>((resolve) => {
      // Keeps the process alive, which the deadlines do not.
      const alive = setInterval(() => undefined, 1_000);
      const list = new Deadlines<{ readonly addedAtMs: number }>(40, ({ addedAtMs }) => {
        elapsed.push(performance.now() - addedAtMs);
        if (elapsed.length < 2) return;
        clearInterval(alive);
        resolve();
      });
      list.add({ addedAtMs: startedAtMs });
      setTimeout(() => list.add({ addedAtMs: performance.now() }), 20);
    });
    // Timers count from the beginning of a turn of the event loop, which may have been a while ago.
    for (const ms of elapsed) assert.ok(ms > 20, `${ms} ms`);
  });

  it('keep few of those that were cancelled', (context) => {
    const { list, came } = deadlines(context);
    list.add({ name: 'slow' });
    for (let count = 0; count < 10_000; count++) list.add({ name: 'quick' }).cancel();
    assert.ok(list.length <= 65);
    context.mock.timers.tick(1_000);
    assert.deepEqual(came, ['slow']);
  });
});
