// Sessions with TLS: the real server from outside. TLS 1.3 goes on in the mail process; an older version ends in a login process, which relays all such
// sessions to a mail process over one connection.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { after, afterEach, before, describe, it } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { askMaster, type ProcessStatusRow } from '#ipc/master-client.js';
import { LineClient } from '../support/line-client.js';
import { patienceMs } from '../support/patience.js';
import { type RunningRoost, startRoost } from '../support/running-roost.js';

const pools = {
  'imap-login': { service_count: 0, process_limit: 1, client_limit: 100 },
  imap: { process_limit: 1, client_limit: 100 },
  'pop3-login': { service_count: 0, process_limit: 1, client_limit: 100 },
};

async function until<Value>(look: () => Promise<Value | undefined> | Value | undefined, what: string): Promise<Value> {
  for (const deadline = Date.now() + patienceMs; Date.now() < deadline; ) {
    const value = await look();
    if (value !== undefined && value !== false) return value;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail(`${what}: not within ${patienceMs} ms`);
}

async function processes(roost: RunningRoost, service: string): Promise<readonly ProcessStatusRow[]> {
  const reply = await askMaster(roost.baseDir, { command: 'process-status', services: [service] }, { timeoutMs: patienceMs });
  return reply.ok ? (reply.processes ?? []) : [];
}

async function clientsOf(roost: RunningRoost, service: string): Promise<number> {
  return (await processes(roost, service)).reduce((sum, { clients }) => sum + clients, 0);
}

async function onlyPid(roost: RunningRoost, service: string): Promise<number> {
  return await until(
    async () => (await processes(roost, service)).find(({ clients }) => clients > 0)?.pid,
    `a ${service} process with clients`,
  );
}

function residentMb(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) / 1024;
}

const versions = [
  { version: 'TLSv1.2', isRelayed: true },
  { version: 'TLSv1.3', isRelayed: false },
] as const;

