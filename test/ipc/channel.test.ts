import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { ChannelError, connectUnix, endedCode, FramedChannel, PendingReplies, readFirstFrame } from '#ipc/channel.js';
import { encodeFrame } from '#ipc/frame.js';
import { closeDescriptor } from '#ipc/handle-pass.js';
import { ListeningSockets } from '#ipc/listening-socket.js';
import { patienceMs } from '../support/patience.js';

let folder = '';
let server: Server;
let near: Socket;
let far: Socket;

async function until(condition: () => boolean): Promise<void> {
  for (const endMs = performance.now() + patienceMs; !condition() && performance.now() < endMs; )
    await new Promise((resolve) => setImmediate(resolve));
  assert.ok(condition());
}

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'roost-channel-'));
  server = createServer();
  server.listen(join(folder, 'socket'));
  await once(server, 'listening');
  near = connect(join(folder, 'socket'));
  [far] = await once(server, 'connection');
});
afterEach(() => {
  near.destroy();
  far.destroy();
  server.close();
  rmSync(folder, { recursive: true });
});

/** A channel that keeps what it hears. */
function listen(
  socket: Socket,
  options: { readonly maxFrameBytes?: number; readonly maxBufferedBytes?: number; readonly initial?: Buffer } = {},
) {
  const heard: { messages: unknown[]; closed: (Error | undefined)[] } = { messages: [], closed: [] };
  const channel = new FramedChannel(socket, {
    ...options,
    onMessage: (value) => heard.messages.push(value),
    onClose: (error) => heard.closed.push(error),
  });
  return { channel, heard };
}

describe('framed channel', () => {
  it('loses nothing that was sent now when the process ends next', async () => {
    if (near.connecting) await once(near, 'connect');
    const [a, b] = [listen(near), listen(far)];
    a.channel.send({ n: 1 });
    a.channel.sendNow({ n: 2 });
    a.channel.destroy();
    await until(() => b.heard.closed.length === 1);
    assert.deepEqual(b.heard.messages, [{ n: 1 }, { n: 2 }]);
  });

  it('hears what a peer has said last also when writing to it fails before that is read', async () => {
    if (near.connecting) await once(near, 'connect');
    const { channel, heard } = listen(near);
    const said = Array.from({ length: 10 }, (_, n) => ({ n, text: 'x'.repeat(3_000) }));
    far.write(Buffer.concat(said.map((value) => encodeFrame(value))));
    far.destroy();
    channel.sendNow({ is: 'late' });
    await until(() => heard.closed.length === 1);
    assert.match(String(heard.closed[0]), /EPIPE/);
    assert.deepEqual(heard.messages, said);
  });

  it('carries messages both ways, in order', async () => {
    const [a, b] = [listen(near), listen(far)];
    for (let n = 0; n < 100; n += 1) {
      a.channel.send({ n });
      b.channel.send([n]);
    }
    await until(() => a.heard.messages.length === 100 && b.heard.messages.length === 100);
    assert.deepEqual(b.heard.messages[99], { n: 99 });
    assert.deepEqual(a.heard.messages[99], [99]);
  });

  it('takes octets that were read before it', async () => {
    const frame = encodeFrame('whole');
    const { heard } = listen(near, { initial: frame.subarray(0, 3) });
    far.write(frame.subarray(3));
    await until(() => heard.messages.length === 1);
    assert.deepEqual(heard.messages, ['whole']);
  });

  it('sends what is queued before it closes, and is told once that the peer has', async () => {
    const [a, b] = [listen(near), listen(far)];
    a.channel.send('x'.repeat(1_000_000));
    const closed = a.channel.close();
    await until(() => b.heard.closed.length === 1);
    await closed;
    assert.equal(b.heard.messages.length, 1);
    assert.deepEqual([a.heard.closed, b.heard.closed], [[undefined], [undefined]]);
    assert.equal(a.channel.send('late'), false);
  });

  it('is heard to its end by a peer that is still saying something when it closes', async () => {
    const [a, b] = [listen(near), listen(far)];
    far.pause();
    a.channel.send('last words');
    const closed = a.channel.close();
    // Long enough for what a close does at once.
    for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    b.channel.sendNow('too late');
    far.resume();
    await closed;
    await until(() => b.heard.closed.length === 1);
    assert.deepEqual([b.heard.messages, b.heard.closed], [['last words'], [undefined]]);
    assert.deepEqual([a.heard.messages, a.heard.closed], [[], [undefined]]);
  });

  it('does not wait for ever for a peer that does not close its side', async (test) => {
    near.allowHalfOpen = true;
    near.resume();
    const { channel } = listen(far);
    test.mock.timers.enable({ apis: ['setTimeout'] });
    const closed = channel.close();
    await once(near, 'end');
    test.mock.timers.tick(5_000);
    await closed;
    assert.ok(far.destroyed);
  });

  it('ends at a frame past its limit', async () => {
    const { channel, heard } = listen(near, { maxFrameBytes: 10 });
    far.write(encodeFrame('12345678'));
    far.write(encodeFrame('123456789'));
    await until(() => channel.isClosed);
    assert.deepEqual(heard.messages, ['12345678']);
    assert.match(String(heard.closed[0]), /longer than 10/);
  });

  it('ends when its reader throws', async () => {
    const errors: unknown[] = [];
    const channel = new FramedChannel(near, {
      onMessage: () => {
        throw new Error('cannot use this');
      },
      onClose: (error) => errors.push(error),
    });
    far.write(encodeFrame(1));
    await until(() => channel.isClosed);
    assert.match(String(errors[0]), /cannot use this/);
  });

  it('shows back-pressure, and gives up a peer that never reads', async () => {
    const { channel, heard } = listen(near, { maxBufferedBytes: 3_000_000 });
    let isBelowMark = true;
    for (let n = 0; n < 20 && isBelowMark; n += 1) isBelowMark = channel.send('x'.repeat(100_000));
    assert.equal(isBelowMark, false);
    const drained = channel.drained();
    far.resume();
    await drained;
    far.pause();
    for (let n = 0; n < 100 && !channel.isClosed; n += 1) channel.send('x'.repeat(100_000));
    assert.match(String(heard.closed[0]), /does not read/);
    await channel.drained();
  });
});

