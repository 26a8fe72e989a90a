import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { Relay } from '#service-kit/relay.js';

interface Pair {
  readonly outer: Socket;
  readonly inner: Socket;
}

describe('relay', () => {
  const servers: Server[] = [];
  let client: Pair;
  let service: Pair;
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
    [client, service] = await Promise.all([pair(), pair()]);
    closed = new Promise((resolve) => new Relay(client.inner, service.inner, resolve));
  });
  afterEach(() => {
    for (const { outer, inner } of [client, service]) {
      outer.destroy();
      inner.destroy();
    }
    for (const server of servers.splice(0)) server.close();
  });

  async function readAll(socket: Socket): Promise<string> {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk: Buffer) => chunks.push(chunk));
    await once(socket, 'end');
    return Buffer.concat(chunks).toString();
  }

  it('passes an end on after everything before it, and stays open the other way', async () => {
    client.outer.end('x'.repeat(1_000_000));
    assert.equal((await readAll(service.outer)).length, 1_000_000);
    service.outer.end('answer');
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
    assert.ok(service.inner.writableLength <= 256 * 1024, `relay holds ${service.inner.writableLength} octets`);
  });

  it('destroys the other side after an error', async () => {
    service.outer.on('data', () => undefined);
    client.outer.resetAndDestroy();
    await Promise.all([once(service.outer, 'end'), closed]);
  });

  it('ends both sides when told so', async () => {
    client.outer.resume();
    service.outer.resume();
    client.inner.destroy();
    service.inner.destroy();
    await closed;
  });
});