for (const { version, isRelayed } of versions)
  describe(`A session with ${version}`, () => {
    const tlsOptions = { host: '127.0.0.1', rejectUnauthorized: false, maxVersion: version } as const;
    let roost: RunningRoost;
    const clients: LineClient[] = [];

    before(async () => {
      const users = { alice: 'secret', bob: 'secret', carol: 'secret' };
      roost = await startRoost({ users, protocols: ['imap', 'pop3'], pools, settings: { mail_max_userip_connections: '0' } });
    });
    after(() => roost[Symbol.asyncDispose]());
    afterEach(async () => {
      for (const client of clients.splice(0)) client.close();
      await until(async () => (await clientsOf(roost, 'imap')) + (await clientsOf(roost, 'imap-login')) === 0, 'no clients');
    });

    async function logIn(user = 'alice', server = roost): Promise<LineClient & { readonly stream: TLSSocket }> {
      const stream = connectTls({ port: server.ports.imaps, ...tlsOptions });
      const client = Object.assign(new LineClient(stream, 20_000), { stream });
      clients.push(client);
      await client.line();
      await client.ok(`LOGIN ${user} secret`);
      return client;
    }

    const largeText = `Subject: large\r\n\r\n${'0123456789 abcdefghijklmnopqrstuvwxyz\r\n'.repeat(80_000)}`;

    async function appendLarge(client: LineClient): Promise<void> {
      client.raw(`x APPEND INBOX {${largeText.length}+}\r\n`);
      client.raw(largeText);
      client.raw('\r\n');
      assert.match((await client.line()) ?? '', /^x OK/);
    }

    it('passes large literals both ways as they are', async () => {
      const client = await logIn();
      await appendLarge(client);
      await client.ok('SELECT INBOX');
      const [fetched = ''] = await client.ok('FETCH 1 BODY.PEEK[]');
      assert.equal(fetched, `* 1 FETCH (BODY[] {${largeText.length}}\r\n${largeText})`);
      await client.ok('STORE 1 +FLAGS.SILENT (\\Deleted)');
      await client.ok('CLOSE');
    });

    it('is compressed and decompressed on its way', async () => {
      const client = await logIn();
      await client.ok('COMPRESS DEFLATE');
      client.compress();
      await appendLarge(client);
      await client.ok('SELECT INBOX');
      const [fetched = ''] = await client.ok('FETCH 1 BODY.PEEK[]');
      assert.equal(fetched.length, `* 1 FETCH (BODY[] {${largeText.length}}\r\n${largeText})`.length);
      await client.ok('STORE 1 +FLAGS.SILENT (\\Deleted)');
      await client.ok('CLOSE');
      await client.ok('LOGOUT');
    });

    it('is served while another one does not read what it has asked for, which fills no memory', async () => {
      const [slow, quick] = [await logIn('carol'), await logIn('bob')];
      await appendLarge(slow);
      await slow.ok('SELECT INBOX');
      const pids = await Promise.all((isRelayed ? ['imap', 'imap-login'] : ['imap']).map((service) => onlyPid(roost, service)));
      const memory = (): number => pids.reduce((sum, pid) => sum + residentMb(pid), 0);
      const before = memory();
      slow.stream.pause();
      slow.stream.removeAllListeners('data');
      const count = 20;
      for (let n = 0; n < count; n += 1) slow.send('FETCH 1 BODY.PEEK[]');
      for (let n = 0; n < 50; n += 1) await quick.ok('NOOP');
      const grownMb = memory() - before;
      assert.ok(grownMb < 40, `${grownMb} MB more for 60 MB that nobody reads`);
      let received = 0;
      slow.stream.on('data', (chunk: Buffer) => {
        received += chunk.length;
      });
      slow.stream.resume();
      const least = count * largeText.length;
      await until(() => received > least, `${least} octets`);
    });

    it('gets all replies to what was sent before its client closed its side', async () => {
      const client = await logIn();
      client.raw('a NOOP\r\nb CAPABILITY\r\nc LOGOUT\r\n');
      client.stream.end();
      const lines: string[] = [];
      for (let line = await client.line(); line !== undefined; line = await client.line()) lines.push(line);
      assert.deepEqual(
        lines.filter((line) => /^[abc] /.test(line)).map((line) => line.slice(0, 4)),
        ['a OK', 'b OK', 'c OK'],
      );
    });

    it('ends when its client goes without a word', async () => {
      const client = await logIn();
      await clientsOf(roost, 'imap');
      client.stream.destroy();
      await until(async () => (await clientsOf(roost, 'imap')) === 0, 'end of the session');
    });

    it('is ended by roostadm kick', async () => {
      const [alice, bob] = [await logIn(), await logIn('bob')];
      assert.equal((await roost.admin(['kick', 'alice'])).code, 0);
      assert.match((await alice.line()) ?? '', /^\* BYE/);
      assert.equal(await alice.line(), undefined);
      await bob.ok('NOOP');
    });

    it(isRelayed ? 'keeps its login process' : 'leaves its login process', async () => {
      const client = await logIn();
      await client.ok('NOOP');
      await until(async () => (await clientsOf(roost, 'imap-login')) === (isRelayed ? 1 : 0), 'clients of imap-login');
      await until(async () => (await clientsOf(roost, 'imap')) === 1, 'a client of imap');
    });

    it('is one of many that come and go at once', async () => {
      await Promise.all(
        Array.from({ length: 30 }, async (_, n) => {
          const client = await logIn(n % 2 === 0 ? 'alice' : 'bob');
          await client.ok('SELECT INBOX');
          if (n % 3 === 0) client.stream.destroy();
          else if (n % 3 === 1) await client.ok('LOGOUT');
          else await client.ok('NOOP');
        }),
      );
    });

    it('over STARTTLS is as one over imaps', async () => {
      const socket = connectTcp(roost.ports.imap, '127.0.0.1');
      const plain = new LineClient(socket);
      await plain.line();
      await plain.ok('STARTTLS');
      socket.removeAllListeners('data');
      const client = new LineClient(connectTls({ socket, ...tlsOptions }));
      clients.push(client);
      await client.ok('LOGIN alice secret');
      await client.ok('NOOP');
    });

    it('speaks POP3 too', async () => {
      const imap = await logIn();
      await appendLarge(imap);
      const stream = connectTls({ port: roost.ports.pop3s, ...tlsOptions });
      let received = '';
      stream.setEncoding('latin1').on('data', (text: string) => (received += text));
      stream.write('USER alice\r\nPASS secret\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n');
      await once(stream, 'end');
      assert.ok(received.includes(`${largeText.replace(/\r\n\./g, '\r\n..')}.\r\n`), `${received.length} octets`);
      assert.match(received.slice(-200), /\+OK[^\r]*\r\n$/);
      stream.destroy();
    });

    describe('and whose processes die or are replaced', () => {
      for (const service of isRelayed ? ['imap', 'imap-login'] : ['imap']) {
        it(`ends when ${service} is killed, and the next one is served`, async () => {
          const sessions = await Promise.all([logIn(), logIn('bob')]);
          const pid = await onlyPid(roost, service);
          process.kill(pid, 'SIGKILL');
          for (const client of sessions) assert.equal(await client.line(), undefined);
          await until(async () => (await clientsOf(roost, 'imap')) + (await clientsOf(roost, 'imap-login')) === 0, 'no clients');
          const next = await logIn();
          await next.ok('NOOP');
        });
      }

      it('goes on when the login process of TLS 1.3 is killed', { skip: isRelayed && 'relayed by that process' }, async () => {
        const sessions = await Promise.all([logIn(), logIn('bob')]);
        const [login] = await processes(roost, 'imap-login');
        assert.ok(login);
        process.kill(login.pid, 'SIGKILL');
        for (const client of sessions) await client.ok('NOOP');
        await until(async () => (await processes(roost, 'imap-login')).some(({ pid }) => pid !== login.pid), 'another imap-login');
        for (const client of sessions) await client.ok('SELECT INBOX');
      });

      for (const [shutdown, what] of [
        ['no', 'goes on over a reload with shutdown_clients = no'],
        ['yes', 'is told goodbye at a reload with shutdown_clients = yes'],
      ] as const) {
        it(what, async () => {
          await using other = await startRoost({ protocols: ['imap'], pools, settings: { shutdown_clients: shutdown } });
          const client = await logIn('alice', other);
          const idle = client.send('IDLE');
          assert.equal(await client.line(), '+ idling');
          const reload = await other.admin(['reload']);
          assert.equal(reload.code, 0, reload.stderr);
          if (shutdown === 'yes') {
            assert.match((await client.line()) ?? '', new RegExp(`^${idle} OK`));
            assert.match((await client.line()) ?? '', /^\* BYE \[UNAVAILABLE\] Server shutting down/);
            assert.equal(await client.line(), undefined);
            return;
          }
          client.raw('DONE\r\n');
          assert.match((await client.line()) ?? '', new RegExp(`^${idle} OK`));
          const next = await logIn('alice', other);
          await next.ok('NOOP');
          await client.ok('LOGOUT');
          next.close();
        });
      }

      it('is told goodbye at the end of the server', async () => {
        const other = await startRoost({ protocols: ['imap'], pools });
        const client = await logIn('alice', other);
        assert.equal(await other.stop(), 0);
        assert.match((await client.line()) ?? '', /^\* BYE/);
        assert.equal(await client.line(), undefined);
      });
    });
  });