describe('replies', () => {
  it('find their request by its id, in any order', async () => {
    const pending = new PendingReplies<string>(1_000);
    const ids: number[] = [];
    const answers = [1, 2, 3].map(() => pending.request((id) => ids.push(id)));
    for (const id of [...ids].reverse()) pending.settle(id, `to ${id}`);
    assert.deepEqual(
      await Promise.all(answers),
      ids.map((id) => `to ${id}`),
    );
    assert.equal(pending.settle(ids[0] ?? 0, 'again'), false);
  });

  it('are known to be missing only where all was read that the peer has said', async () => {
    const read = Object.assign(new Error('read ECONNRESET'), { syscall: 'read' });
    const written = Object.assign(new Error('write EPIPE'), { syscall: 'write' });
    assert.deepEqual([undefined, read, written, new Error('bad frame')].map(endedCode), ['closed', 'closed', 'closed', 'broken']);
  });

  it('are waited for until the deadline, or the end of the channel', async () => {
    await assert.rejects(
      new PendingReplies<string>(5).request(() => undefined),
      { code: 'timeout' },
    );
    const pending = new PendingReplies<string>(1_000);
    const waiting = pending.request(() => undefined);
    pending.failAll('gone');
    await assert.rejects(waiting, (error) => error instanceof ChannelError && error.code === 'closed' && error.message === 'gone');
    assert.equal(pending.size, 0);
  });
});

describe('first frame', () => {
  const limits = { maxFrameBytes: 100, timeoutMs: patienceMs };
  const wire = Buffer.concat([encodeFrame({ kind: 'relay' }), Buffer.from('a1 NOOP\r\n')]);

  for (const cut of [0, 1, 4, 10, wire.length - 9, wire.length - 4]) {
    it(`leaves what follows it in the stream when cut after octet ${cut}`, async () => {
      const frame = readFirstFrame(far, limits);
      near.write(wire.subarray(0, cut));
      await new Promise((resolve) => setImmediate(resolve));
      near.write(wire.subarray(cut));
      assert.deepEqual(await frame, { value: { kind: 'relay' } });
      let rest = '';
      far.on('data', (chunk: Buffer) => {
        rest += chunk.toString();
      });
      near.end('a2 LOGOUT\r\n');
      await once(far, 'end');
      assert.equal(rest, 'a1 NOOP\r\na2 LOGOUT\r\n');
    });
  }

  for (const [what, act] of [
    ['ends', () => near.end('\0\0')],
    ['sends too much', () => near.write(encodeFrame('x'.repeat(100)))],
    ['sends something else', () => near.write('GET / HTTP/1.0\r\n')],
  ] as const) {
    it(`is not there when the peer ${what}`, async () => {
      const frame = readFirstFrame(far, limits);
      act();
      assert.equal(await frame, undefined);
      assert.ok(far.destroyed);
    });
  }

  it('is waited for until the deadline', async () => {
    assert.equal(await readFirstFrame(far, { ...limits, timeoutMs: 10 }), undefined);
    assert.ok(far.destroyed);
  });
});

describe('connecting to a UNIX socket', () => {
  it('waits while the queue of the listener is full', async () => {
    const calls = new ListeningSockets();
    const path = join(folder, 'small');
    const fd = calls.listenUnix(path, 1);
    const sockets = await Promise.all([1, 2].map(() => connectUnix(path, { timeoutMs: patienceMs })));
    await assert.rejects(connectUnix(path, { timeoutMs: 20 }), { code: 'timeout' });
    const late = connectUnix(path, { timeoutMs: patienceMs });
    const accepted = calls.accept(fd);
    const socket = await late;
    for (const open of [...sockets, socket]) open.destroy();
    for (const open of [fd, accepted ?? -1]) closeDescriptor(open);
  });

  it('fails at once when nobody listens', async () => {
    await assert.rejects(connectUnix(join(folder, 'nobody'), { timeoutMs: patienceMs }), { code: 'closed' });
  });
});
