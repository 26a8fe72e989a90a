// Settings of services and of the server as a whole, seen from outside: connections and /proc.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { ListeningSockets } from '#ipc/listening-socket.js';
import { askMaster, type ProcessStatusRow } from '#ipc/master-client.js';
import { freePort } from '../support/free-port.js';
import { LineClient } from '../support/line-client.js';
import { patienceMs } from '../support/patience.js';
import { type RunningRoost, startRoost } from '../support/running-roost.js';
import { isAlive, until } from './master-world.js';

export async function processesOf(server: RunningRoost, ...services: string[]): Promise<readonly ProcessStatusRow[]> {
  const reply = await askMaster(server.baseDir, { command: 'process-status', services }, { timeoutMs: patienceMs });
  assert.ok(reply.ok);
  return reply.processes ?? [];
}

/** A file of /proc with blanks for NUL; '' when the process has gone. */
function proc(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'latin1').replaceAll('\0', ' ').trim();
  } catch {
    return '';
  }
}

async function untilAsync(condition: () => Promise<boolean>, what: string): Promise<void> {
  for (const endMs = Date.now() + patienceMs; !(await condition()); await new Promise((resolve) => setTimeout(resolve, 20)))
    if (Date.now() > endMs) throw new Error(`not in ${patienceMs} ms: ${what}`);
}

function open(port: number): LineClient {
  return new LineClient(connect(port, '127.0.0.1'), patienceMs);
}

async function login(server: RunningRoost, user: string): Promise<LineClient> {
  const client = open(server.ports.imap);
  assert.match((await client.line()) ?? '', /^\* OK /);
  await client.ok(`LOGIN ${user} secret`);
  return client;
}

describe('listen_backlog', () => {
  it('bounds how many connections the kernel holds for a service that does not accept', async () => {
    await using server = await startRoost({
      protocols: ['imap'],
      pools: { 'imap-login': { listen_backlog: 4, process_limit: 1, process_min_avail: 1, service_count: 0 } },
    });
    const [loginProcess] = await processesOf(server, 'imap-login');
    assert.ok(loginProcess);
    // It listens by now, and has left the backlog as it is.
    const first = open(server.ports.imap);
    assert.match((await first.line()) ?? 'closed', /^\* OK /);
    first.close();
    const clients: LineClient[] = [];
    let connected = 0;
    process.kill(loginProcess.pid, 'SIGSTOP');
    try {
      for (let count = 0; count < 12; count += 1) {
        const client = open(server.ports.imap);
        clients.push(client);
        client.stream.once('connect', () => (connected += 1));
      }
      // Linux takes one more than the backlog. The others try again after a second.
      await until(
        () => connected >= 5,
        () => `${connected} are connected`,
      );
      await new Promise((resolve) => setTimeout(resolve, 300));
      assert.equal(connected, 5);
    } finally {
      process.kill(loginProcess.pid, 'SIGCONT');
    }
    // What the kernel has refused it may take for connected on the client's side only, until the client says something.
    const held = clients.slice(0, 5);
    for (const client of held) assert.match((await client.line()) ?? 'closed', /^\* OK /);
    for (const client of clients) client.close();
  });
});

