// The client libraries against a real auth role, over UNIX sockets in this process.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { connectAuth } from '#auth/auth-connection.js';
import type { AuthRequest } from '#auth/client.js';
import { connectAuthMaster } from '#auth/master-connection.js';
import { silentLogger } from '#log/logger.js';
import { ClientConnection } from '#services/auth/client-connection.js';
import { MasterConnection } from '#services/auth/master-protocol.js';
import { createFixture, type Fixture, type FixtureOptions } from '../services/auth/fixture.js';

const request: AuthRequest = {
  mechanism: 'PLAIN',
  service: 'imap',
  peer: { remoteIp: '10.0.0.9', remotePort: 1, localIp: '10.0.0.2', localPort: 143, tls: undefined, isSecured: true, isTrusted: false },
  sessionId: 'abc',
  initialResponse: Buffer.from('\0bob\0secret'),
};

class AuthServer {
  readonly fixture: Fixture;
  readonly loginPath: string;
  readonly masterPath: string;
  readonly #sockets = new Set<Socket>();
  #servers: Server[] = [];
  connections = 0;

  constructor(t: TestContext, options: FixtureOptions) {
    const folder = mkdtempSync(join(tmpdir(), 'roost-conn-'));
    this.fixture = createFixture(t, options);
    this.loginPath = join(folder, 'login');
    this.masterPath = join(folder, 'auth-master');
    t.after(() => {
      this.stop();
      rmSync(folder, { recursive: true, force: true });
    });
  }

  async start(): Promise<void> {
    const { authenticator } = this.fixture;
    await this.#listen(this.loginPath, (sink) => {
      this.connections += 1;
      return new ClientConnection(authenticator, sink, true, this.connections);
    });
    await this.#listen(this.masterPath, (sink) => new MasterConnection(authenticator, sink, { kind: 'full' }));
  }

  stop(): void {
    for (const server of this.#servers.splice(0)) server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #listen(
    path: string,
    make: (sink: { write(text: string): void; end(): void }) => { receive(chunk: Buffer): void; close(): void },
  ): Promise<void> {
    const server = createServer((socket) => {
      this.#sockets.add(socket);
      const connection = make({ write: (text) => void socket.write(text), end: () => void socket.end() });
      socket.on('data', (chunk: Buffer) => connection.receive(chunk));
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        connection.close();
      });
    });
    this.#servers.push(server);
    return new Promise((resolve) => server.listen(path, resolve));
  }
}

async function world(t: TestContext, options: FixtureOptions = {}) {
  const server = new AuthServer(t, options);
  await server.start();
  const client = connectAuth({ path: server.loginPath, log: silentLogger, clientPid: 815 });
  const master = connectAuthMaster({ path: server.masterPath, log: silentLogger });
  t.after(() => {
    client.close();
    master.close();
  });
  return { server, client, master };
}

const signal = AbortSignal.timeout(60_000);

