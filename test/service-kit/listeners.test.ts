import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { closeDescriptor, duplicateDescriptor } from '#ipc/handle-pass.js';
import { ListeningSockets } from '#ipc/listening-socket.js';
import { silentLogger } from '#log/logger.js';
import { Listeners } from '#service-kit/listeners.js';

const perListener = 6;

/** Two listeners on which clients wait already. */
async function crowded(context: TestContext): Promise<readonly number[]> {
  const calls = new ListeningSockets();
  const fds = [0, 1].map(() => calls.listenInet('127.0.0.1', 0, { backlog: 64 }));
  const clients: Socket[] = [];
  context.after(() => {
    for (const client of clients) client.destroy();
    for (const fd of fds) closeDescriptor(fd);
  });
  for (const fd of fds) {
    for (let count = 0; count < perListener; count += 1) clients.push(connect(calls.portOf(fd), '127.0.0.1').on('error', () => undefined));
  }
  await Promise.all(clients.map((client) => once(client, 'connect')));
  return fds;
}

/** A process that takes one client, and no more before `next`. */
function openFor(fds: readonly number[], firstTurn: number | undefined) {
  let taken: (name: string) => void = () => undefined;
  const listeners: Listeners = new Listeners(
    fds.map((fd, index) => ({
      fd: duplicateDescriptor(fd),
      kind: 'inet' as const,
      name: `listener${index}`,
      isTls: false,
      backlog: 64,
      isHaproxy: false,
      keepAliveMs: 0,
      address: '127.0.0.1',
      port: 0,
    })),
    {
      log: silentLogger,
      ...(firstTurn === undefined ? {} : { firstTurn }),
      onSocket: (socket, { name }) => {
        listeners.setOpen(false);
        socket.destroy();
        taken(name);
      },
    },
  );
  const next = (): Promise<string> => {
    const name = new Promise<string>((resolve) => {
      taken = resolve;
    });
    listeners.setOpen(true);
    return name;
  };
  return { listeners, next };
}

describe('several listeners of a process with room for one client', () => {
  it('take their turns while clients wait on all of them', async (context) => {
    const fds = await crowded(context);
    const { listeners, next } = openFor(fds, 0);
    const names: string[] = [];
    for (let count = 0; count < perListener; count += 1) names.push(await next());
    listeners.close();
    assert.deepEqual(new Set(names), new Set(['listener0', 'listener1']), names.join(' '));
    assert.equal(names.filter((name) => name === 'listener0').length, perListener / 2, names.join(' '));
  });

  for (const first of [0, 1]) {
    it(`give the client of listener${first} to a process whose turn begins there`, async (context) => {
      const fds = await crowded(context);
      const { listeners, next } = openFor(fds, first);
      assert.equal(await next(), `listener${first}`);
      listeners.close();
    });
  }

  it('are begun with at random by processes that serve one client and end', async (context) => {
    const fds = await crowded(context);
    const names = new Set<string>();
    for (const random of [0.1, 0.9]) {
      context.mock.method(Math, 'random', () => random);
      const { listeners, next } = openFor(fds, undefined);
      names.add(await next());
      listeners.close();
    }
    assert.equal(names.size, 2);
  });
});
