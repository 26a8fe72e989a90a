import assert from 'node:assert/strict';
import { readdirSync, readlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { encodeFrame } from '#ipc/frame.js';
import { FakeMaster, LineClient, type Toy, until } from './fake-master.js';
import { testCertificate } from './test-certificate.js';

const descriptorsOf = (toy: Toy): number => readdirSync(`/proc/${toy.pid}/fd`).length;
/** Without what a process has open for a moment while it counts its descriptors itself. */
const socketsOf = (toy: Toy): number => readdirSync(`/proc/${toy.pid}/fd`).filter((fd) => isSocket(`/proc/${toy.pid}/fd/${fd}`)).length;

function isSocket(link: string): boolean {
  try {
    return readlinkSync(link).startsWith('socket:');
  } catch {
    // Closed since.
    return false;
  }
}

describe('hand-off', () => {
  let master: FakeMaster;
  beforeEach(() => {
    master = new FakeMaster();
  });
  afterEach(() => master.close());

  const tlsSettings = { ssl: 'yes', ssl_cert: testCertificate.cert, ssl_key: testCertificate.key };

  async function pair(options: { readonly descriptors?: boolean; readonly isTls?: boolean; readonly mailLimit?: number } = {}) {
    const listener = master.listen();
    const mail = master.start({ role: 'mail', descriptors: options.descriptors ?? true, clientLimit: options.mailLimit ?? 100 });
    const login = master.start({ settings: tlsSettings, listeners: [{ isTls: options.isTls ?? false }] }, [listener]);
    master.route(login, () => mail);
    await Promise.all([login.ready(), mail.ready()]);
    return { port: listener.port, login, mail };
  }

  /** Of a version whose TLS stays in the login process, unless another one is asked for. */
  function tlsClient(port: number, maxVersion: 'TLSv1.2' | 'TLSv1.3' = 'TLSv1.2'): LineClient {
    const client = new LineClient(connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, maxVersion }));
    master.clients.push(client);
    return client;
  }

  for (const [how, options] of [
    ['by descriptor', {}],
    ['by relay where descriptors cannot be passed', { descriptors: false }],
  ] as const) {
    it(`moves a plain connection to the mail process ${how}, with what the client sent ahead`, async () => {
      const { port, login, mail } = await pair(options);
      const client = master.connect(port);
      await client.expect(/hello/);
      client.send('LOGIN anna\nahead 1\nahead 2\nhalf');
      const [, pid] = await client.expect(/welcome anna to (\d+) from 127\.0\.0\.1:\d+ secured\n/);
      assert.equal(Number(pid), mail.pid);
      await client.expect(new RegExp(`^${pid} ahead 1\n${pid} ahead 2\n`));
      client.send(' line\n');
      await client.expect(new RegExp(`^${pid} half line\n`));
      await mail.clients(1);
      assert.deepEqual(
        mail.statuses.flatMap(({ arrived }) => arrived),
        [1],
      );
      if (how === 'by descriptor') await login.clients(0);
      else await login.clients(1);
      client.send('quit\n');
      await client.expect(/bye/);
      await until(() => client.hasEnded, 'end');
      await mail.clients(0);
      await login.clients(0);
      assert.deepEqual(
        mail.statuses.flatMap(({ left }) => left),
        [1],
      );
    });
  }

  for (const descriptors of [true, false])
    it(`moves a connection with TLS 1.3 ${descriptors ? 'with its descriptor' : 'as octets where descriptors cannot be passed'}`, async () => {
      const { port, login, mail } = await pair({ isTls: true, descriptors });
      const client = tlsClient(port, 'TLSv1.3');
      await client.expect(/hello .* TLSv1\.3\n/);
      client.send('LOGIN anna\nahead\n');
      await client.expect(/welcome anna to \d+ from .* secured TLSv1\.3\n\d+ ahead\n/);
      await login.clients(descriptors ? 0 : 1);
      client.send('flood 200000\n');
      let count = 0;
      client.socket.on('data', (chunk: Buffer) => {
        count += chunk.length;
      });
      await until(() => count >= 200_000, 'flood');
      client.send('quit\n');
      await until(() => client.isClosed, 'close');
      await Promise.all([login.clients(0), mail.clients(0)]);
    });

  it('relays TLS 1.2, and the login process counts the client until it has gone', async () => {
    const { port, login, mail } = await pair({ isTls: true });
    const client = tlsClient(port);
    await client.expect(/hello .* TLSv1\.2\n/);
    client.send('LOGIN anna\nahead\n');
    await client.expect(/welcome anna to \d+ from .* secured TLSv1\.2\n\d+ ahead\n/);
    await login.clients(1);
    client.send('quit\n');
    await until(() => client.isClosed, 'close');
    await login.clients(0);
    await mail.clients(0);
  });

  for (const [version, what] of [
    ['TLSv1.2', 'relays'],
    ['TLSv1.3', 'moves'],
  ] as const)
    it(`${what} after STARTTLS with ${version}`, async () => {
      const { port, login } = await pair();
      const client = master.connect(port);
      await client.expect(/hello/);
      client.send('STARTTLS\n');
      await client.expect(/go\n/);
      client.socket.removeAllListeners('data');
      client.use(connectTls({ socket: client.socket, rejectUnauthorized: false, maxVersion: version }));
      client.send('LOGIN anna\n');
      await client.expect(new RegExp(`welcome anna .* ${version}`));
      await login.clients(what === 'relays' ? 1 : 0);
    });

  for (const descriptors of [true, false])
    it(`keeps a relayed stream whole against a slow reader, ${descriptors ? 'over a socket of its own' : 'over the channel of all'}`, async () => {
      const { port, login, mail } = await pair({ isTls: true, descriptors });
      const client = tlsClient(port);
      await client.expect(/hello/);
      client.send('LOGIN anna\n');
      await client.expect(/welcome.*\n/);
      client.socket.pause();
      client.send('flood 30000000\n');
      await until(() => client.socket.bytesWritten > 0, 'sent');
      // With the client not reading, neither process may keep what the other sends: memory stays far below the flood.
      await new Promise((resolve) => setTimeout(resolve, 300));
      const { readFileSync } = await import('node:fs');
      const residentKb = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${login.pid}/status`, 'latin1'))?.[1]);
      assert.ok(residentKb < 110_000, `login has ${residentKb} kB`);
      // Others are served meanwhile.
      const quick = tlsClient(port);
      quick.send('LOGIN otto\nhere\n');
      await quick.expect(new RegExp(`${mail.pid} here`));
      let count = 0;
      client.socket.removeAllListeners('data');
      client.socket.on('data', (chunk: Buffer) => {
        count += chunk.length;
      });
      client.socket.resume();
      await until(() => count >= 30_000_000, `flood, got ${count}`);
      assert.equal(count, 30_000_000);
    });

  it('gives a relayed session that has much to say a socket of its own, in the middle of it', async () => {
    const { port, login, mail } = await pair({ isTls: true });
    async function logIn(user: string): Promise<{ readonly client: LineClient; readonly flood: () => Promise<void> }> {
      const client = tlsClient(port);
      client.send(`LOGIN ${user}\n`);
      await client.expect(/welcome.*\n/);
      client.socket.removeAllListeners('data');
      let count = 0;
      client.socket.on('data', (chunk: Buffer) => {
        count += chunk.length;
      });
      const flood = async (): Promise<void> => {
        for (let n = 1; n <= 8; n += 1) {
          client.send('flood 200000\n');
          await until(() => count >= 200_000 * n, `flood ${n}, got ${count}`);
        }
        assert.equal(count, 1_600_000);
      };
      return { client, flood };
    }
    // The first one also opens what sends descriptors.
    const first = await logIn('anna');
    await first.flood();
    const second = await logIn('otto');
    const before = { login: socketsOf(login), mail: socketsOf(mail) };
    await second.flood();
    await until(() => socketsOf(login) === before.login + 1 && socketsOf(mail) === before.mail + 1, 'one more socket in each');
    for (const { client } of [first, second]) client.send('quit\n');
    await until(() => first.client.isClosed && second.client.isClosed, 'close');
    await Promise.all([login.clients(0), mail.clients(0)]);
  });

  it('passes many connections at once and leaks no descriptor', async () => {
    const { port, login, mail } = await pair();
    const warm = master.connect(port);
    warm.send('LOGIN warm\n');
    await warm.expect(/welcome warm/);
    await login.clients(0);
    const before = { login: descriptorsOf(login), mail: descriptorsOf(mail) };
    const clients = Array.from({ length: 60 }, (_, n) => ({ n, client: master.connect(port) }));
    for (const { n, client } of clients) client.send(`LOGIN user${n}\n`);
    for (const { n, client } of clients) await client.expect(new RegExp(`welcome user${n} to ${mail.pid}`));
    await login.clients(0);
    await mail.clients(61);
    for (const { client } of clients) client.socket.destroy();
    await mail.clients(1);
    await until(() => descriptorsOf(mail) <= before.mail && descriptorsOf(login) <= before.login, 'descriptors closed');
  });

  it('loses nothing that a client sends while its connection moves', async () => {
    const { port, login, mail } = await pair();
    const talk = async (user: string): Promise<void> => {
      const client = master.connect(port);
      client.socket.setNoDelay(true);
      // The first line goes out at the very moment the mail process has answered, when login has not let go of its copy yet.
      client.socket.on('data', () => {
        if (/welcome/.test(client.received)) client.send('after\n');
      });
      client.send(`LOGIN ${user}\n`);
      await client.expect(/welcome/);
      for (let n = 0; n < 3; n += 1) client.send(`line ${n}\n`);
      await client.expect(/\d+ after\n/);
      await client.expect(/line 2\n/);
      client.socket.destroy();
    };
    for (let round = 0; round < 10; round += 1) await Promise.all(Array.from({ length: 20 }, (_, n) => talk(`user${round}-${n}`)));
    await until(() => mail.status?.served === 200 && mail.status.clients === 0, 'all served and gone');
    await login.clients(0);
  });

  const routesOf = (login: Toy): number => login.messages.filter(({ kind }) => kind === 'route').length;
  /** Longer than a test takes. */
  const longLeaseMs = 600_000;

  async function logIn(port: number, user: string): Promise<{ readonly client: LineClient; readonly pid: number }> {
    const client = master.connect(port);
    client.send(`LOGIN ${user}\n`);
    const [, pid] = await client.expect(new RegExp(`welcome ${user} to (\\d+)`));
    return { client, pid: Number(pid) };
  }

  for (const descriptors of [true, false])
    it(`asks once for all sessions of a user while the answer holds, connections ${descriptors ? 'handed off' : 'relayed'}`, async () => {
      const { port, login, mail } = await pair({ descriptors });
      master.route(login, () => mail, longLeaseMs);
      for (let session = 0; session < 3; session += 1) assert.equal((await logIn(port, 'anna')).pid, mail.pid);
      assert.equal(routesOf(login), 1);
      await mail.clients(3);
      assert.deepEqual(
        mail.statuses.flatMap(({ arrived }) => arrived),
        [1, 1, 1],
      );
      await logIn(port, 'berta');
      assert.equal(routesOf(login), 2);
    });

  it('asks for each session when the answer does not hold any more', async () => {
    const { port, login, mail } = await pair();
    master.route(login, () => mail, 0);
    await logIn(port, 'anna');
    await logIn(port, 'anna');
    assert.equal(routesOf(login), 2);
  });

  it('asks the master for another process when the one that the answer named is full', async () => {
    const { port, login, mail } = await pair({ mailLimit: 1 });
    const other = master.start({ role: 'mail' });
    await other.ready();
    master.route(login, () => mail, longLeaseMs);
    assert.equal((await logIn(port, 'anna')).pid, mail.pid);
    master.route(login, () => other, longLeaseMs);
    assert.equal((await logIn(port, 'anna')).pid, other.pid);
    assert.equal((await logIn(port, 'anna')).pid, other.pid);
    assert.equal(routesOf(login), 2);
    // Nothing was reserved, so nothing is given back.
    assert.deepEqual(
      login.messages.filter(({ kind }) => kind === 'route-failed'),
      [],
    );
  });

  for (const [what, end] of [
    ['has been killed', (mail: Toy) => mail.process.kill('SIGKILL')],
    ['was told to stop', (mail: Toy) => mail.send({ kind: 'stop', clients: 'finish', reason: 'test' })],
  ] as const)
    it(`asks the master for another process when the one that the answer named ${what}`, async () => {
      const { port, login, mail } = await pair();
      const other = master.start({ role: 'mail' });
      await other.ready();
      master.route(login, () => mail, longLeaseMs);
      const { client } = await logIn(port, 'anna');
      master.route(login, () => other, longLeaseMs);
      end(mail);
      client.socket.destroy();
      await mail.exited();
      assert.equal((await logIn(port, 'anna')).pid, other.pid);
      assert.equal(routesOf(login), 2);
    });

  it('tries another process when the first one is gone or full', async () => {
    const { port, login, mail } = await pair();
    const full = master.start({ role: 'mail', clientLimit: 1 });
    await full.ready();
    master.route(login, () => full);
    const first = master.connect(port);
    first.send('LOGIN one\n');
    await first.expect(new RegExp(`welcome one to ${full.pid}`));
    const routes = [full, mail];
    let used = 0;
    master.route(login, () => routes[used++] ?? mail);
    const second = master.connect(port);
    second.send('LOGIN two\n');
    await second.expect(new RegExp(`welcome two to ${mail.pid}`));
    assert.ok(login.messages.some((message) => message.kind === 'route-failed' && /full/.test(message.reason)));
    const gone = [{ ...full, sockets: { ...full.sockets, path: '/nonexistent', descriptorPath: '/nonexistent.fd' } } as Toy, mail];
    let taken = 0;
    master.route(login, () => gone[taken++] ?? mail);
    const third = master.connect(port);
    third.send('LOGIN three\n');
    await third.expect(new RegExp(`welcome three to ${mail.pid}`));
  });

  it('goes on asking as long as processes say that they take nobody', async () => {
    const { port, login, mail } = await pair();
    const full = master.start({ role: 'mail', clientLimit: 1 });
    await full.ready();
    master.route(login, () => full);
    const first = master.connect(port);
    first.send('LOGIN one\n');
    await first.expect(new RegExp(`welcome one to ${full.pid}`));
    let used = 0;
    master.route(login, () => (used++ < 6 ? full : mail));
    const second = master.connect(port);
    second.send('LOGIN two\n');
    await second.expect(new RegExp(`welcome two to ${mail.pid}`));
  });

  it('gives up after three processes that are gone', async () => {
    const { port, login, mail } = await pair();
    const gone = { ...mail, pid: 1, sockets: { ...mail.sockets, path: '/nonexistent', descriptorPath: '/nonexistent.fd' } } as Toy;
    master.route(login, () => gone);
    const client = master.connect(port);
    client.send('LOGIN one\n');
    await client.expect(/refused failed: mail process 1/);
    assert.equal(login.messages.filter(({ kind }) => kind === 'route').length, 3);
  });

  it('refuses clearly when no process has room', async () => {
    const { port, login } = await pair();
    login.onRoute = ({ id }) => ({ kind: 'routed', id, outcome: 'full', reason: 'process_limit (1) reached' });
    const client = master.connect(port);
    client.send('LOGIN anna\n');
    await client.expect(/refused full: process_limit \(1\) reached\n/);
    await until(() => client.isClosed, 'close');
    await login.clients(0);
  });

  for (const isTls of [false, true]) {
    it(`refuses clearly when the mail process dies in the middle of it (${isTls ? 'TLS' : 'plain'})`, async () => {
      const { port, login, mail } = await pair({ isTls });
      mail.process.kill('SIGSTOP');
      const client = isTls ? tlsClient(port) : master.connect(port);
      await client.expect(/hello/);
      client.send('LOGIN anna\n');
      await until(() => login.messages.some(({ kind }) => kind === 'route'), 'route');
      await new Promise((resolve) => setTimeout(resolve, 50));
      mail.process.kill('SIGKILL');
      await client.expect(/refused failed: mail process \d+/);
      await login.clients(0);
    });
  }

  for (const version of ['TLSv1.3', undefined] as const)
    for (const isKnown of [false, true])
      it(`hands on what a process was offered that has come to its end (${version ?? 'plain'}, ${isKnown ? 'over a channel that there is' : 'which no channel leads to yet'})`, async () => {
        const { port, login, mail } = await pair({ isTls: version !== undefined });
        const next = master.start({ role: 'mail', clientLimit: 100 });
        await next.ready();
        const client = (): LineClient => (version === undefined ? master.connect(port) : tlsClient(port, version));
        if (isKnown) {
          const first = client();
          first.send('LOGIN first\n');
          await first.expect(/welcome/);
          first.send('quit\n');
          await Promise.all([mail.clients(0), login.clients(0)]);
        }
        mail.process.kill('SIGSTOP');
        const clients = Array.from({ length: 30 }, (_, n) => ({ n, client: client() }));
        for (const { n, client } of clients) client.send(`LOGIN user${n}\n`);
        await until(() => login.messages.filter(({ kind }) => kind === 'route').length >= clients.length, 'routes');
        await new Promise((resolve) => setTimeout(resolve, 50));
        mail.send({ kind: 'stop', clients: 'end', reason: 'test' });
        master.route(login, () => next);
        mail.process.kill('SIGCONT');
        for (const { n, client } of clients) {
          await client.expect(new RegExp(`welcome user${n} to (${next.pid}|${mail.pid})`));
        }
        await mail.exited();
      });

  it('ends the session of a client with TLS 1.2 when its login process dies', async () => {
    const { port, login, mail } = await pair({ isTls: true });
    const client = tlsClient(port);
    await client.expect(/hello/);
    client.send('LOGIN anna\n');
    await client.expect(/welcome/);
    login.process.kill('SIGKILL');
    await mail.clients(0);
  });

  for (const isTls of [false, true])
    it(`keeps the session of a ${isTls ? 'client with TLS 1.3' : 'plain client'} when its login process dies`, async () => {
      const { port, login, mail } = await pair({ isTls });
      const client = isTls ? tlsClient(port, 'TLSv1.3') : master.connect(port);
      await client.expect(/hello/);
      client.send('LOGIN anna\n');
      await client.expect(/welcome/);
      login.process.kill('SIGKILL');
      await login.exited();
      client.send('still here\n');
      await client.expect(new RegExp(`${mail.pid} still here`));
    });

  it('works for a login process under the permission model', async () => {
    const listener = master.listen();
    const mail = master.start({ role: 'mail' });
    const login = master.start({ nodeFlags: ['--experimental-permission', '--allow-addons', '--allow-fs-read=*'] }, [listener]);
    master.route(login, () => mail);
    await Promise.all([login.ready(), mail.ready()]);
    const client = master.connect(listener.port);
    client.send('LOGIN anna\n');
    await client.expect(/welcome anna/);
    await login.clients(0);
  });

  it('serves all TLS clients that come while the mail process is held up', async () => {
    const { port, mail } = await pair({ isTls: true });
    mail.process.kill('SIGSTOP');
    const clients = Array.from({ length: 100 }, (_, n) => ({ n, client: tlsClient(port) }));
    for (const { client } of clients) await client.expect(/hello/);
    for (const { n, client } of clients) client.send(`LOGIN user${n}\n`);
    await new Promise((resolve) => setTimeout(resolve, 200));
    mail.process.kill('SIGCONT');
    for (const { n, client } of clients) await client.expect(new RegExp(`welcome user${n} `));
  });

  it('answers a sender that speaks no hand-off, and goes on', async () => {
    const { mail } = await pair();
    const client = new LineClient(connect(mail.sockets?.path ?? ''));
    master.clients.push(client);
    client.socket.write(encodeFrame({ kind: 'relay', ticket: -1 }));
    await client.expect(/"refused"/);
    await until(() => client.isClosed, 'close');
    await until(() => /handoff.invalid/.test(mail.log), 'log line');
    assert.equal(mail.exitCode, undefined);
  });

  it('ends a session by its id', async () => {
    const { port, mail } = await pair();
    const client = master.connect(port);
    client.send('LOGIN anna\n');
    await client.expect(/welcome/);
    mail.send({ kind: 'kick', sessionIds: ['session-other', 'session-anna'] });
    await client.expect(/stop kicked|kicked/);
    await mail.clients(0);
  });

  it('ends a stopping mail process after its last client, and hands nothing to it', async () => {
    const { port, login, mail } = await pair();
    const client = master.connect(port);
    client.send('LOGIN anna\n');
    await client.expect(/welcome/);
    mail.send({ kind: 'stop', clients: 'finish', reason: 'test' });
    await until(() => mail.status?.isDraining === true, 'draining');
    const other = master.start({ role: 'mail' });
    await other.ready();
    const routes = [mail, other];
    let used = 0;
    master.route(login, () => routes[used++] ?? other);
    const late = master.connect(port);
    late.send('LOGIN late\n');
    await late.expect(new RegExp(`welcome late to ${other.pid}`));
    client.send('quit\n');
    await mail.exited();
    assert.equal(mail.exitCode, 0);
  });

  describe('back to where it came from', () => {
    async function loop(isTls: boolean) {
      const listener = master.listen();
      const mail = master.start({ role: 'mail' });
      const login = master.start({ settings: tlsSettings, listeners: [{ isTls }], takesBack: true }, [listener]);
      master.route(login, () => mail);
      master.route(mail, () => login);
      await Promise.all([login.ready(), mail.ready()]);
      return { login, mail, client: isTls ? tlsClient(listener.port) : master.connect(listener.port) };
    }

    for (const isTls of [false, true]) {
      it(`takes a connection ${isTls ? 'whose TLS it relays' : 'that it moved'}, with the peer of then and what was sent ahead`, async () => {
        const { client, login, mail } = await loop(isTls);
        const [, peer = ''] = await client.expect(/hello (.*)\n/);
        for (const user of ['anna', 'otto']) {
          client.send(`LOGIN ${user}\nback\nahead\n`);
          const [, back = ''] = await client.expect(new RegExp(`welcome ${user} .*\nhello (.*)\n${login.pid} ahead\n`));
          assert.equal(back, peer);
          await mail.clients(0);
          // The relay goes on, beside the client that has come back.
          await login.clients(isTls ? 2 : 1);
        }
        client.send('quit\n');
        await until(() => client.hasEnded, 'end');
        await login.clients(0);
      });

      it(`closes one that comes back with another peer${isTls ? ', through its relay' : ''}`, async () => {
        const { client, login, mail } = await loop(isTls);
        client.send('LOGIN anna\nforge\n');
        await client.expect(/welcome/);
        await until(() => client.isClosed, 'close');
        assert.doesNotMatch(client.received, /hello/);
        await Promise.all([login.clients(0), mail.clients(0)]);
        assert.match(login.log, /does not come from here/);
      });
    }
  });
});
