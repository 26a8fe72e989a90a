// Who is connected, over all processes of a real server: counted, shown, ended; after a crash of anvil and over reloads.
import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { askMaster } from '#ipc/master-client.js';
import { LineClient } from '../support/line-client.js';
import { patienceMs } from '../support/patience.js';
import { type RunningRoost, startRoost } from '../support/running-roost.js';
import { isAlive, until } from './master-world.js';

describe('Sessions over all processes', () => {
  let server: RunningRoost;
  const clients: LineClient[] = [];
  before(async () => {
    server = await startRoost({
      protocols: ['imap', 'pop3'],
      settings: { mail_max_userip_connections: '2', auth_cache_size: '1M', shutdown_clients: 'no', auth_failure_delay: '0' },
      pools: { imap: { client_limit: 1, process_limit: 4 }, 'imap-login': { process_min_avail: 2 } },
    });
  });
  after(async () => {
    for (const client of clients) client.close();
    await server.stop();
  });

  const pidOf = async (service: string): Promise<number> => {
    const reply = await askMaster(server.baseDir, { command: 'process-status', services: [service] }, { timeoutMs: patienceMs });
    const pid = reply.ok ? reply.processes?.find(({ phase }) => phase === 'ready')?.pid : undefined;
    assert.ok(pid, service);
    return pid;
  };
  const open = async (): Promise<LineClient> => {
    const client = new LineClient(connect(server.ports.imap, '127.0.0.1'), patienceMs);
    clients.push(client);
    await client.line();
    return client;
  };
  const login = async (user: string): Promise<LineClient> => {
    const client = await open();
    await client.ok(`LOGIN ${user} secret`);
    return client;
  };
  /** Users of `roostadm who`, each as often as it has sessions. */
  const who = async (): Promise<string[]> => {
    const { stdout } = await server.admin(['-f', 'json', 'who', '-1']);
    const rows: unknown = JSON.parse(stdout);
    assert.ok(Array.isArray(rows));
    return rows.map((row: { username?: string }) => row.username ?? '').sort();
  };
  const shows = async (users: readonly string[]): Promise<void> => {
    let shown: string[] = [];
    for (const endMs = Date.now() + patienceMs; JSON.stringify(shown) !== JSON.stringify(users); shown = await who())
      if (Date.now() > endMs) assert.deepEqual(shown, users);
  };

  it('are counted in different processes, and refused above the limit with user, address and limit in the log', async () => {
    await login('alice');
    await login('alice');
    await login('bob');
    await shows(['alice', 'alice', 'bob']);
    const refused = await open();
    assert.match((await refused.run('LOGIN alice secret')).at(-1) ?? '', /^NO \[(UNAVAILABLE|LIMIT)\] Maximum number of connections/);
    const line = await server.logged(/Maximum number of connections|mail_max_userip_connections/);
    for (const part of [/alice/, /127\.0\.0\.1/, /mail_max_userip_connections=2/]) assert.match(line, part);
  });

  it('are known again after anvil was killed, and limited as before', async () => {
    const pid = await pidOf('anvil');
    process.kill(pid, 'SIGKILL');
    await until(
      () => !isAlive(pid),
      () => 'end of anvil',
    );
    await server.logged(/service\(anvil\): child \d+ killed with signal 9/);
    await shows(['alice', 'alice', 'bob']);
    const refused = await open();
    assert.match((await refused.run('LOGIN alice secret')).at(-1) ?? '', /^NO \[(UNAVAILABLE|LIMIT)\] Maximum number/);
  });

  it('are known over a reload, with penalties; anvil and auth stay the processes they are, and the auth cache is emptied', async () => {
    const wrong = await open();
    await wrong.run('LOGIN bob wrong');
    const penalties = async (): Promise<string> => (await server.admin(['-f', 'tab', 'penalty'])).stdout;
    for (const endMs = Date.now() + patienceMs; !/127\.0\.0\.1/.test(await penalties()); ) assert.ok(Date.now() < endMs, await penalties());
    const [anvil, auth] = [await pidOf('anvil'), await pidOf('auth')];
    appendFileSync(server.configFile, 'login_greeting = Other greeting\n');
    assert.equal((await server.admin(['reload'])).code, 0);
    assert.deepEqual([await pidOf('anvil'), await pidOf('auth')], [anvil, auth]);
    assert.match(await penalties(), /127\.0\.0\.1/);
    await server.logged(/auth: Info: SIGHUP received, \d+ cache entries flushed/);
    await shows(['alice', 'alice', 'bob']);
  });

  it('are ended by kick, wherever they are', async () => {
    const { code } = await server.admin(['kick', 'alice']);
    assert.equal(code, 0);
    await shows(['bob']);
    await login('alice');
    await shows(['alice', 'bob']);
  });
});
