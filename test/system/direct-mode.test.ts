// Mail services with listeners of their own: the real server, clients over TCP and TLS.
import assert from 'node:assert/strict';
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import { once } from 'node:events';
import { chownSync, mkdtempSync, rmSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { askMaster } from '#ipc/master-client.js';
import { freePort } from '../support/free-port.js';
import { LineClient } from '../support/line-client.js';
import { patienceMs } from '../support/patience.js';
import { type RunningRoost, startRoost } from '../support/running-roost.js';

interface Ports {
  readonly imap: number;
  readonly imaps: number;
  readonly pop3: number;
}

async function startDirect(
  imap: Readonly<Record<string, string | number>> = {},
  settings: Readonly<Record<string, string>> = {},
  users: Readonly<Record<string, string>> = { alice: 'secret', bob: 'secret' },
): Promise<{ readonly roost: RunningRoost; readonly ports: Ports }> {
  const ports = { imap: freePort(), imaps: freePort(), pop3: freePort() };
  const listener = (name: string, port: number, isTls = false): string =>
    `  inet_listener ${name} {\n    port = ${port}\n${isTls ? '    ssl = yes\n' : ''}  }\n`;
  const extra = `service imap {\n${listener('imap', ports.imap)}${listener('imaps', ports.imaps, true)}}\nservice pop3 {\n${listener('pop3', ports.pop3)}}\n`;
  return { roost: await startRoost({ protocols: ['imap', 'pop3'], users, pools: { imap }, settings, extra }), ports };
}

async function open(port: number): Promise<LineClient> {
  const client = new LineClient(connectTcp(port, '127.0.0.1'));
  await client.line();
  return client;
}

async function logIn(port: number, user = 'alice'): Promise<LineClient> {
  const client = await open(port);
  await client.ok(`LOGIN ${user} secret`);
  return client;
}

async function processesOf(roost: RunningRoost, service: string): Promise<number> {
  const reply = await askMaster(roost.baseDir, { command: 'process-status', services: [service] }, { timeoutMs: patienceMs });
  return reply.ok ? (reply.processes ?? []).length : 0;
}

describe('Direct mode', () => {
  let roost: RunningRoost;
  let ports: Ports;
  before(async () => {
    ({ roost, ports } = await startDirect({}, { auth_mechanisms: 'plain login scram-sha-256' }));
  });
  after(() => roost[Symbol.asyncDispose]());

  it('greets, logs in and serves a client in one process', async () => {
    const client = new LineClient(connectTcp(ports.imap, '127.0.0.1'));
    assert.match((await client.line()) ?? '', /^\* OK \[CAPABILITY IMAP4rev1 .*STARTTLS.*\] Roost ready\.$/);
    const reply = await client.run('LOGIN alice secret');
    assert.match(reply.at(-1) ?? '', /^OK \[CAPABILITY .*IDLE.*\] Logged in$/);
    assert.match((await client.ok('SELECT INBOX')).join('\n'), /\* 0 EXISTS/);
    const line = await roost.logged(/Login: user=<alice>/);
    const pid = /mpid=(\d+)/.exec(line)?.[1];
    client.send('LOGOUT');
    await roost.logged(new RegExp(`imap\\(alice\\)<${pid}><.*Disconnected: Logged out`));
  });

  it('loses no command that was sent along with the login', async () => {
    const client = await open(ports.imap);
    client.raw('a LOGIN alice secret\r\nb NOOP\r\nc SELECT INBOX\r\nd LOGOUT\r\n');
    const lines: string[] = [];
    for (let line = await client.line(); line !== undefined; line = await client.line()) lines.push(line);
    assert.deepEqual(
      lines.filter((line) => /^[a-d] /.test(line)).map((line) => line.slice(0, 4)),
      ['a OK', 'b OK', 'c OK', 'd OK'],
    );
  });

  it('speaks TLS from the first octet, and after STARTTLS', async () => {
    const implicit = new LineClient(connectTls({ port: ports.imaps, host: '127.0.0.1', rejectUnauthorized: false }));
    await implicit.line();
    implicit.raw('a LOGIN alice secret\r\nb SELECT INBOX\r\n');
    const seen: string[] = [];
    while (!seen.at(-1)?.startsWith('b ')) seen.push((await implicit.line()) ?? 'b closed');
    assert.match(seen.at(-1) ?? '', /^b OK/);
    const plain = connectTcp(ports.imap, '127.0.0.1');
    const before = new LineClient(plain);
    await before.line();
    await before.ok('STARTTLS');
    plain.removeAllListeners('data');
    const upgraded = connectTls({ socket: plain, rejectUnauthorized: false });
    await once(upgraded, 'secureConnect');
    const client = new LineClient(upgraded);
    await client.ok('LOGIN alice secret');
    await client.ok('NOOP');
    await roost.logged(/Login: user=<alice>.*TLS/);
    implicit.close();
    client.close();
  });

  it('refuses a wrong password and lets the client try again', async () => {
    const client = await open(ports.imap);
    assert.match((await client.run('LOGIN alice wrong')).at(-1) ?? '', /^NO \[AUTHENTICATIONFAILED\]/);
    await client.ok('LOGIN alice secret');
    client.close();
  });

  it('sends the last word of SCRAM before the client is let in', async () => {
    const client = await open(ports.imap);
    const first = 'n=alice,r=nonce';
    client.raw(`a AUTHENTICATE SCRAM-SHA-256 ${Buffer.from(`n,,${first}`).toString('base64')}\r\n`);
    const challenge = Buffer.from(((await client.line()) ?? '').slice(2), 'base64').toString();
    const [, nonce = '', salt = '', iterations = ''] = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(challenge) ?? [];
    const salted = pbkdf2Sync('secret', Buffer.from(salt, 'base64'), Number(iterations), 32, 'sha256');
    const sign = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
    const clientKey = sign(salted, 'Client Key');
    const message = `${first},${challenge},c=biws,r=${nonce}`;
    const signature = sign(createHash('sha256').update(clientKey).digest(), message);
    const proof = clientKey.map((octet, index) => octet ^ (signature[index] ?? 0));
    client.raw(`${Buffer.from(`c=biws,r=${nonce},p=${Buffer.from(proof).toString('base64')}`).toString('base64')}\r\n`);
    const last = Buffer.from(((await client.line()) ?? '').slice(2), 'base64').toString();
    assert.equal(last, `v=${sign(sign(salted, 'Server Key'), message).toString('base64')}`);
    client.raw('\r\n');
    assert.match((await client.line()) ?? '', /^a OK /);
    client.close();
  });

  it('serves POP3 clients', async () => {
    const client = await open(ports.pop3);
    client.raw('USER alice\r\nPASS secret\r\nSTAT\r\nQUIT\r\n');
    const lines: string[] = [];
    for (let line = await client.line(); line !== undefined; line = await client.line()) lines.push(line);
    assert.deepEqual(lines, ['+OK', '+OK Logged in.', '+OK 0 0', '+OK Logging out.']);
  });

  it('shows the sessions to who, and ends them on kick', async () => {
    const client = await logIn(ports.imap, 'bob');
    assert.match((await roost.admin(['who'])).stdout, /^bob\s/m);
    await roost.admin(['kick', 'bob']);
    assert.match((await client.line()) ?? '', /^\* BYE /);
    assert.equal(await client.line(), undefined);
  });

  it('says goodbye to both kinds of clients at the end', async () => {
    const { roost: other, ports: otherPorts } = await startDirect();
    const clients = [await open(otherPorts.imap), await logIn(otherPorts.imap)];
    assert.equal(await other.stop(), 0);
    for (const client of clients) assert.match((await client.line()) ?? '', /^\* BYE \[UNAVAILABLE\] Server shutting down/);
  });
});

describe('Limits in direct mode', () => {
  it('are service_count: a process for each connection, which ends with it', async () => {
    await using world = await disposable(startDirect({ service_count: 1, client_limit: 1 }));
    const { roost, ports } = world;
    const clients = [await logIn(ports.imap), await logIn(ports.imap)];
    const list = (): Promise<number> => processesOf(roost, 'imap');
    assert.equal(await list(), 2);
    for (const client of clients) client.close();
    await until(async () => (await list()) === 0);
  });

  it('are connections of one user from one address', async () => {
    await using world = await disposable(startDirect({}, { mail_max_userip_connections: '2' }));
    const { roost, ports } = world;
    const clients = [await logIn(ports.imap), await logIn(ports.imap)];
    const third = await open(ports.imap);
    assert.match((await third.run('LOGIN alice secret')).at(-1) ?? '', /^NO \[UNAVAILABLE\] Maximum number of connections.*=2\)/);
    await roost.logged(/Maximum number of connections from user\+IP exceeded/);
    for (const client of [...clients, third]) client.close();
  });

  it('push out the oldest client that has not logged in, and nobody who has', async () => {
    await using world = await disposable(startDirect({ process_limit: 1, client_limit: 3 }));
    const { ports } = world;
    const loggedIn = await logIn(ports.imap);
    const oldest = await open(ports.imap);
    const younger = await open(ports.imap);
    const newcomer = await logIn(ports.imap);
    assert.equal(await oldest.line(), '* BYE Connection queue full');
    await newcomer.ok('NOOP');
    await loggedIn.ok('NOOP');
    await younger.ok('NOOP');
    for (const client of [loggedIn, oldest, younger, newcomer]) client.close();
  });
});

