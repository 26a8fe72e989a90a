// The role as it runs, over real sockets, through the client that processes use and through bare lines.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { kickSessions, kickUsers, listSessions } from '#ipc/anvil-admin.js';
import { silentLogger } from '#log/logger.js';
import { AnvilConnection } from '#service-kit/anvil-client.js';
import type { AcceptedConnection, ClientHandle, ServiceContext } from '#service-kit/role.js';
import { role } from '#services/anvil/main.js';
import { LineClient, until } from '../../service-kit/fake-master.js';

class TestAnvil {
  readonly folder = mkdtempSync(join(tmpdir(), 'roost-anvil-'));
  readonly path = join(this.folder, 'anvil');
  readonly #closers: (() => void)[] = [];
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;

  async start(listenerName = 'anvil'): Promise<void> {
    let handler: ((connection: AcceptedConnection) => ClientHandle) | undefined;
    const context = {
      log: silentLogger,
      onConnection: (given: typeof handler) => {
        handler = given;
      },
    } as unknown as ServiceContext;
    await role.start(context);
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      const peer = { remoteIp: '', remotePort: 0, localIp: '', localPort: 0, tls: undefined, isSecured: true, isTrusted: false };
      handler?.({ socket, peer, listener: { kind: 'unix', name: listenerName, isTls: false }, release: () => undefined });
    });
    await new Promise<void>((resolve) => this.#server?.listen(this.path, resolve));
  }

  async crash(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
    await new Promise((resolve) => this.#server?.close(resolve));
  }

  client(): AnvilConnection {
    const client = new AnvilConnection(this.path, silentLogger);
    this.#closers.push(() => client.close());
    return client;
  }

  lines(): LineClient {
    const client = new LineClient(connect(this.path));
    this.#closers.push(() => client.socket.destroy());
    client.send('VERSION\tanvil\t1\t0\n');
    return client;
  }

  async close(): Promise<void> {
    for (const close of this.#closers) close();
    await this.crash();
    rmSync(this.folder, { recursive: true });
  }
}

const ignore = (): undefined => undefined;
const anna = { user: 'anna', remoteIp: '192.0.2.1', service: 'imap', sessionId: 's1' };

describe('anvil', () => {
  let anvil: TestAnvil;
  beforeEach(async () => {
    anvil = new TestAnvil();
    await anvil.start();
  });
  afterEach(() => anvil.close());

  it('tells other processes how many sessions a user has', async () => {
    const [imap, login] = [anvil.client(), anvil.client()];
    const leave = imap.connect(anna, ignore);
    imap.connect({ ...anna, sessionId: 's2' }, ignore);
    assert.equal(await imap.lookup('anna', '192.0.2.1', 'imap'), 2);
    assert.equal(await login.lookup('anna', '192.0.2.1', 'imap'), 2);
    leave();
    leave();
    assert.equal(await imap.lookup('anna', '192.0.2.1', 'imap'), 1);
    imap.close();
    const count = async (): Promise<number> => login.lookup('anna', '192.0.2.1', 'imap');
    for (let tries = 0; (await count()) > 0 && tries < 100; tries += 1);
    assert.equal(await count(), 0);
  });

  it('hears of sessions that have ended a moment later, together, and before anything else is said', async () => {
    const [imap, login] = [anvil.client(), anvil.client()];
    const leave = ['s1', 's2', 's3'].map((sessionId) => imap.connect({ ...anna, sessionId }, ignore));
    assert.equal(await imap.lookup('anna', '192.0.2.1', 'imap'), 3);
    leave[0]?.();
    assert.equal(await imap.lookup('anna', '192.0.2.1', 'imap'), 2);
    const returned = imap.connect({ ...anna, sessionId: 's1' }, ignore);
    for (const end of [...leave.slice(1), returned]) end();
    let count = 3;
    for (const endMs = Date.now() + 10_000; count > 0 && Date.now() < endMs; ) count = await login.lookup('anna', '192.0.2.1', 'imap');
    assert.equal(count, 0);
  });

  it('hears of sessions that end with their process', async () => {
    const [imap, login] = [anvil.client(), anvil.client()];
    const leave = imap.connect(anna, ignore);
    imap.connect({ ...anna, user: 'bob', sessionId: 's2' }, ignore);
    await imap.lookup('', '', '');
    leave();
    imap.close();
    let count = 1;
    for (const endMs = Date.now() + 10_000; count > 0 && Date.now() < endMs; )
      count = (await login.lookup('anna', '192.0.2.1', 'imap')) + (await login.lookup('bob', '192.0.2.1', 'imap'));
    assert.equal(count, 0);
  });

  it('is told everything again after a crash', async () => {
    const imap = anvil.client();
    imap.connect(anna, ignore);
    imap.connect({ ...anna, user: 'bob', sessionId: 's2' }, ignore);
    assert.equal(await imap.lookup('anna', '192.0.2.1', 'imap'), 1);
    await anvil.crash();
    assert.equal(await imap.lookup('anna', '192.0.2.1', 'imap'), 0);
    await anvil.start();
    const watcher = anvil.lines();
    await until(() => {
      watcher.send('LOOKUP\timap/192.0.2.1/anna\nLOOKUP\timap/192.0.2.1/bob\n');
      return watcher.received.endsWith('1\n1\n');
    }, 'both sessions are counted again');
    assert.equal(await imap.lookup('anna', '192.0.2.1', 'imap'), 1);
  });

  it('does not hold up logins when it is away', async () => {
    await anvil.crash();
    const login = anvil.client();
    assert.equal(await login.lookup('anna', '192.0.2.1', 'imap'), 0);
    assert.deepEqual(await login.penalty('192.0.2.1'), { value: 0, lastSeconds: 0 });
    await anvil.start();
  });

  it('counts, lists and ends sessions that it has not been told of yet', async () => {
    const [imap, login, admin] = [anvil.client(), anvil.client(), anvil.lines()];
    const kicked: string[] = [];
    imap.connect({ ...anna, sessionId: 'first' }, ignore);
    await imap.lookup('', '', '');
    for (const sessionId of ['s1', 's2']) imap.connect({ ...anna, sessionId }, () => kicked.push(sessionId), true);
    assert.equal(await login.lookup('anna', '192.0.2.1', 'imap'), 3);
    imap.connect({ ...anna, sessionId: 's3' }, () => kicked.push('s3'), true);
    assert.deepEqual((await listSessions(anvil.folder)).map(({ sessionId }) => sessionId).sort(), ['first', 's1', 's2', 's3']);
    imap.connect({ ...anna, user: 'bob', sessionId: 's4' }, () => kicked.push('s4'), true);
    admin.send('KICK-USER\tbob\nPENALTY-GET\t192.0.2.8\nKICK-SESSION\ts2\n');
    await admin.expect(/^1\n0 0\n1\n/);
    await until(() => kicked.length === 2, 'two kicked');
    assert.deepEqual(kicked, ['s4', 's2']);
  });

  it('has sessions ended by the processes that serve them', async () => {
    const [imap, pop3, admin] = [anvil.client(), anvil.client(), anvil.lines()];
    const kicked: string[] = [];
    imap.connect(anna, () => kicked.push('s1'));
    imap.connect({ ...anna, remoteIp: '198.51.100.7', sessionId: 's2' }, () => kicked.push('s2'));
    pop3.connect({ ...anna, service: 'pop3', sessionId: 's3' }, () => kicked.push('s3'));
    pop3.connect({ ...anna, user: 'bob', sessionId: 's4' }, () => kicked.push('s4'));
    await Promise.all([imap.lookup('', '', ''), pop3.lookup('', '', '')]);
    admin.send('KICK-USER\tanna\t192.0.2.0/24\n');
    await admin.expect(/^2\n/);
    await until(() => kicked.length === 2, 'two kicked');
    assert.deepEqual(kicked.sort(), ['s1', 's3']);
    admin.send('KICK-SESSION\ts4\n');
    await admin.expect(/^1\n/);
    await until(() => kicked.includes('s4'), 's4 kicked');
    assert.ok(!kicked.includes('s2'));
  });

  it('kicks a session that moves from one process to another, wherever it is just then', async () => {
    for (const order of ['giver first', 'taker first', 'taker late']) {
      const [giver, taker, admin] = [anvil.client(), anvil.client(), anvil.lines()];
      const session = { ...anna, sessionId: order };
      const kicked: string[] = [];
      const leave = giver.connect(session, () => kicked.push('giver'));
      await giver.lookup('', '', '');
      if (order === 'taker first') taker.connect(session, () => kicked.push('taker'));
      await taker.lookup('', '', '');
      // It is at neither of the two.
      if (order === 'taker late') leave();
      await giver.lookup('', '', '');
      admin.send(order === 'giver first' ? `KICK-SESSION\t${order}\n` : 'KICK-USER\tanna\n');
      await admin.expect(/^\d\n/);
      leave();
      if (order !== 'taker first') taker.connect(session, () => kicked.push('taker'));
      await until(() => kicked.includes('taker'), `${order}: kicked where it is now`);
      for (const client of [giver, taker]) client.close();
    }
  });

  it('kicks nobody else who comes, not even with the session id of a connection that has changed its user', async () => {
    const [imap, admin] = [anvil.client(), anvil.lines()];
    const kicked: string[] = [];
    const leave = imap.connect(anna, () => kicked.push('anna'));
    leave();
    await imap.lookup('', '', '');
    admin.send('KICK-USER\tanna\n');
    await admin.expect(/^0\n/);
    imap.connect({ ...anna, user: 'bob' }, () => kicked.push('bob'));
    imap.connect({ ...anna, sessionId: 's2' }, () => kicked.push('another session of anna'));
    // What would be sent comes before this answer.
    await imap.lookup('', '', '');
    assert.deepEqual(kicked, []);
  });

  it("answers Dovecot's commands with Dovecot's lines", async () => {
    const peer = anvil.lines();
    peer.send(
      'CONNECT\t77\timap/192.0.2.1/anna\nCONNECT\t77\timap/192.0.2.1/anna\nCONNECT\t78\tpop3/192.0.2.1/a\u0001tb\nLOOKUP\timap/192.0.2.1/anna\n',
    );
    await peer.expect(/^2\n/);
    peer.send('CONNECT-DUMP\n');
    await peer.expect(/^imap\/192\.0\.2\.1\/anna\t77\t2\npop3\/192\.0\.2\.1\/a\u0001tb\t78\t1\n\n/);
    peer.send('DISCONNECT\t77\timap/192.0.2.1/anna\nLOOKUP\timap/192.0.2.1/anna\nKILL\t77\nLOOKUP\timap/192.0.2.1/anna\n');
    await peer.expect(/^1\n0\n/);
    peer.send('PENALTY-INC\t192.0.2.9\t123\t2\nPENALTY-GET\t192.0.2.9\nPENALTY-GET\t192.0.2.8\n');
    await peer.expect(/^2 \d{10}\n0 0\n/);
    peer.send('PENALTY-DUMP\n');
    await peer.expect(/^192\.0\.2\.9\t2\t\d{10}\n\n/);
  });

  it('lists sessions with all that is known about them', async () => {
    const [imap, admin] = [anvil.client(), anvil.lines()];
    imap.connect({ ...anna, user: 'Grüße/x' }, ignore);
    await imap.lookup('', '', '');
    admin.send('SESSION-DUMP\n');
    const expected = Buffer.from(`Grüße/x\timap\t192.0.2.1\t${process.pid}\ts1\t`).toString('latin1');
    await until(() => admin.received.startsWith(expected) && /\d{10}\n\n$/.test(admin.received), 'dump');
  });

  it('answers administrators', async () => {
    const imap = anvil.client();
    let kicks = 0;
    imap.connect(anna, () => (kicks += 1));
    imap.connect({ ...anna, user: 'bob', sessionId: 's2' }, () => (kicks += 1));
    await imap.lookup('', '', '');
    const sessions = await listSessions(anvil.folder);
    assert.deepEqual(
      sessions.map(({ sinceSeconds: _, ...rest }) => rest),
      [
        { ...anna, pid: process.pid },
        { ...anna, user: 'bob', sessionId: 's2', pid: process.pid },
      ],
    );
    assert.equal(await kickUsers(anvil.folder, 'b*', undefined), 1);
    assert.equal(await kickUsers(anvil.folder, '*', '203.0.113.0/24'), 0);
    assert.equal(await kickSessions(anvil.folder, ['s1', 'unknown']), 1);
    await until(() => kicks === 2, 'two kicked');
    imap.close();
    for (let tries = 0; (await listSessions(anvil.folder)).length > 0 && tries < 100; tries += 1);
    assert.deepEqual(await listSessions(anvil.folder), []);
    await assert.rejects(listSessions('/nonexistent'), { code: 'unreachable' });
  });

  it('keeps penalties for auth', async () => {
    const auth = anvil.client();
    auth.setPenalty('192.0.2.1', 5, 3);
    const { value, lastSeconds } = await auth.penalty('192.0.2.1');
    assert.equal(value, 3);
    assert.ok(Math.abs(Date.now() / 1000 - lastSeconds) < 5);
  });

  for (const line of [
    'NONSENSE\n',
    'CONNECT\tx\timap/a/b\n',
    'CONNECT\t1\n',
    'VERSION\tauth\t1\t0\n',
    'KICK-USER\n',
    `${'x'.repeat(8193)}`,
  ]) {
    it(`ends a connection that sends ${JSON.stringify(line.slice(0, 30))}`, async () => {
      const peer = anvil.lines();
      peer.send(line);
      await until(() => peer.isClosed, 'closed');
    });
  }

  it('lets login processes ask and nothing else', async () => {
    await anvil.crash();
    rmSync(anvil.path, { force: true });
    await anvil.start('login/anvil');
    const login = anvil.lines();
    login.send('LOOKUP\timap/192.0.2.1/anna\n');
    await login.expect(/^0\n/);
    login.send('KICK-USER\tanna\n');
    await until(() => login.isClosed, 'closed');
  });
});
