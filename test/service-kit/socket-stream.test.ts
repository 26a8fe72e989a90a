import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, Socket } from 'node:net';
import { describe, it } from 'node:test';
import type { InheritedListener } from '#ipc/control.js';
import { closeDescriptor, duplicateDescriptor, openSocketPair } from '#ipc/handle-pass.js';
import { ListeningSockets } from '#ipc/listening-socket.js';
import { asNodeSocket } from '#service-kit/open-socket.js';
import { PolledListener } from '#service-kit/polled-listener.js';
import { openPoller, type Poller } from '#service-kit/polling.js';
import { SocketStream } from '#service-kit/socket-stream.js';

const calls = new ListeningSockets();
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function poller(): Poller {
  const opened = openPoller();
  assert.ok(opened);
  return opened;
}

function factsOf(fd: number, port: number): InheritedListener {
  return { fd, kind: 'inet', name: 'test', isTls: false, backlog: 8, keepAliveMs: 0, isHaproxy: false, address: '127.0.0.1', port };
}

/** Ours, and Node's at the other end. */
function pair(allowHalfOpen = false): { readonly ours: SocketStream; readonly theirs: Socket } {
  const [near, far] = openSocketPair();
  const theirs = new Socket({ fd: far, readable: true, writable: true, allowHalfOpen: true });
  return { ours: new SocketStream(near, poller(), allowHalfOpen), theirs };
}

/** The same over TCP, where there are addresses and resets. */
async function overTcp(
  host: '127.0.0.1' | '::1',
): Promise<{ readonly ours: SocketStream; readonly theirs: Socket; readonly port: number }> {
  const fd = calls.listenInet(host, 0, { backlog: 1 });
  const port = calls.portOf(fd);
  const accepted = new Promise<SocketStream>((resolve) => {
    const listener: PolledListener = new PolledListener(factsOf(fd, port), poller(), (socket) => {
      listener.setOpen(false);
      closeDescriptor(fd);
      resolve(socket);
    });
    listener.setOpen(true);
  });
  const theirs = connect(port, host);
  theirs.on('error', () => undefined);
  return { ours: await accepted, theirs, port };
}

function collect(stream: SocketStream | Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  return once(stream, 'end').then(() => Buffer.concat(chunks));
}