describe('Direct mode where some users have uids of their own', {
  skip: process.getuid?.() === 0 ? false : 'only root can change users',
}, () => {
  const carolUid = 20_103;

  async function start(limits: Readonly<Record<string, string | number>>): Promise<World & AsyncDisposable> {
    const folder = mkdtempSync(join(tmpdir(), 'roost-direct-'));
    chownSync(folder, carolUid, carolUid);
    const users = { alice: 'secret', carol: `{PLAIN}secret:${carolUid}:${carolUid}::${folder}::` };
    const world = await startDirect(limits, {}, users);
    return {
      ...world,
      [Symbol.asyncDispose]: async () => {
        await world.roost.stop();
        rmSync(folder, { recursive: true, force: true });
      },
    };
  }

  for (const [name, limits] of [
    ['processes for many clients', { process_min_avail: 1 }],
    ['a process for each client', { service_count: 1, client_limit: 1 }],
  ] as const) {
    it(`lets nobody in through a process that runs as another user (${name})`, async () => {
      await using world = await start(limits);
      const { roost, ports } = world;
      // There are processes that run as carol, and they have room.
      const carols = [await logIn(roost.ports.imap, 'carol'), await logIn(roost.ports.imap, 'carol')];
      carols.pop()?.close();
      for (let n = 0; n < 8; n += 1) {
        const client = await logIn(ports.imap);
        await client.ok('NOOP');
        client.close();
      }
      for (const client of carols) client.close();
    });
  }

  it('refuses such a user, and says in the log why', async () => {
    await using world = await start({});
    const { roost, ports } = world;
    const client = await open(ports.imap);
    assert.match((await client.run('LOGIN carol secret')).at(-1) ?? '', /^NO \[UNAVAILABLE\] Internal login failure/);
    assert.equal(await client.line(), undefined);
    assert.match(await roost.logged(/imap: Error: .*carol/), new RegExp(`uid ${carolUid}.*direct`));
    assert.doesNotMatch(roost.log, /nonexistent client/);
  });
});

type World = Awaited<ReturnType<typeof startDirect>>;

async function disposable(starting: Promise<World>): Promise<World & AsyncDisposable> {
  const world = await starting;
  return { ...world, [Symbol.asyncDispose]: () => world.roost[Symbol.asyncDispose]() };
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + patienceMs; Date.now() < deadline; ) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail(`condition did not come true within ${patienceMs} ms`);
}