describe('auth clients', () => {
  it('authenticate, and claim the login with the first request of a new connection', async (t) => {
    const { client, master } = await world(t);
    assert.deepEqual(await client.mechanisms(), [
      { name: 'PLAIN', isPlaintext: true },
      { name: 'LOGIN', isPlaintext: true },
      { name: 'CRAM-MD5', isPlaintext: false },
      { name: 'SCRAM-SHA-256', isPlaintext: false },
    ]);
    const step = await client.begin(request).next();
    assert.equal(step.kind, 'ok');
    if (step.kind !== 'ok') return;
    assert.deepEqual([step.user, step.authPid, step.fields], ['bob', process.pid, { roost_uid: '1000', roost_gid: '1001' }]);
    const claim = { loginPid: 815, authId: step.authId, cookie: step.cookie };
    assert.deepEqual(await master.claim(claim, signal), {
      kind: 'found',
      user: { user: 'bob', fields: { uid: '1000', gid: '1001', home: '/home/bob' } },
    });
    assert.deepEqual(await master.claim(claim, signal), { kind: 'temp_fail', reason: 'No such authentication request' });
  });

  it('carry an exchange of several steps, fail with the code, and run many at once', async (t) => {
    const { client } = await world(t, { users: 'bob:{PLAIN}secret:1:2\neve:{PLAIN}x:1:2::::user_disabled=yes\n' });
    const exchange = client.begin({ ...request, mechanism: 'login', initialResponse: undefined });
    assert.deepEqual(await exchange.next(), { kind: 'continue', challenge: Buffer.from('Username:') });
    assert.deepEqual(await exchange.respond(Buffer.from('bob')), { kind: 'continue', challenge: Buffer.from('Password:') });
    assert.deepEqual(await exchange.respond(Buffer.from('no')), { kind: 'fail', code: 'mismatch', reason: undefined, user: 'bob' });
    const many = await Promise.all(Array.from({ length: 200 }, () => client.begin(request).next()));
    assert.equal(many.filter(({ kind }) => kind === 'ok').length, 200);
    const disabled = await client.begin({ ...request, initialResponse: Buffer.from('\0eve\0x') }).next();
    assert.deepEqual(disabled, { kind: 'fail', code: 'user_disabled', reason: undefined, user: 'eve' });
  });

  it('report a lost auth process as a temporary failure and come back with it', async (t) => {
    const { server, client, master } = await world(t);
    const open = client.begin({ ...request, mechanism: 'LOGIN', initialResponse: undefined });
    await open.next();
    const answer = open.respond(Buffer.from('bob'));
    server.stop();
    const failed = await answer;
    assert.equal(failed.kind === 'fail' ? failed.code : failed.kind, 'temp_fail');
    const later = client.begin(request).next();
    await server.start();
    assert.equal((await later).kind, 'ok');
    assert.equal((await master.lookup('bob', 'lmtp', signal)).kind, 'found');
  });

  it('do not answer a challenge of a lost process', async (t) => {
    const { server, client } = await world(t);
    const exchange = client.begin({ ...request, mechanism: 'LOGIN', initialResponse: undefined });
    await exchange.next();
    server.stop();
    await new Promise((resolve) => setImmediate(resolve));
    await server.start();
    assert.equal((await client.begin(request).next()).kind, 'ok');
    const step = await exchange.respond(Buffer.from('bob'));
    assert.equal(step.kind === 'fail' ? step.code : step.kind, 'temp_fail');
  });

  it('ask again, once, when the auth process is replaced before it answered', async (t) => {
    const { server, client } = await world(t);
    await client.mechanisms();
    const answers = [client.begin(request).next(), client.begin(request).next()];
    // The lines leave in the next tick; the server goes before it reads them.
    server.stop();
    await new Promise((resolve) => setImmediate(resolve));
    await server.start();
    assert.deepEqual(
      (await Promise.all(answers)).map(({ kind }) => kind),
      ['ok', 'ok'],
    );
  });

  it('look up, list and flush', async (t) => {
    const { master } = await world(t, { users: 'bob:x:1:2::/home/b b::userdb_note=a\u0001b\nann:x:3:4\n' });
    assert.deepEqual(await master.lookup('bob', 'lmtp', signal), {
      kind: 'found',
      user: { user: 'bob', fields: { uid: '1', gid: '2', home: '/home/b b', note: 'a\u0001b' } },
    });
    assert.deepEqual(await master.lookup('eve', 'lmtp', signal), { kind: 'unknown' });
    assert.deepEqual(await master.list('*', signal), ['bob', 'ann']);
    assert.deepEqual(await master.list('b?b', signal), ['bob']);
    assert.equal(await master.flushCache([], signal), 0);
  });

  it('end a wait when told to', async (t) => {
    const { server, master } = await world(t);
    await master.lookup('bob', 'lmtp', signal);
    server.stop();
    const controller = new AbortController();
    const waiting = master.lookup('bob', 'lmtp', controller.signal);
    controller.abort(new Error('enough'));
    await assert.rejects(waiting, /enough|aborted/);
  });
});