describe('SocketStream', () => {
  it('carries every octet in both directions, also to and from who is slow', async () => {
    const { ours, theirs } = pair(true);
    const [there, back] = [randomBytes(3_000_000), randomBytes(3_000_000)];
    ours.end(there);
    theirs.end(back);
    const heard = { ours: [] as Buffer[], theirs: [] as Buffer[] };
    const slowly = async (stream: SocketStream | Socket, into: Buffer[]): Promise<void> => {
      for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
        into.push(chunk);
        await turn();
      }
    };
    await Promise.all([slowly(ours, heard.ours), slowly(theirs, heard.theirs)]);
    assert.ok(Buffer.concat(heard.ours).equals(back));
    assert.ok(Buffer.concat(heard.theirs).equals(there));
  });

  it('sends what was written together, small or large, in order', async () => {
    const { ours, theirs } = pair();
    const parts = [1, 10, 70_000, 3, 200_000, 0, 65_536, 1].map((length) => randomBytes(length));
    const all = collect(theirs);
    ours.cork();
    for (const part of parts) ours.write(part);
    ours.uncork();
    ours.write('the end');
    ours.end();
    assert.ok((await all).equals(Buffer.concat([...parts, Buffer.from('the end')])));
    theirs.destroy();
  });

  it('says its last words and the end, before it is closed and whatever the other side has said meanwhile', async () => {
    const { ours, theirs } = await overTcp('127.0.0.1');
    ours.pause();
    await new Promise((resolve) => theirs.write('more than was asked for', resolve));
    const all = collect(theirs);
    ours.writeLast([Buffer.from('* BYE\r\n'), Buffer.from('a OK\r\n')]);
    assert.equal(String(await all), '* BYE\r\na OK\r\n');
    assert.ok(!ours.destroyed);
    ours.destroy();
    theirs.destroy();
  });

  it('says last words that cannot be sent at once to the end', async () => {
    const { ours, theirs } = await overTcp('127.0.0.1');
    const words = [randomBytes(40), randomBytes(8_000_000)];
    ours.writeLast(words);
    assert.ok(ours.writableLength > 0);
    ours.end();
    assert.ok((await collect(theirs)).equals(Buffer.concat(words)));
    ours.destroy();
    theirs.destroy();
  });

  it('reads no further while nobody takes what it has read', async () => {
    const { ours, theirs } = pair();
    ours.pause();
    ours.on('data', () => undefined);
    ours.pause();
    const taken = new Promise((resolve) => theirs.write(Buffer.alloc(4_000_000), resolve));
    assert.equal(
      await Promise.race([
        taken,
        turn()
          .then(turn)
          .then(() => 'waits'),
      ]),
      'waits',
    );
    ours.resume();
    await taken;
    ours.destroy();
    theirs.destroy();
  });

  it('leaves what it has not read to who reads the descriptor next', async () => {
    const { ours, theirs } = pair();
    theirs.write('one');
    assert.equal(String((await once(ours, 'data'))[0]), 'one');
    assert.equal(ours.stopReading().length, 0);
    const copy = duplicateDescriptor(ours.fd);
    await new Promise((resolve) => theirs.write('two', resolve));
    await turn();
    ours.destroy();
    const next = new SocketStream(copy, poller(), false);
    assert.equal(String((await once(next, 'data'))[0]), 'two');
    theirs.write('three');
    assert.equal(String((await once(next, 'data'))[0]), 'three');
    next.destroy();
    theirs.destroy();
  });

  it('goes on reading where it was stopped', async () => {
    const { ours, theirs } = pair();
    theirs.write('before');
    await once(ours, 'readable');
    assert.equal(String(ours.stopReading()), 'before');
    theirs.write('after');
    await turn();
    ours.continueReading();
    assert.equal(String((await once(ours, 'data'))[0]), 'after');
    ours.destroy();
    theirs.destroy();
  });

  it('tells of the end, and ends itself only where it is told to', async () => {
    for (const allowHalfOpen of [false, true]) {
      const { ours, theirs } = pair(allowHalfOpen);
      const ended = once(ours.resume(), 'end');
      const closed = once(ours, 'close');
      theirs.end();
      await ended;
      if (allowHalfOpen) {
        const heard = collect(theirs);
        ours.end('last words');
        assert.equal(String(await heard), 'last words');
      }
      assert.deepEqual(await closed, [false]);
      theirs.destroy();
    }
  });

  it("fails with the system's reason, and says so when it closes", async () => {
    const { ours, theirs } = await overTcp('127.0.0.1');
    const closed = new Promise((resolve) => ours.on('close', resolve));
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => ours.on('error', resolve));
    ours.resume();
    theirs.resetAndDestroy();
    assert.equal((await failed).code, 'ECONNRESET');
    assert.equal(await closed, true);
    assert.equal(ours.fd, -1);
  });

  it('fails when it writes to who is gone', async () => {
    const { ours, theirs } = pair(true);
    const gone = once(theirs, 'close');
    theirs.destroy();
    await gone;
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => ours.on('error', resolve));
    ours.write('hello');
    assert.match((await failed).code ?? '', /^(EPIPE|ECONNRESET)$/);
  });

  it('answers a write that waits when it is destroyed', async () => {
    const { ours, theirs } = pair();
    const answered = new Promise((resolve) => ours.write(Buffer.alloc(4_000_000), resolve));
    await turn();
    ours.destroy();
    await answered;
    theirs.destroy();
  });

  it('sends what is left before destroySoon closes it', async () => {
    const { ours, theirs } = pair();
    const text = randomBytes(1_000_000);
    ours.write(text);
    ours.destroySoon();
    assert.ok((await collect(theirs)).equals(text));
    theirs.destroy();
  });

  for (const host of ['127.0.0.1', '::1'] as const) {
    it(`knows its addresses (${host})`, async () => {
      const { ours, theirs, port } = await overTcp(host);
      assert.deepEqual([ours.remoteAddress, ours.localAddress, ours.localPort], [host, host, port]);
      assert.equal(ours.remotePort, theirs.localPort);
      theirs.destroy();
      ours.destroy();
    });
  }

  it('gives nobody the octets of another connection, however descriptors are closed and opened again', async () => {
    const rounds = 40;
    const open = new Set<SocketStream>();
    const failures: string[] = [];
    const begin = (tag: string): { readonly theirs: Socket; readonly ours: SocketStream } => {
      const { ours, theirs } = pair();
      open.add(ours);
      theirs.on('error', () => undefined);
      ours.on('data', (chunk: Buffer) => {
        if (String(chunk).replaceAll(tag, '') !== '') failures.push(`${tag} got ${String(chunk).slice(0, 40)}`);
        // Another one is closed, whose event may wait in the same batch, and its number taken again.
        const [other] = open;
        if (other === undefined || other === ours) return;
        open.delete(other);
        other.destroy();
      });
      return { ours, theirs };
    };
    for (let round = 0; round < rounds; round += 1) {
      const pairs = Array.from({ length: 8 }, (_, index) => ({ tag: `<${round}.${index}>`, ...begin(`<${round}.${index}>`) }));
      for (const { theirs, tag } of pairs) theirs.write(tag.repeat(5));
      await turn();
      await turn();
      for (const { theirs, ours } of pairs) {
        theirs.destroy();
        ours.destroy();
        open.delete(ours);
      }
    }
    assert.deepEqual(failures, []);
  });

  it('is refused for what is no stream socket', () => {
    assert.throws(() => new SocketStream(0xfffff, poller(), false), TypeError);
  });
});

