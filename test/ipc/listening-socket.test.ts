import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { ListenError, ListeningSockets } from '#ipc/listening-socket.js';

const sockets = new ListeningSockets();
const hasIpv6 = Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === '::1'));

async function connected(target: { port: number; host: string } | { path: string }): Promise<Socket> {
  const socket = connect(target);
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  return socket;
}

async function received(socket: Socket): Promise<string> {
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  return text;
}

describe('A listening socket', () => {
  for (const [address, host] of [
    ['127.0.0.1', '127.0.0.1'],
    ['0.0.0.0', '127.0.0.1'],
    ['::1', '::1'],
    ['::ffff:127.0.0.1', undefined],
  ] as const) {
    const skip = address === '::1' && !hasIpv6 ? 'the machine has no IPv6' : false;
    it(`takes connections without accepting them: ${address}`, { skip }, async () => {
      if (host === undefined) {
        // An IPv4 address in IPv6 clothes is not an IPv6 address to listen on.
        assert.throws(() => sockets.listenInet(address, 0, { backlog: 4 }), ListenError);
        return;
      }
      const fd = sockets.listenInet(address, 0, { backlog: 4 });
      const port = sockets.portOf(fd);
      assert.deepEqual([sockets.isReadable(fd), sockets.pending(fd)], [false, 0]);
      const clients = [await connected({ host, port }), await connected({ host, port })];
      assert.deepEqual([sockets.isReadable(fd), sockets.pending(fd)], [true, 2]);
      const accepted = sockets.accept(fd);
      assert.ok(accepted !== undefined);
      const text = received(clients[0] as Socket);
      sockets.sendAndClose(accepted, '* BYE later\r\n');
      assert.equal(await text, '* BYE later\r\n');
      assert.equal(sockets.pending(fd), 1);
      for (const client of clients) client.destroy();
      sockets.close(fd);
    });
  }

  it('raises SIGIO for each connection while asked to', async () => {
    let signals = 0;
    const count = (): void => {
      signals += 1;
    };
    process.on('SIGIO', count);
    const fd = sockets.listenInet('127.0.0.1', 0, { backlog: 4 });
    const target = { host: '127.0.0.1', port: sockets.portOf(fd) };
    sockets.signalConnections(fd, true);
    const first = await connected(target);
    while (signals === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    sockets.signalConnections(fd, false);
    const second = await connected(target);
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(signals, 1);
    process.off('SIGIO', count);
    for (const client of [first, second]) client.destroy();
    sockets.close(fd);
  });

  it('on a path has connections waiting, too', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'roost-listen-'));
    const path = join(folder, 'socket');
    const fd = sockets.listenUnix(path, 4);
    assert.deepEqual(sockets.addressOf(fd), { family: 'unix', path });
    const client = await connected({ path });
    assert.equal(sockets.pending(fd), 1);
    client.destroy();
    sockets.close(fd);
    rmSync(folder, { recursive: true });
  });

  it("fails with a code when the address is taken, is not this machine's, or a path is too long", () => {
    const fd = sockets.listenInet('127.0.0.1', 0, { backlog: 4 });
    const port = sockets.portOf(fd);
    const code = (work: () => unknown): string => {
      try {
        work();
        return 'none';
      } catch (error) {
        return error instanceof ListenError ? error.code : String(error);
      }
    };
    assert.equal(
      code(() => sockets.listenInet('127.0.0.1', port, { backlog: 4 })),
      'in-use',
    );
    assert.equal(
      code(() => sockets.listenInet('192.0.2.1', 0, { backlog: 4 })),
      'no-address',
    );
    assert.equal(
      code(() => sockets.listenUnix(`/tmp/${'x'.repeat(103)}`, 4)),
      'failed',
    );
    sockets.close(fd);
  });
});
