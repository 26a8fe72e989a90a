import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { describe, it } from 'node:test';
import type { InheritedListener } from '#ipc/control.js';
import { silentLogger } from '#log/logger.js';
import { Acceptor } from '#service-kit/acceptor.js';
import { Clients } from '#service-kit/clients.js';

const settings = {
  login_trusted_networks: [],
  haproxy_trusted_networks: [],
  haproxy_timeout: 3000,
  busy_max_lag: 70,
  busy_max_memory: 90,
  tcp_keepalive: 0,
};
const listener: InheritedListener = {
  fd: 4,
  kind: 'inet',
  name: 'imap',
  isTls: false,
  backlog: 1,
  isHaproxy: false,
  keepAliveMs: 0,
  address: '127.0.0.1',
  port: 143,
};

/** What a client receives until its connection ends. */
async function received(options: {
  readonly clientLimit: number;
  readonly load?: string;
  readonly isTls?: boolean;
  readonly handlerThrows?: boolean;
}) {
  const clients = new Clients(
    { clientLimit: options.clientLimit, serviceCount: 0 },
    { onChange: () => undefined, onEmpty: () => undefined },
  );
  if (options.clientLimit === 1) clients.take();
  const acceptor = new Acceptor({
    clients,
    settings,
    log: silentLogger,
    handler: () => {
      if (options.handlerThrows === true) throw new Error('planted');
      throw new Error('no connection was to be served');
    },
    policy: { refusal: (_, reason) => `* BYE [UNAVAILABLE] ${reason}\r\n` },
    loadRefusal: () => options.load,
  });
  const server = createServer((socket) => acceptor.accept(socket, { ...listener, isTls: options.isTls ?? false }));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const client = connect(address.port, '127.0.0.1');
  let text = '';
  client.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  client.on('error', () => undefined);
  client.on('end', () => client.end());
  await once(client, 'close');
  server.close();
  return { text, count: clients.count };
}

describe('a client that is turned away', () => {
  it('is told that the server is busy', async () => {
    const { text, count } = await received({ clientLimit: 5, load: 'too busy' });
    assert.equal(text, '* BYE [UNAVAILABLE] too busy\r\n');
    assert.equal(count, 0);
  });

  it('is told when it came past client_limit all the same', async () => {
    const { text, count } = await received({ clientLimit: 1 });
    assert.match(text, /^\* BYE \[UNAVAILABLE\] Too many connections/);
    assert.equal(count, 1);
  });

  it('sees the end of the connection where TLS comes first', async () => {
    assert.equal((await received({ clientLimit: 5, load: 'too busy', isTls: true })).text, '');
  });

  it('gives its slot back when the role fails', async () => {
    const { text, count } = await received({ clientLimit: 5, handlerThrows: true });
    assert.equal(text, '');
    assert.equal(count, 0);
  });
});