describe("a connection that goes on as one of Node's", () => {
  it('keeps what was read, and ends when the other does', async () => {
    const { ours, theirs } = pair();
    theirs.write('early');
    await once(ours, 'readable');
    const successor = asNodeSocket(ours);
    assert.equal(String((await once(successor, 'data'))[0]), 'early');
    successor.write('answer');
    assert.equal(String((await once(theirs, 'data'))[0]), 'answer');
    const closed = once(ours, 'close');
    successor.destroy();
    await closed;
    theirs.destroy();
  });

  it('cannot be had while the peer does not read what was written', async () => {
    const { ours, theirs } = pair();
    const text = randomBytes(3_000_000);
    ours.write(text);
    assert.throws(() => asNodeSocket(ours), TypeError);
    const all = collect(theirs);
    ours.end();
    assert.ok((await all).equals(text));
    theirs.destroy();
  });

  it('is ended by who still has the first', async () => {
    const { ours, theirs } = pair();
    const successor = asNodeSocket(ours);
    const closed = once(successor, 'close');
    ours.destroy();
    await closed;
    assert.equal(asNodeSocket(theirs), theirs);
    theirs.destroy();
  });
});

describe('PolledListener', () => {
  it('does not ask again and again while descriptors are short', async () => {
    const fd = calls.listenInet('127.0.0.1', 0, { backlog: 8 });
    const port = calls.portOf(fd);
    const facts = factsOf(fd, port);
    let isShort = true;
    let asked = 0;
    const accepting = {
      prepareConnections: () => undefined,
      accept: (listening: number) => {
        asked += 1;
        return isShort ? undefined : calls.accept(listening);
      },
      get isShort() {
        return isShort;
      },
    };
    const taken: SocketStream[] = [];
    const listener = new PolledListener(facts, poller(), (socket) => taken.push(socket), { calls: accepting });
    listener.setOpen(true);
    const client = connect(port, '127.0.0.1');
    while (asked === 0) await turn();
    const askedAtMs = performance.now();
    for (let count = 0; count < 200; count += 1) await turn();
    // Once a tenth of a second, however long the turns took.
    const most = 2 + (performance.now() - askedAtMs) / 100;
    assert.ok(asked <= most, `${asked} times`);
    isShort = false;
    while (taken.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    listener.setOpen(false);
    for (const each of [...taken, client]) each.destroy();
    closeDescriptor(fd);
  });

  it('leaves connections to those with fewer clients, as all take them one at a time', async () => {
    const fd = calls.listenInet('127.0.0.1', 0, { backlog: 16 });
    const port = calls.portOf(fd);
    const taken: SocketStream[][] = [[], [], []];
    const listeners = taken.map((mine) => {
      const facts = factsOf(duplicateDescriptor(fd), port);
      return new PolledListener(facts, poller(), (socket) => mine.push(socket), { clients: () => mine.length });
    });
    const clients = Array.from({ length: 12 }, () => connect(port, '127.0.0.1'));
    await Promise.all(clients.map((client) => once(client, 'connect')));
    for (const listener of listeners) listener.setOpen(true);
    while (taken.flat().length < clients.length) await turn();
    assert.deepEqual(
      taken.map((mine) => mine.length),
      [4, 4, 4],
    );
    for (const listener of listeners) {
      listener.setOpen(false);
      closeDescriptor(listener.fd);
    }
    for (const socket of [...clients, ...taken.flat()]) socket.destroy();
    closeDescriptor(fd);
  });

  it('takes all connections where nobody else does', async () => {
    const fd = calls.listenInet('127.0.0.1', 0, { backlog: 16 });
    const taken: SocketStream[] = [];
    const port = calls.portOf(fd);
    const listener = new PolledListener(factsOf(fd, port), poller(), (socket) => taken.push(socket), { clients: () => 1_000 });
    listener.setOpen(true);
    const clients = Array.from({ length: 4 }, () => connect(port, '127.0.0.1'));
    while (taken.length < clients.length) await turn();
    listener.setOpen(false);
    for (const socket of [...clients, ...taken]) socket.destroy();
    closeDescriptor(fd);
  });

  it('takes no further connection once it was closed from within', async () => {
    const fd = calls.listenInet('127.0.0.1', 0, { backlog: 8 });
    const port = calls.portOf(fd);
    const facts = factsOf(fd, port);
    const taken: SocketStream[] = [];
    const listener: PolledListener = new PolledListener(facts, poller(), (socket) => {
      listener.setOpen(false);
      taken.push(socket);
    });
    const clients = [0, 1, 2].map(() => connect(port, '127.0.0.1'));
    await Promise.all(clients.map((client) => once(client, 'connect')));
    for (let count = 1; count <= clients.length; count += 1) {
      listener.setOpen(true);
      while (taken.length < count) await turn();
      await turn();
      await turn();
      assert.equal(taken.length, count);
    }
    for (const socket of [...clients, ...taken]) socket.destroy();
    closeDescriptor(fd);
  });
});
