// What a service block says, seen from outside: ids in /proc, files of sockets, addresses, and processes that have served as many as they may.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { askMaster, type ProcessStatusRow } from '#ipc/master-client.js';
import { makeSelfSigned } from '#services/master/dev/self-signed.js';
import { freePort } from '../support/free-port.js';
import { LineClient } from '../support/line-client.js';
import { type RunningRoost, startRoost } from '../support/running-roost.js';

const waitMs = 20_000;
const isRoot = process.getuid?.() === 0;

async function processesOf(server: RunningRoost, service: string): Promise<readonly ProcessStatusRow[]> {
  const reply = await askMaster(server.baseDir, { command: 'process-status', services: [service] }, { timeoutMs: 10_000 });
  assert.ok(reply.ok);
  return reply.processes ?? [];
}

/** Until they are as a test wants them: the master hears of clients a little later than they do of their server. */
async function untilProcesses(
  server: RunningRoost,
  service: string,
  isWanted: (rows: readonly ProcessStatusRow[]) => boolean,
): Promise<readonly ProcessStatusRow[]> {
  for (const endMs = Date.now() + waitMs; ; await new Promise((resolve) => setTimeout(resolve, 20))) {
    const rows = await processesOf(server, service);
    if (isWanted(rows)) return rows;
    assert.ok(Date.now() < endMs, JSON.stringify(rows));
  }
}

async function greeted(port: number, address = '127.0.0.1'): Promise<LineClient> {
  const client = new LineClient(connect(port, address), waitMs);
  assert.match((await client.line()) ?? 'closed without a word', /^\* OK /);
  return client;
}

function isRefused(port: number, address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, address);
    socket.once('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.once('error', () => resolve(true));
  });
}

/** Number of the line `name:x:NUMBER:...` in a file of the system. */
function idOf(path: string, name: string): number {
  const [, id] = new RegExp(`^${name}:[^:]*:(\\d+):`, 'm').exec(readFileSync(path, 'utf8')) ?? [];
  assert.ok(id !== undefined, `${path} has no ${name}`);
  return Number(id);
}

