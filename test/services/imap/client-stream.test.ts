import assert from 'node:assert/strict';
import { once } from 'node:events';
import { it } from 'node:test';
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import { ClientStream } from '#services/imap/client-stream.js';
import { createImapWorld } from '../../support/imap-world.js';
import { streamPair } from '../../support/stream-pair.js';

it('A compressed client that says everything and closes its side at once is heard to the end', async () => {
  await using world = await createImapWorld();
  const { client } = await world.connect();
  await client.ok('COMPRESS DEFLATE');
  const compressed = deflateRawSync('a1 APPEND INBOX {3+}\r\nabc\r\na2 LOGOUT\r\n', { finishFlush: constants.Z_SYNC_FLUSH });
  client.stream.removeAllListeners('data');
  const received: Buffer[] = [];
  client.stream.on('data', (chunk: Buffer) => received.push(chunk));
  const closed = once(client.stream, 'close');
  client.stream.end(compressed);
  await closed;
  const text = inflateRawSync(Buffer.concat(received), { finishFlush: constants.Z_SYNC_FLUSH }).toString('latin1');
  assert.match(text, /^a1 OK .*\r\n(?:.*\r\n)*a2 OK /);
});

it('A stream that nobody took notices that its client has gone meanwhile', async () => {
  const [near, far] = streamPair();
  const stream = new ClientStream(far, { idleTimeoutMs: 60_000, stallTimeoutMs: 60_000, onIdle: () => undefined });
  try {
    assert.ok(stream.detach(() => undefined));
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
