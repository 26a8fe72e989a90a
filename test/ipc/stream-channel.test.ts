import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { StreamChannel, type StreamEnd, type StreamOwner, windowBytes } from '#ipc/stream-channel.js';
import { encodeCredit, encodeData, encodeMark } from '#ipc/stream-frames.js';
import { patienceMs } from '../support/patience.js';

/** Writes down what it is told; takes everything at once unless it is slow. */
class Recorder implements StreamOwner {
  received = '';
  bytes = 0;
  ends = 0;
  closes: boolean[] = [];
  sent = 0;
  isSlow = false;
  end: StreamEnd | undefined;

  onData(octets: Buffer): void {
    this.bytes += octets.length;
    if (this.received.length < 1000) this.received += octets.toString('latin1');
    if (!this.isSlow) this.end?.taken(octets.length);
  }
  onEnd(): void {
    this.ends += 1;
  }
  onClose(isOrderly: boolean): void {
    this.closes.push(isOrderly);
  }
  onSent(): void {
    this.sent += 1;
  }
}

class Side {
  readonly channel: StreamChannel;
  readonly messages: unknown[] = [];
  closed: { readonly error: Error | undefined } | undefined;

  constructor(socket: Socket) {
    this.channel = new StreamChannel(socket, {
      maxMessageBytes: 10_000,
      onMessage: (value) => this.messages.push(value),
      onClose: (error) => {
        this.closed = { error };
      },
    });
  }
  open(id: number): Recorder & { end: StreamEnd } {
    const owner = new Recorder();
    const end = this.channel.open(id, owner);
    return Object.assign(owner, { end });
  }
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (!condition()) {
    if (performance.now() > deadline) assert.fail(`not in ${patienceMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

describe('stream channel', () => {
  const folder = mkdtempSync(join(tmpdir(), 'roost-streams-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  let rawSockets: readonly [Socket, Socket];
  let count = 0;

  beforeEach(async () => {
    count += 1;
    const path = join(folder, String(count));
    const server = createServer();
    server.listen(path);
    await once(server, 'listening');
    const client = connect(path);
    const [accepted] = await once(server, 'connection');
    server.close();
    rawSockets = [client, accepted];
  });
  afterEach(() => {
    for (const socket of rawSockets) socket.destroy();
  });

  const sides = (): readonly [Side, Side] => [new Side(rawSockets[0]), new Side(rawSockets[1])];
  /** A side, and the socket of a peer that need not keep to the rules. */
  function againstRaw(): readonly [Side, Socket] {
    const [ours, theirs] = rawSockets;
    theirs.on('error', () => undefined);
    theirs.resume();
    return [new Side(ours), theirs];
  }

  it('carries streams and messages in the order in which they were written', async () => {
    const [left, right] = sides();
    const [a, b, c] = [left.open(1), right.open(1), right.open(2)];
    left.open(2).end.write([Buffer.from('two')]);
    a.end.write([Buffer.from('one '), Buffer.from('more')]);
    left.channel.send({ hello: 1 });
    await until(() => right.messages.length === 1, 'message');
    assert.equal(b.received, 'one more');
    assert.equal(c.received, 'two');
  });

  it('keeps a large write whole, however the window is opened', async () => {
    const [left, right] = sides();
    const [a, b] = [left.open(1), right.open(1)];
    const isDone = a.end.write([Buffer.alloc(3_000_000, 'x'), Buffer.from('end')]);
    assert.equal(isDone, false);
    await until(() => b.bytes === 3_000_003, 'all octets');
    await until(() => a.sent > 0, 'sent');
    assert.ok(a.end.isSent);
  });

  it('sends no more than the window to an owner that takes nothing, and goes on when it does', async () => {
    const [left, right] = sides();
    const [a, b] = [left.open(1), right.open(1)];
    b.isSlow = true;
    a.end.write([Buffer.alloc(windowBytes * 3)]);
    left.channel.send('behind');
    await until(() => right.messages.length === 1, 'message');
    await until(() => b.bytes === windowBytes, 'window');
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(b.bytes, windowBytes);
    for (const step of [1, 2]) {
      b.end.taken(windowBytes);
      await until(() => b.bytes === windowBytes * (step + 1), `window ${step}`);
    }
    assert.equal(a.sent, 1);
  });

  it('does not let one stream hold up another, neither a slow reader nor a long write', async () => {
    const [left, right] = sides();
    const slow = left.open(1);
    right.open(1).isSlow = true;
    slow.end.write([Buffer.alloc(windowBytes * 2)]);
    const long = left.open(2);
    const longRead = right.open(2);
    long.end.write([Buffer.alloc(20_000_000)]);
    const [quick, quickRead] = [left.open(3), right.open(3)];
    quick.end.write([Buffer.from('NOOP')]);
    await until(() => quickRead.received === 'NOOP', 'quick');
    assert.ok(longRead.bytes < 5_000_000, `${longRead.bytes} octets went before it`);
    await until(() => longRead.bytes === 20_000_000, 'long');
  });

  it('tells an end after everything before it, and frees the id when both sides have closed', async () => {
    const [left, right] = sides();
    const [a, b] = [left.open(1), right.open(1)];
    a.end.write([Buffer.alloc(500_000)]);
    a.end.end();
    await until(() => b.ends === 1, 'end');
    assert.equal(b.bytes, 500_000);
    b.end.write([Buffer.from('answer')]);
    b.end.close();
    await until(() => a.closes.length === 1, 'close');
    assert.deepEqual([a.received, a.ends, a.closes], ['answer', 1, [true]]);
    assert.equal(right.channel.isInUse(1), true);
    a.end.close();
    await until(() => !left.channel.isInUse(1) && !right.channel.isInUse(1), 'free id');
    assert.deepEqual(b.closes, [true]);
  });

  it('tells a reset at once, as no orderly end', async () => {
    const [left, right] = sides();
    const [a, b] = [left.open(1), right.open(1)];
    b.isSlow = true;
    a.end.write([Buffer.alloc(windowBytes * 2)]);
    a.end.reset();
    await until(() => b.closes.length === 1, 'reset');
    assert.deepEqual([b.ends, b.closes], [0, [false]]);
    b.end.close();
    await until(() => left.channel.size + right.channel.size === 0, 'free id');
  });

  it('closes both sides at the same moment', async () => {
    const [left, right] = sides();
    const [a, b] = [left.open(1), right.open(1)];
    a.end.close();
    b.end.close();
    await until(() => left.channel.size + right.channel.size === 0, 'free id');
    assert.equal(left.closed ?? right.closed, undefined);
  });

  it('drops what comes for a stream that this side has closed', async () => {
    const [left, right] = sides();
    const [a, b] = [left.open(1), right.open(1)];
    a.end.close();
    b.end.write([Buffer.from('late')]);
    right.channel.send('behind');
    await until(() => left.messages.length === 1, 'message');
    assert.equal(a.bytes, 0);
    assert.equal(left.closed, undefined);
  });

  it('tells every stream that the connection has gone', async () => {
    const [left, right] = sides();
    const owners = [1, 2, 3].map((id) => left.open(id));
    right.channel.destroy();
    await until(() => left.closed !== undefined, 'close');
    for (const owner of owners) assert.deepEqual(owner.closes, [false]);
    assert.equal(left.channel.size, 0);
    owners[0]?.end.write([Buffer.from('x')]);
    owners[0]?.end.close();
  });

  it('sends what is queued before it closes', async () => {
    const [left, right] = sides();
    const [a, b] = [left.open(1), right.open(1)];
    a.end.write([Buffer.alloc(60_000)]);
    a.end.close();
    await left.channel.close();
    await until(() => right.closed !== undefined, 'close');
    assert.deepEqual([b.bytes, b.ends, b.closes], [60_000, 1, [true]]);
  });

  function talking() {
    const [left, right] = sides();
    const [a, b] = [left.open(1), right.open(1)];
    /** The right side writes, and only then reads what the left one, which is closing, has said. */
    async function hearsLastWords(theirs: Socket, closing: Promise<void>): Promise<void> {
      await new Promise<void>((resolve) => {
        b.end.write([Buffer.from('still here')]);
        theirs.write('', () => resolve());
      });
      theirs.resume();
      await closing;
      await until(() => right.closed !== undefined, 'the end');
      assert.deepEqual([b.received, right.closed?.error], ['bye', undefined]);
    }
    return { left, a, hearsLastWords };
  }

  it('lets a side that is still writing hear the last words of the one that closes', async () => {
    const { left, a, hearsLastWords } = talking();
    const [ours, theirs] = rawSockets;
    theirs.pause();
    const isEnded = once(ours, 'finish');
    a.end.write([Buffer.from('bye')]);
    const closing = left.channel.close();
    await isEnded;
    await hearsLastWords(theirs, closing);
  });

  it('waits some seconds for a busy peer to read what was said last', async (context) => {
    const { left, a, hearsLastWords } = talking();
    const [ours, theirs] = rawSockets;
    theirs.pause();
    const isEnded = once(ours, 'finish');
    a.end.write([Buffer.from('bye')]);
    context.mock.timers.enable({ apis: ['setTimeout'] });
    const closing = left.channel.close();
    await isEnded;
    context.mock.timers.tick(3_000);
    await new Promise((resolve) => setImmediate(resolve));
    context.mock.timers.reset();
    await hearsLastWords(theirs, closing);
  });

  const one = Buffer.from('x');
  const tooMuch = Buffer.concat(Array.from({ length: windowBytes / 16_384 + 1 }, () => encodeData(9, [Buffer.alloc(16_384)], 16_384)));
  for (const [what, wire, isOpened] of [
    ['data for a stream that is not open', encodeData(9, [one], 1), false],
    ['an end for a stream that is not open', encodeMark('end', 9), false],
    ['credit for a stream that is not open', encodeCredit(9, 1), false],
    ['data behind its end', Buffer.concat([encodeMark('end', 9), encodeData(9, [one], 1)]), true],
    ['a second end', Buffer.concat([encodeMark('end', 9), encodeMark('end', 9)]), true],
    ['more credit than there is', encodeCredit(9, 1), true],
    ['more data than its window', tooMuch, true],
    ['no frame', Buffer.from([0xff, 0, 0, 0]), true],
  ] as const) {
    it(`ends when the peer sends ${what}`, async () => {
      const [side, peer] = againstRaw();
      const owner = isOpened ? side.open(9) : undefined;
      if (owner !== undefined) owner.isSlow = true;
      const other = side.open(1);
      peer.write(wire);
      await until(() => side.closed !== undefined, 'close');
      assert.ok(side.closed?.error instanceof Error);
      assert.deepEqual(other.closes, [false]);
      assert.deepEqual(owner?.closes ?? [false], [false]);
    });
  }

  it('does not mind a reset for a stream that was never opened', async () => {
    const [side, peer] = againstRaw();
    peer.write(Buffer.concat([encodeMark('reset', 9), Buffer.from([0, 0, 0, 1, 0x31])]));
    await until(() => side.messages.length === 1, 'message');
    assert.equal(side.closed, undefined);
  });

  it('refuses to open an id that is in use', () => {
    const [side] = againstRaw();
    side.open(1);
    assert.throws(() => side.open(1), /in use/);
  });
});
