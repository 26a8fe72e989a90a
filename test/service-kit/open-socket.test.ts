import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { closeDescriptor, openSocketPair } from '#ipc/handle-pass.js';
import { descriptorOf, setForAccepted, socketOfDescriptor, takeAccepted } from '#service-kit/open-socket.js';
import { openNativeLibraries } from '#util/native-calls.js';

async function accepted(
  context: TestContext,
  prepare: (listening: Server) => void = () => undefined,
): Promise<{ readonly server: Socket; readonly client: Socket; readonly emitted: Socket[] }> {
  const emitted: Socket[] = [];
  const listening = createServer((socket) => emitted.push(socket));
  listening.listen(0, '127.0.0.1');
  await once(listening, 'listening');
  prepare(listening);
  const taken = new Promise<Socket>((resolve) => takeAccepted(listening, resolve));
  const address = listening.address();
  assert.ok(typeof address === 'object' && address !== null);
  const client = connect(address.port, '127.0.0.1');
  const server = await taken;
  context.after(() => {
    listening.close();
    server.destroy();
    client.destroy();
  });
  return { server, client, emitted };
}

describe('an accepted socket', () => {
  it('is taken from the server, and reads, writes and knows its addresses', async (context) => {
    const { server, client, emitted } = await accepted(context);
    assert.equal(server.remoteAddress, '127.0.0.1');
    assert.equal(server.remotePort, client.localPort);
    client.write('hello');
    assert.equal(String((await once(server, 'data'))[0]), 'hello');
    server.write('welcome');
    assert.equal(String((await once(client, 'data'))[0]), 'welcome');
    assert.deepEqual(emitted, []);
  });

  it('ends itself when the other side has, and says that it is closed', async (context) => {
    const { server, client } = await accepted(context);
    const closed = once(server, 'close');
    server.resume();
    client.end();
    await closed;
    assert.ok(server.destroyed);
    await once(client.resume(), 'close');
  });
});

/** An option of a socket as the kernel has it. */
function optionOf(socket: Socket, level: number, name: number): number {
  const libc = openNativeLibraries()?.load(null);
  assert.ok(libc !== undefined);
  const getsockopt = libc.func('getsockopt', 'int', ['int', 'int', 'int', 'void *', 'void *']);
  const [value, length] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32LE(4, 0);
  assert.equal(getsockopt(descriptorOf(socket) ?? -1, level, name, value, length), 0);
  return value.readInt32LE(0);
}

describe('options set on a listening socket', { skip: process.platform !== 'linux' }, () => {
  const [levelSocket, keepAlive, levelTcp, noDelay, keepIdle] = [1, 9, 6, 1, 4];
  it('hold for the sockets that are accepted from it', async (context) => {
    const { server } = await accepted(context, (listening) => assert.ok(setForAccepted(listening, 45_000)));
    assert.notEqual(optionOf(server, levelTcp, noDelay), 0);
    assert.notEqual(optionOf(server, levelSocket, keepAlive), 0);
    assert.equal(optionOf(server, levelTcp, keepIdle), 45);
  });

  it('leave keep-alive off where none is wanted', async (context) => {
    const { server } = await accepted(context, (listening) => assert.ok(setForAccepted(listening, 0)));
    assert.notEqual(optionOf(server, levelTcp, noDelay), 0);
    assert.equal(optionOf(server, levelSocket, keepAlive), 0);
  });

  it('are left to the connections where the socket is none of TCP', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'roost-options-'));
    const listening = createServer();
    listening.listen(join(folder, 'socket'));
    await once(listening, 'listening');
    assert.equal(setForAccepted(listening, 0), false);
    listening.close();
    rmSync(folder, { recursive: true });
  });
});

describe('a socket made of a descriptor', () => {
  it('stays open for writing after the end of the other side only where it is told to', async () => {
    for (const allowHalfOpen of [false, true]) {
      const [near, far] = openSocketPair();
      const [one, other] = [socketOfDescriptor(near, allowHalfOpen), socketOfDescriptor(far, true)];
      assert.equal(descriptorOf(one), near);
      const ended = once(one.resume(), 'end');
      other.end();
      await ended;
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(one.writable, allowHalfOpen);
      one.destroy();
      other.destroy();
    }
  });

  it('has the options that Node would give it', () => {
    const [near, far] = openSocketPair();
    const ours = socketOfDescriptor(near);
    const plain = new Socket({ fd: far, readable: true, writable: true });
    assert.equal(ours.allowHalfOpen, plain.allowHalfOpen);
    assert.equal(ours.readableHighWaterMark, plain.readableHighWaterMark);
    assert.equal(ours.writableHighWaterMark, plain.writableHighWaterMark);
    assert.equal(ours.writableObjectMode, plain.writableObjectMode);
    ours.destroy();
    plain.destroy();
  });

  it('is refused when it is no socket', () => {
    const [near, far] = openSocketPair();
    closeDescriptor(near);
    assert.throws(() => socketOfDescriptor(near));
    closeDescriptor(far);
  });
});