describe('A service block', () => {
  it('gives a process user, group and extra_groups', { skip: isRoot ? false : 'only root can change users' }, async () => {
    await using server = await startRoost({
      protocols: ['imap'],
      pools: { anvil: { user: 'daemon', group: 'mail', extra_groups: 'games bin' } },
    });
    (await greeted(server.ports.imap)).close();
    const [anvil] = await untilProcesses(server, 'anvil', ([first]) => first?.phase === 'ready');
    assert.ok(anvil);
    const status = readFileSync(`/proc/${anvil.pid}/status`, 'utf8');
    const numbers = (field: string): readonly number[] =>
      (new RegExp(`^${field}:(.*)$`, 'm').exec(status)?.[1] ?? '')
        .split(/\s+/)
        .filter((word) => word !== '')
        .map(Number);
    assert.deepEqual(numbers('Uid'), Array(4).fill(idOf('/etc/passwd', 'daemon')));
    assert.deepEqual(numbers('Gid'), Array(4).fill(idOf('/etc/group', 'mail')));
    assert.deepEqual(
      numbers('Groups')
        .filter((gid) => gid !== idOf('/etc/group', 'mail'))
        .sort((one, other) => one - other),
      [idOf('/etc/group', 'games'), idOf('/etc/group', 'bin')].sort((one, other) => one - other),
    );
  });

  it('gives the file of a unix_listener mode, user and group; mode 0 makes none', async () => {
    const owner = isRoot ? '    user = daemon\n    group = mail\n' : '';
    await using server = await startRoost({
      protocols: ['imap'],
      extra: `service auth {
  unix_listener for-others {
    mode = 0640
${owner}  }
  unix_listener auth-client {
    mode = 0
  }
}
`,
    });
    const { mode, uid, gid } = statSync(join(server.baseDir, 'for-others'));
    assert.equal((mode & 0o7777).toString(8), '640');
    if (isRoot) assert.deepEqual([uid, gid], [idOf('/etc/passwd', 'daemon'), idOf('/etc/group', 'mail')]);
    assert.equal(existsSync(join(server.baseDir, 'auth-client')), false);
  });

  it('opens an inet_listener at its own addresses, others at all of listen', async () => {
    const own = freePort();
    await using server = await startRoost({
      protocols: ['imap'],
      settings: { listen: '127.0.0.1, 127.0.0.3' },
      extra: `service imap-login {\n  inet_listener own {\n    address = 127.0.0.2\n    port = ${own}\n  }\n}\n`,
    });
    for (const [port, address] of [
      [server.ports.imap, '127.0.0.1'],
      [server.ports.imap, '127.0.0.3'],
      [own, '127.0.0.2'],
    ] as const)
      (await greeted(port, address)).close();
    assert.ok(await isRefused(server.ports.imap, '127.0.0.2'));
    assert.ok(await isRefused(own, '127.0.0.1'));
  });

  it('lets a process that has reached service_count go on beside another one, although process_limit is 1', async () => {
    await using server = await startRoost({
      protocols: ['imap'],
      pools: { 'imap-login': { service_count: 2, client_limit: 2, process_limit: 1 } },
    });
    const first = await greeted(server.ports.imap);
    const second = await greeted(server.ports.imap);
    const isFull = ({ phase }: ProcessStatusRow): boolean => phase === 'draining';
    const full = (await untilProcesses(server, 'imap-login', (rows) => rows.some(isFull))).find(isFull);
    const third = await greeted(server.ports.imap);
    const clientsOf = (rows: readonly ProcessStatusRow[]): string =>
      rows
        .map(({ pid, clients }) => `${pid === full?.pid ? 'full' : 'other'} ${clients}`)
        .sort()
        .join();
    await untilProcesses(server, 'imap-login', (rows) => clientsOf(rows) === 'full 2,other 1');
    for (const client of [first, second, third]) await client.ok('NOOP');
    for (const client of [first, second, third]) client.close();
  });
});

describe('A certificate that has been replaced', () => {
  const secured = async (server: RunningRoost): Promise<{ readonly client: LineClient; readonly shown: string }> => {
    const stream: TLSSocket = connectTls({ port: server.ports.imaps, host: '127.0.0.1', rejectUnauthorized: false });
    const client = new LineClient(stream, waitMs);
    assert.match((await client.line()) ?? 'closed without a word', /^\* OK /);
    return { client, shown: stream.getPeerCertificate().fingerprint256 };
  };

  it('is shown after a reload, and no client is refused while it is taken', async () => {
    await using server = await startRoost({
      protocols: ['imap'],
      settings: { shutdown_clients: 'no' },
      pools: { 'imap-login': { process_min_avail: 1, service_count: 0 } },
    });
    const before = await secured(server);
    await before.client.ok('LOGIN alice secret');
    const { certificate, key } = makeSelfSigned(['localhost'], 10, new Date());
    writeFileSync(join(server.folder, 'cert.pem'), certificate);
    writeFileSync(join(server.folder, 'key.pem'), key);
    let isReloaded = false;
    const shown = new Set<string>();
    const asking = (async () => {
      for (let isLast = false; !isLast; ) {
        isLast = isReloaded;
        const { client, shown: own } = await secured(server);
        shown.add(own);
        await client.ok('LOGOUT');
      }
    })();
    const reload = await server.admin(['reload']);
    assert.equal(reload.code, 0, reload.stderr);
    isReloaded = true;
    await asking;
    const after = await secured(server);
    assert.notEqual(after.shown, before.shown);
    assert.deepEqual(
      [...shown].filter((own) => own !== before.shown && own !== after.shown),
      [],
    );
    await after.client.ok('LOGIN alice secret');
    // The old session goes on.
    await before.client.ok('NOOP');
    for (const { client } of [before, after]) client.close();
  });
});
