import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { StreamChannel } from '#ipc/stream-channel.js';
import { Relay } from '#service-kit/relay.js';
import { RelayedStream } from '#service-kit/relayed-stream.js';
import { StreamRelay } from '#service-kit/stream-relay.js';

interface Pair {
  readonly outer: Socket;
  readonly inner: Socket;
}

interface Relayed {
  /** What the service has of the client. */
  readonly stream: Duplex;
  /** Ends the relay at once. */
  readonly destroy: () => void;
  readonly closed: Promise<void>;
}

function closing(): { readonly closed: Promise<void>; readonly onClosed: () => void } {
  let onClosed = (): void => undefined;
  const closed = new Promise<void>((resolve) => {
    onClosed = resolve;
  });
  return { closed, onClosed };
}

function openChannel(socket: Socket): StreamChannel {
  return new StreamChannel(socket, { maxMessageBytes: 1000, onMessage: () => undefined, onClose: () => undefined });
}

/** @param carrier connected sockets: what leads to the service */
const ways: Readonly<Record<string, (client: Socket, carrier: Pair) => Relayed>> = {
  'over a socket of its own': (client, { inner, outer }) => {
    const { closed, onClosed } = closing();
    const relay = new Relay(client, inner, onClosed);
    return { stream: outer, destroy: () => relay.destroy(), closed };
  },
  'over a channel that many share': (client, { inner, outer }) => {
    const { closed, onClosed } = closing();
    const relay = new StreamRelay(client, onClosed);
    relay.use(openChannel(inner).open(1, relay));
    const stream = new RelayedStream();
    stream.allowHalfOpen = true;
    stream.on('error', () => undefined);
    stream.start(openChannel(outer).open(1, stream));
    relay.start();
    return { stream, destroy: () => relay.destroy(), closed };
  },
};

for (const [way, begin] of Object.entries(ways))
  describe(`relay ${way}`, () => {
    const servers: Server[] = [];
    let client: Pair;
    let carrier: Pair;
    let service: Relayed;
    let closed: Promise<void>;

    /** `inner` belongs to the relay, `outer` to the test. */
    async function pair(): Promise<Pair> {
      const server = createServer({ allowHalfOpen: true });
      servers.push(server);
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const address = server.address();
      assert.ok(typeof address === 'object' && address !== null);
      const outer = connect({ port: address.port, host: '127.0.0.1', allowHalfOpen: true });
      outer.on('error', () => undefined);
      const [inner] = await once(server, 'connection');
      return { outer, inner };
    }

    beforeEach(async () => {
      [client, carrier] = await Promise.all([pair(), pair()]);
      service = begin(client.inner, carrier);
      closed = service.closed;
    });
    afterEach(() => {
      for (const { outer, inner } of [client, carrier]) {
        outer.destroy();
        inner.destroy();
      }
      for (const server of servers.splice(0)) server.close();
    });

    /** Reads until there is no more, be it after an error. */
    function lost(stream: Duplex, event?: 'close'): Promise<void> {
      return new Promise((resolve) => {
        stream.resume();
        stream.once(event ?? (stream instanceof RelayedStream ? 'close' : 'end'), () => resolve());
      });
    }

    async function readAll(socket: Duplex): Promise<string> {
      const chunks: Buffer[] = [];
      socket.on('data', (chunk: Buffer) => chunks.push(chunk));
      await once(socket, 'end');
      return Buffer.concat(chunks).toString();
    }

    it('passes an end on after everything before it, and stays open the other way', async () => {
      client.outer.end('x'.repeat(1_000_000));
      assert.equal((await readAll(service.stream)).length, 1_000_000);
      service.stream.end('answer');
      assert.equal(await readAll(client.outer), 'answer');
      await closed;
    });

    it('does not take more than it can pass on', async () => {
      let count = 0;
      const chunk = Buffer.alloc(64 * 1024);
      // The service does not read: the client is stopped once the buffers in between are full.
      while (count < 2_000 && client.outer.writableLength < 1_000_000) {
        client.outer.write(chunk);
        count += 1;
        await new Promise((resolve) => setImmediate(resolve));
      }
      assert.ok(count < 2_000, 'the client could send 128 MB');
      assert.ok(carrier.inner.writableLength <= 256 * 1024, `relay holds ${carrier.inner.writableLength} octets`);
      let received = 0;
      service.stream.on('data', (chunk: Buffer) => {
        received += chunk.length;
      });
      client.outer.end();
      await once(service.stream, 'end');
      assert.equal(received, count * chunk.length);
    });

    it('destroys the other side after an error', async () => {
      service.stream.on('data', () => undefined);
      client.outer.resetAndDestroy();
      await lost(service.stream);
      service.stream.destroy();
      await closed;
    });

    it('does not let a client that reads nothing fill the memory', async () => {
      const chunk = Buffer.alloc(64 * 1024);
      let count = 0;
      while (count < 2_000 && service.stream.writableLength < 1_000_000) {
        service.stream.write(chunk);
        count += 1;
        await new Promise((resolve) => setImmediate(resolve));
      }
      assert.ok(count < 2_000, 'the service could send 128 MB');
      assert.ok(client.inner.writableLength <= 256 * 1024, `relay holds ${client.inner.writableLength} octets`);
      let received = 0;
      client.outer.on('data', (octets: Buffer) => {
        received += octets.length;
      });
      service.stream.resume();
      service.stream.end();
      await once(client.outer, 'end');
      assert.equal(received, count * chunk.length);
      client.outer.end();
      await closed;
    });

    it('ends the service when the client closes, and the client when the service does', async () => {
      client.outer.end();
      service.stream.resume();
      await once(service.stream, 'end');
      service.stream.write('bye');
      service.stream.end();
      assert.equal(await readAll(client.outer), 'bye');
      await closed;
    });

    it('tells the service that its writes go nowhere when the client has gone', async () => {
      client.outer.destroy();
      service.stream.on('error', () => undefined);
      const writer = setInterval(() => service.stream.writable && service.stream.write('x'), 5);
      await lost(service.stream, 'close').finally(() => clearInterval(writer));
      await closed;
    });

    it('leaves the client time to hear the last words of a process that is gone after them', async () => {
      const gone = once(carrier.inner, 'end');
      // `end` is called when all is on its way.
      await new Promise<void>((resolve) => service.stream.end('bye', () => resolve()));
      await once(client.outer, 'readable');
      carrier.outer.destroySoon();
      await gone;
      // It has not heard it when it says this, which must not be answered with a reset.
      assert.equal(client.inner.destroyed, false);
      await new Promise<void>((resolve) => client.outer.write('more', () => resolve()));
      assert.equal(await readAll(client.outer), 'bye');
      client.outer.end();
      await closed;
    });

    if (way === 'over a socket of its own') {
      it('does not cut the client off when the process goes without having read all that it says', async () => {
        const heard = once(client.outer, 'readable');
        carrier.outer.write('bye');
        await heard;
        const gone = new Promise<void>((resolve) => carrier.inner.once('close', () => resolve()));
        // What it has not read makes this an error for the relay.
        carrier.outer.resetAndDestroy();
        await gone;
        assert.equal(client.inner.destroyed, false);
        await new Promise<void>((resolve) => client.outer.write('more', () => resolve()));
        assert.equal(await readAll(client.outer), 'bye');
        client.outer.end();
        await closed;
      });
    }

    it('ends both sides when told so', async () => {
      client.outer.resume();
      service.stream.resume();
      service.destroy();
      await lost(service.stream);
      await closed;
    });
  });
