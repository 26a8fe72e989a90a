import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { StreamChannel, windowBytes } from '#ipc/stream-channel.js';
import { type MoveOutcome, RelayedStream } from '#service-kit/relayed-stream.js';

describe('relayed stream', () => {
  const sockets: Socket[] = [];
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.destroy();
  });

  async function pair(): Promise<readonly [Socket, Socket]> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    const outer = connect(address.port, '127.0.0.1');
    const [inner] = await once(server, 'connection');
    server.close();
    for (const socket of [outer, inner]) socket.on('error', () => undefined);
    sockets.push(outer, inner);
    return [outer, inner];
  }

  const channel = (socket: Socket): StreamChannel =>
    new StreamChannel(socket, { maxMessageBytes: 1000, onMessage: () => undefined, onClose: () => undefined });

  it('moves after what it has still to write, and goes on over its socket', async () => {
    const [near, far] = await pair();
    const [own, other] = await pair();
    let bytes = 0;
    const owner = {
      onData: (octets: Buffer): void => {
        bytes += octets.length;
      },
      onEnd: (): void => undefined,
      onClose: (): void => undefined,
      onSent: (): void => undefined,
    };
    const end = channel(far).open(1, owner);
    let waitingWhenAsked: number | undefined;
    const stream: RelayedStream = new RelayedStream((): Promise<MoveOutcome> => {
      waitingWhenAsked = stream.writableLength;
      return Promise.resolve({ kind: 'moved', socket: own, origin: undefined });
    });
    stream.on('error', () => undefined);
    stream.start(channel(near).open(1, stream));
    // More than the other side takes for now, and less than what makes it move by itself.
    const total = windowBytes + 100_000;
    stream.write(Buffer.alloc(total));
    const moved = stream.move();
    while (bytes < windowBytes) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(waitingWhenAsked, undefined);
    end.taken(windowBytes);
    assert.equal(await moved, true);
    assert.equal(waitingWhenAsked, 0);
    while (bytes < total) await new Promise((resolve) => setImmediate(resolve));
    stream.write('behind');
    assert.equal(String((await once(other, 'data'))[0]), 'behind');
    other.write('back');
    assert.equal(String((await once(stream, 'data'))[0]), 'back');
  });

  it('stays when there is no descriptor to be had, and what was written meanwhile follows', async () => {
    const [near, far] = await pair();
    let received = '';
    const owner = {
      onData: (octets: Buffer): void => {
        received += octets.toString();
      },
      onEnd: (): void => undefined,
      onClose: (): void => undefined,
      onSent: (): void => undefined,
    };
    channel(far).open(1, owner);
    const stream = new RelayedStream((): Promise<MoveOutcome> => Promise.resolve({ kind: 'stays' }));
    stream.on('error', () => undefined);
    stream.start(channel(near).open(1, stream));
    const moved = stream.move();
    stream.write('meanwhile');
    assert.equal(await moved, false);
    while (received !== 'meanwhile') await new Promise((resolve) => setImmediate(resolve));
  });
});
