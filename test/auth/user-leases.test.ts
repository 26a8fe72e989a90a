// A mail process that looks up users, and a real auth role that counts how often it is asked, over UNIX sockets in this process.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import type { AuthMasterClient } from '#auth/client.js';
import { type AuthAdmin, connectAuthMaster } from '#auth/master-connection.js';
import { UserLeases } from '#auth/user-leases.js';
import { findRecipient } from '#delivery/recipient.js';
import { silentLogger } from '#log/logger.js';
import { MasterConnection } from '#services/auth/master-protocol.js';
import { createFixture, type Fixture, type FixtureOptions } from '../services/auth/fixture.js';

const signal = AbortSignal.timeout(60_000);

interface World {
  readonly fixture: Fixture;
  readonly client: AuthMasterClient;
  readonly admin: AuthMasterClient & AuthAdmin;
  /** Of the client's leases. */
  readonly clock: { nowMs: number };
  /** Lines of lookups that auth has read. */
  readonly questions: readonly string[];
  /** Where bob's home is, as the client hears it. */
  home(service?: string): Promise<string | undefined>;
  loseConnections(): Promise<void>;
}

async function world(t: TestContext, options: FixtureOptions = {}, keepsLeases = true): Promise<World> {
  const fixture = createFixture(t, { users: 'bob:x:1:2::/h::\n', ...options });
  const folder = mkdtempSync(join(tmpdir(), 'roost-lease-'));
  const path = join(folder, 'auth-master');
  const questions: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    const connection = new MasterConnection(
      fixture.authenticator,
      { write: (text) => void socket.write(text), end: () => void socket.end() },
      { kind: 'full' },
    );
    socket.on('data', (chunk: Buffer) => {
      questions.push(...(chunk.toString().match(/^USER\t.*$/gm) ?? []).map((line) => line.replace(/\t\d+\t/, '\t')));
      connection.receive(chunk);
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      sockets.delete(socket);
      connection.close();
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  const clock = { nowMs: 0 };
  const client = connectAuthMaster({ path, log: silentLogger, keepsLeases, nowMs: () => clock.nowMs });
  const admin = connectAuthMaster({ path, log: silentLogger });
  t.after(() => {
    client.close();
    admin.close();
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    fixture,
    client,
    admin,
    clock,
    questions,
    async home(service = 'lmtp') {
      const found = await client.lookup('bob', service, signal);
      return found.kind === 'found' ? found.user.fields['home'] : found.kind;
    },
    async loseConnections() {
      for (const socket of sockets) socket.destroy();
      // The client has seen it when a question gets through on a new connection.
      for (;;) {
        const found = await client.lookup('somebody-else', 'lmtp', signal);
        if (found.kind === 'unknown') return;
      }
    },
  };
}

describe('a lease on what auth said of a user', () => {
  it('spares questions until it ends', async (t) => {
    const { home, clock, questions } = await world(t);
    for (let each = 0; each < 5; each++) assert.equal(await home(), '/h');
    clock.nowMs += 999;
    assert.equal(await home(), '/h');
    assert.deepEqual(questions, ['USER\tbob\tservice=lmtp\troost_lease']);
    clock.nowMs += 1;
    assert.equal(await home(), '/h');
    assert.equal(questions.length, 2);
  });

  it('gives the same object each time, so that a user is one to the mail store', async (t) => {
    const { client, clock } = await world(t);
    const users = [];
    for (const passedMs of [0, 10, 10_000]) {
      clock.nowMs += passedMs;
      const found = await client.lookup('bob', 'lmtp', signal);
      users.push(found.kind === 'found' ? found.user : undefined);
    }
    assert.ok(users[0] !== undefined && users[0] === users[1] && users[1] === users[2]);
  });

  it('counts from the question, however long the answer takes', async (t) => {
    const { home, clock, questions } = await world(t);
    const asked = home();
    clock.nowMs += 600;
    assert.equal(await asked, '/h');
    clock.nowMs += 399;
    await home();
    assert.equal(questions.length, 1);
    clock.nowMs += 1;
    await home();
    assert.equal(questions.length, 2);
  });

  it('is for the same question only: another service or another spelling is asked about', async (t) => {
    const { client, questions } = await world(t, { userdbs: [{ driver: 'static', args: 'home=/%s/%u allow_all_users=yes' }] });
    const homes: unknown[] = [];
    for (const [user, service] of [
      ['bob', 'lmtp'],
      ['bob', 'smtp'],
      ['BOB', 'lmtp'],
      ['bob', 'lmtp'],
      ['bob', 'smtp'],
    ] as const) {
      const found = await client.lookup(user, service, signal);
      homes.push(found.kind === 'found' ? found.user.fields['home'] : found.kind);
    }
    assert.deepEqual(homes, ['/lmtp/bob', '/smtp/bob', '/lmtp/bob', '/lmtp/bob', '/smtp/bob']);
    assert.equal(questions.length, 3);
  });

  it('is not there for a user whom nobody knows, so one who is added is found at once', async (t) => {
    const { client, questions, fixture } = await world(t);
    assert.equal((await client.lookup('eve', 'lmtp', signal)).kind, 'unknown');
    assert.equal((await client.lookup('eve', 'lmtp', signal)).kind, 'unknown');
    assert.equal(questions.length, 2);
    fixture.rewrite('eve:x:1:2::/eve::\n');
    fixture.clock.nowMs += 1_000;
    assert.equal((await client.lookup('eve', 'lmtp', signal)).kind, 'found');
  });

  it('is not there for failures', async (t) => {
    const { home, questions } = await world(t, { userdbs: [{ driver: 'passwd-file', args: 'PATH.gone' }] });
    assert.deepEqual([await home(), await home()], ['temp_fail', 'temp_fail']);
    assert.equal(questions.length, 2);
  });

  it('is not there without a cache', async (t) => {
    const { home, questions } = await world(t, { settings: { auth_cache_size: 0 } });
    assert.deepEqual([await home(), await home()], ['/h', '/h']);
    assert.equal(questions.length, 2);
  });

  it('is asked for only by those who keep them', async (t) => {
    const { home, questions } = await world(t, {}, false);
    assert.deepEqual([await home(), await home()], ['/h', '/h']);
    assert.deepEqual(questions, ['USER\tbob\tservice=lmtp', 'USER\tbob\tservice=lmtp']);
  });

  for (const users of [[], ['bob'], ['ann']]) {
    it(`ends before a flush of ${users.join() || 'all'} is answered`, async (t) => {
      const { home, admin, fixture, questions } = await world(t);
      assert.equal(await home(), '/h');
      fixture.rewrite('bob:x:1:2::/new::\n');
      assert.equal(await home(), '/h');
      await admin.flushCache(users, signal);
      assert.equal(await home(), '/new');
      assert.equal(questions.length, 2);
      assert.equal(await home(), '/new');
      assert.equal(questions.length, 2);
    });
  }

  it('ends with the connection', async (t) => {
    const { home, loseConnections, fixture, questions } = await world(t);
    await home();
    fixture.rewrite('bob:x:1:2::/new::\n');
    fixture.clock.nowMs += 1_000;
    assert.equal(await home(), '/h');
    await loseConnections();
    assert.equal(await home(), '/new');
    assert.equal(questions.filter((line) => line.includes('bob')).length, 2);
  });

  it('does not answer somebody who has given up', async (t) => {
    const { home, client } = await world(t);
    await home();
    await assert.rejects(client.lookup('bob', 'lmtp', AbortSignal.abort(new Error('gone'))), /gone/);
  });

  it('names the recipient of a second message without a question', async (t) => {
    const { client, questions } = await world(t);
    const rules = { recipientDelimiter: '+', localDomains: new Set<string>() };
    for (const localPart of ['bob', 'bob']) {
      const found = await findRecipient(client, { localPart, domain: '' }, rules, 'lmtp', signal);
      assert.deepEqual(found, { kind: 'found', user: { user: 'bob', fields: { uid: '1', gid: '2', home: '/h' } }, detail: '' });
    }
    assert.equal(questions.length, 1);
  });
});

describe('leases of a process', () => {
  const found = { kind: 'found', user: { user: 'u', fields: {} } } as const;

  it('are at most 10,000; the one used longest ago goes first', () => {
    const leases = new UserLeases(() => 0);
    leases.keep('first', found, 1_000, 0);
    for (let index = 0; index < 9_999; index++) leases.keep(`q${index}`, found, 1_000, 0);
    assert.equal(leases.find('first'), found);
    leases.keep('one more', found, 1_000, 0);
    assert.deepEqual([leases.find('first'), leases.find('q0'), leases.find('q1')], [found, undefined, found]);
  });

  it('are never longer than 10 s, whatever auth says', () => {
    const clock = { nowMs: 5 };
    const leases = new UserLeases(() => clock.nowMs);
    leases.keep('q', found, 4_000_000_000, leases.now());
    clock.nowMs += 9_999;
    assert.equal(leases.find('q'), found);
    clock.nowMs += 1;
    assert.equal(leases.find('q'), undefined);
  });
});
