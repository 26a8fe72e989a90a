import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { ChunkSource } from '#util/chunk-source.js';
import { duplexPair } from '../support/delivery-world.js';

function start(test: TestContext): { readonly source: ChunkSource; readonly send: (text: string) => void } {
  test.mock.timers.enable({ apis: ['setTimeout'] });
  // Real time hardly passes here, and the source looks at both clocks.
  let nowMs = 0;
  test.mock.method(performance, 'now', () => nowMs);
  const tick = test.mock.timers.tick.bind(test.mock.timers);
  test.mock.method(test.mock.timers, 'tick', (ms: number) => {
    nowMs += ms;
    tick(ms);
  });
  const [near, far] = duplexPair();
  const source = new ChunkSource(near);
  test.after(() => source.detach());
  return { source, send: (text) => far.write(text) };
}

describe('chunk source', () => {
  it('gives up a wait after its time, and not before', async (test) => {
    const { source } = start(test);
    let kind = '';
    void source.next(1_000).then((step) => {
      kind = step.kind;
    });
    test.mock.timers.tick(999);
    await Promise.resolve();
    assert.equal(kind, '');
    test.mock.timers.tick(1);
    await Promise.resolve();
    assert.equal(kind, 'timeout');
  });

  it('gives each wait its whole time, whatever the one before has left of its own', async (test) => {
    const { source, send } = start(test);
    const first = source.next(1_000);
    test.mock.timers.tick(900);
    send('a');
    assert.equal((await first).kind, 'chunk');
    let kind = '';
    void source.next(1_000).then((step) => {
      kind = step.kind;
    });
    test.mock.timers.tick(999);
    await Promise.resolve();
    assert.equal(kind, '');
    test.mock.timers.tick(1);
    await Promise.resolve();
    assert.equal(kind, 'timeout');
  });

  it('gives up a wait that is shorter than the one before in its own time', async (test) => {
    const { source, send } = start(test);
    const first = source.next(5_000);
    send('a');
    assert.equal((await first).kind, 'chunk');
    const second = source.next(1_000);
    test.mock.timers.tick(1_000);
    assert.equal((await second).kind, 'timeout');
  });

  it('is asked again after a pause in which nobody waited', async (test) => {
    const { source, send } = start(test);
    const first = source.next(1_000);
    send('a');
    assert.equal((await first).kind, 'chunk');
    test.mock.timers.tick(10_000);
    const second = source.next(1_000);
    test.mock.timers.tick(1_000);
    assert.equal((await second).kind, 'timeout');
  });
});
