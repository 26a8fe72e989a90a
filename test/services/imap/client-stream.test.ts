import assert from 'node:assert/strict';
import { once } from 'node:events';
import { it } from 'node:test';
import { ClientStream } from '#services/imap/client-stream.js';
import { streamPair } from '../../support/stream-pair.js';

it('A stream that nobody took notices that its client has gone meanwhile', async () => {
  const [near, far] = streamPair();
  const stream = new ClientStream(far, { idleTimeoutMs: 60_000, stallTimeoutMs: 60_000, onIdle: () => undefined });
  try {
    assert.ok(stream.detach());
    const ended = once(far, 'end');
    near.end();
    far.resume();
    await ended;
    assert.equal(stream.isAtEnd, false);
    stream.attach();
    assert.equal(stream.isAtEnd, true);
  } finally {
    stream.abandon();
    far.destroy();
    near.destroy();
  }
});
