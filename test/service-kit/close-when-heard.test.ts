import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { closeWhenHeard } from '#service-kit/close-when-heard.js';
import { socketPair, talkOver } from '../support/socket-pair.js';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('A connection that the server ends', () => {
  it('is not reset while its client is saying something', async (test) => {
    const [near, far] = await socketPair(test);
    let closing: Promise<void> | undefined;
    const { heard, errors } = await talkOver(near, () => {
      far.write('* BYE\r\n');
      closing = closeWhenHeard(far);
    });
    await closing;
    assert.deepEqual([heard, errors], ['* BYE\r\n', []]);
    assert.ok(far.destroyed);
  });

  it('is not reset for what had come before', async (test) => {
    const [near, far] = await socketPair(test);
    far.pause();
    await new Promise<void>((resolve) => near.write('a0 NOOP\r\n', () => resolve()));
    const { heard, errors } = await talkOver(near, () => {
      far.write('* BYE\r\n');
      void closeWhenHeard(far);
    });
    assert.deepEqual([heard, errors], ['* BYE\r\n', []]);
  });

  it('brings a client that has closed its side already all that waits for it', async (test) => {
    const [near, far] = await socketPair(test);
    far.allowHalfOpen = true;
    near.allowHalfOpen = true;
    near.pause();
    near.end();
    far.resume();
    await once(far, 'end');
    const text = 'x'.repeat(3_000_000);
    far.write(text);
    const closing = closeWhenHeard(far);
    let bytes = 0;
    near.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
    });
    const ended = once(near, 'end');
    near.resume();
    await Promise.all([closing, ended]);
    assert.equal(bytes, text.length);
  });

  it('is closed after 2 s where the client does not close its side, or does not read', async (test) => {
    test.mock.timers.enable({ apis: ['setTimeout'] });
    for (const lastWords of ['* BYE\r\n', 'x'.repeat(3_000_000)]) {
      const [near, far] = await socketPair(test);
      near.allowHalfOpen = true;
      near.on('error', () => undefined);
      near.pause();
      far.write(lastWords);
      const closing = closeWhenHeard(far);
      test.mock.timers.tick(1_999);
      await turn();
      assert.equal(far.destroyed, false);
      test.mock.timers.tick(1);
      await closing;
      assert.ok(far.destroyed);
    }
  });

  it('may have been closed by the client', async (test) => {
    const [near, far] = await socketPair(test);
    near.destroy();
    far.resume();
    await once(far, 'close');
    await closeWhenHeard(far);
  });
});