describe('Settings of processes', () => {
  let server: RunningRoost;
  before(async () => {
    server = await startRoost({
      protocols: ['imap', 'pop3'],
      environment: { TZ: 'Europe/Berlin', SECRET: 'not for children' },
      settings: {
        verbose_proctitle: 'yes',
        instance_name: 'nest',
        import_environment: 'TZ COLOUR=blue',
        default_idle_kill: '300 ms',
        haproxy_trusted_networks: '127.0.0.0/8',
        haproxy_timeout: '500 ms',
        tcp_keepalive: '77 s',
      },
      pools: {
        'imap-login': { service_count: 0, process_min_avail: 1 },
        imap: { thread_pool_size: 7 },
        'pop3-login': { service_count: 1, process_min_avail: 2, process_limit: 5 },
      },
      extra: `service imap-login {
  inet_listener proxied {
    port = ${freePort()}
    haproxy = yes
    reuse_port = yes
  }
}
`,
    });
  });
  after(() => server.stop());

  it('show user, address and state in process titles with verbose_proctitle', async () => {
    const greeted = open(server.ports.imap);
    await greeted.line();
    const [loginProcess] = await processesOf(server, 'imap-login');
    assert.ok(loginProcess);
    await until(
      () => /^nest\/imap-login \[127\.0\.0\.1 pre-login\]/.test(proc(loginProcess.pid, 'cmdline')),
      () => proc(loginProcess.pid, 'cmdline'),
    );
    greeted.close();
    const client = await login(server, 'alice');
    const [mail] = await processesOf(server, 'imap');
    assert.ok(mail);
    await client.ok('SELECT INBOX');
    client.send('IDLE');
    await until(
      () => /^nest\/imap \[alice 127\.0\.0\.1 IDLE\]/.test(proc(mail.pid, 'cmdline')),
      () => proc(mail.pid, 'cmdline'),
    );
    const other = await login(server, 'bob');
    const titles = async (): Promise<string> => (await processesOf(server, 'imap')).map(({ pid }) => proc(pid, 'cmdline')).join('\n');
    await untilAsync(async () => /^nest\/imap \[2 connections\]/m.test(await titles()), await titles());
    other.close();
    await untilAsync(async () => /^nest\/imap \[alice 127\.0\.0\.1 IDLE\]/m.test(await titles()), await titles());
    assert.match(proc(server.pid, 'cmdline'), /^nest/);
    client.close();
  });

  it('give processes what import_environment names, and nothing else', async () => {
    for (const { pid, service } of await processesOf(server)) {
      const environment = proc(pid, 'environ');
      assert.match(environment, /TZ=Europe\/Berlin/, service);
      assert.match(environment, /COLOUR=blue/, service);
      assert.doesNotMatch(environment, /SECRET|not for children|PATH=/, service);
    }
  });

  it('set the thread pool by thread_pool_size', async () => {
    const client = await login(server, 'alice');
    const [mail] = await processesOf(server, 'imap');
    assert.ok(mail);
    assert.match(proc(mail.pid, 'environ'), /UV_THREADPOOL_SIZE=7/);
    await client.ok('SELECT INBOX');
    const threads = readdirSync(`/proc/${mail.pid}/task`).length;
    assert.ok(threads >= 7, `${threads} threads`);
    client.close();
  });

  it('end idle processes above process_min_avail after idle_kill, by its low-water mark', async () => {
    const client = await login(server, 'alice');
    const [mail] = await processesOf(server, 'imap');
    assert.ok(mail);
    client.close();
    await until(
      () => !isAlive(mail.pid),
      () => 'end of the idle imap process',
    );
    assert.equal((await processesOf(server, 'imap-login')).length, 1, 'process_min_avail stays');
  });

  it('end a process of service_count = 1 with its client, and start the next one before it is needed', async () => {
    const [first, second] = await processesOf(server, 'pop3-login');
    assert.ok(first && second);
    const client = open(server.ports.pop3);
    await client.line();
    await untilAsync(async () => (await processesOf(server, 'pop3-login')).length === 3, 'a third process');
    client.close();
    await until(
      () => [first, second].some(({ pid }) => !isAlive(pid)),
      () => 'end of the process that served',
    );
    await untilAsync(async () => (await processesOf(server, 'pop3-login')).length === 2, 'two processes');
  });

  it('want a PROXY header from trusted proxies on haproxy listeners, and log the address in it', async () => {
    const port = proxiedPort(server);
    const client = open(port);
    client.raw('PROXY TCP4 203.0.113.9 192.0.2.1 4711 143\r\n');
    assert.match((await client.line()) ?? '', /^\* OK /);
    // 203.0.113.9 is not this machine, so plaintext is not allowed: the header was believed.
    assert.match((await client.run('LOGIN alice secret')).at(-1) ?? '', /^NO \[PRIVACYREQUIRED\]/);
    client.close();
    const silent = open(port);
    assert.equal(await silent.line(), undefined);
    await server.logged(/haproxy: Client timed out \(ip=127\.0\.0\.1\)/);
    const wrong = open(port);
    wrong.raw('a1 NOOP\r\n');
    assert.equal(await wrong.line(), undefined);
    await server.logged(/haproxy: Client sent a bad header/);
  });

  it('let another socket on the same port with reuse_port, and only with it', () => {
    const sockets = new ListeningSockets();
    sockets.close(sockets.listenInet('127.0.0.1', proxiedPort(server), { backlog: 1, isReusePort: true }));
    assert.throws(() => sockets.listenInet('127.0.0.1', server.ports.imap, { backlog: 1, isReusePort: true }));
  });

  it('probe silent clients by tcp_keepalive', async () => {
    const client = await login(server, 'alice');
    const port = 'localPort' in client.stream ? Number(client.stream.localPort) : 0;
    const address = (number: number): string => `0100007F:${number.toString(16).toUpperCase().padStart(4, '0')}`;
    // Both ends: an older connection of the same port to another server may not be forgotten yet.
    const ends = `${address(server.ports.imap)} ${address(port)}`;
    const read = (): string =>
      readFileSync('/proc/net/tcp', 'latin1')
        .split('\n')
        .find((text) => text.includes(ends)) ?? '';
    // tr:tm->when: timer 2 is keep-alive (1 while an acknowledgement is awaited), its time in hundredths of a second.
    await until(() => / 02:[0-9A-F]{8} /.test(read()), read);
    const [, when] = / 02:([0-9A-F]{8}) /.exec(read()) ?? [];
    const seconds = Number.parseInt(when ?? '', 16) / 100;
    assert.ok(seconds > 40 && seconds <= 78, `${seconds} s`);
    client.close();
  });

  it('say once what takes the place of chroot', () => {
    const lines = server.log.split('\n').filter((line) => line.includes('chroot'));
    assert.equal(lines.length, 1, server.log);
    assert.match(lines[0] ?? '', /Info: service\(imap-login, pop3-login\): chroot: .*permission model/);
  });
});

function proxiedPort(server: RunningRoost): number {
  return Number(/inet_listener proxied \{\s+port = (\d+)/.exec(readFileSync(server.configFile, 'utf8'))?.[1]);
}

describe('vsz_limit of a mail service', () => {
  it('lets a process above it finish its clients, and names itself in the log', async () => {
    await using server = await startRoost({ protocols: ['imap'], pools: { imap: { vsz_limit: '48 M', process_limit: 4 } } });
    const client = await login(server, 'alice');
    const [mail] = await processesOf(server, 'imap');
    assert.ok(mail);
    await server.logged(
      /service\(imap\): child \d+ uses \d+ MB \(service imap \{ vsz_limit=48 MB \}.* finishes its clients and is replaced/,
    );
    assert.match((await client.run('NOOP')).at(-1) ?? '', /^OK /);
    const next = await login(server, 'alice');
    const row = (await processesOf(server, 'imap')).find(({ pid }) => pid === mail.pid);
    assert.equal(row?.clients, 1);
    client.close();
    await until(
      () => !isAlive(mail.pid),
      () => 'end of the process',
    );
    next.close();
  });

  it('kills a runaway', async () => {
    await using server = await startRoost({ protocols: ['imap'], pools: { imap: { vsz_limit: '24 M' } } });
    const client = await login(server, 'alice');
    await server.logged(
      /service\(imap\): child \d+ uses \d+ MB \(service imap \{ vsz_limit=24 MB \}, you may need to increase it\) - killed/,
    );
    assert.equal(await client.line(), undefined);
  });
});

describe('What Roost cannot do', () => {
  for (const [what, extra, expected] of [
    ['a fifo', 'service imap {\n  fifo_listener pipe {\n    mode = 0600\n  }\n}\n', /service\(imap\): fifo_listener is not supported/],
    ['a script', 'service imap {\n  executable = script-login /bin/true\n}\n', /service\(imap\): scripts are not supported yet/],
    ['an unknown program', 'service other {\n  executable = imapp\n}\n', /service\(other\): unknown executable: imapp.*imap/s],
  ] as const) {
    it(`is refused at the start, with file and line: ${what}`, async () => {
      await assert.rejects(startRoost({ protocols: ['imap'], extra }), (error: Error) => {
        assert.match(error.message, /exit code 89/);
        assert.match(error.message, /roost\.conf[: ].*\d+/);
        assert.match(error.message, expected);
        return true;
      });
    });
  }
});
