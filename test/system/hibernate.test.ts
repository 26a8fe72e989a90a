// Sessions that wait in IDLE move to the imap-hibernate process and come back: the real server, its processes looked at from outside.
import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { askMaster, type ProcessStatusRow } from '#ipc/master-client.js';
import { append, IdleClients, idle, news } from '../support/idle-clients.js';
import type { LineClient } from '../support/line-client.js';
import { patienceMs } from '../support/patience.js';
import { type RunningRoost, startRoost } from '../support/running-roost.js';

const settings = { imap_hibernate_timeout: '300 ms', imap_idle_notify_interval: '1 s', log_debug: 'category=*' };

async function until<Value>(look: () => Promise<Value | undefined> | Value | undefined, what: string): Promise<Value> {
  for (const deadline = Date.now() + patienceMs; Date.now() < deadline; ) {
    const value = await look();
    if (value !== undefined && value !== false) return value;
    await new Promise((resolve) => setTimeout(resolve, 20));
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

function hibernated(roost: RunningRoost, count: number): Promise<unknown> {
  return until(
    async () => (await clientsOf(roost, 'imap-hibernate')) === count && (await clientsOf(roost, 'imap')) === 0,
    `${count} hibernated sessions`,
  );
}

const clients = new IdleClients();

/** Sessions wait for a process of the service. */
function waiting(roost: RunningRoost, service: string, count = 1): Promise<unknown> {
  return until(async () => {
    const reply = await askMaster(roost.baseDir, { command: 'service-status' }, { timeoutMs: patienceMs });
    return reply.ok && reply.services?.some((row) => row.name === service && row.waiting === count);
  }, `${count} waiting for ${service}`);
}

describe('A session in IDLE', () => {
  let roost: RunningRoost;
  before(async () => {
    roost = await startRoost({ protocols: ['imap'], settings });
  });
  after(() => roost[Symbol.asyncDispose]());
  afterEach(async () => {
    clients.closeAll();
    await until(async () => (await clientsOf(roost, 'imap')) + (await clientsOf(roost, 'imap-hibernate')) === 0, 'no clients');
  });

  for (const isTls of [false, true]) {
    it(`moves to imap-hibernate${isTls ? ' (TLS)' : ''} and is answered when it says DONE`, async () => {
      const client = await clients.logIn(roost, { isTls });
      await client.ok('SELECT INBOX');
      const tag = await idle(client);
      await hibernated(roost, 1);
      client.raw('DONE\r\n');
      assert.match((await news(client)) ?? '', new RegExp(`^${tag} OK Idle completed`));
      await client.ok('NOOP');
      await until(async () => (await clientsOf(roost, 'imap-hibernate')) === 0, 'the way back');
    });
  }

  it('is told what happens while it is away: EXPUNGE, EXISTS and FETCH by the numbers it knows', async () => {
    const writer = await clients.logIn(roost);
    for (const flags of ['', '(\\Deleted) ', '']) await append(writer, { flags });
    const client = await clients.logIn(roost);
    const selected = (await client.ok('SELECT INBOX')).join('\n');
    assert.match(selected, /\* 3 EXISTS/);
    writer.send('LOGOUT');
    const tag = await idle(client);
    await hibernated(roost, 1);
    const other = await clients.logIn(roost);
    await other.ok('SELECT INBOX');
    other.raw('y STORE 3 +FLAGS (\\Flagged)\r\nz EXPUNGE\r\n');
    assert.equal(await news(client), '* 2 EXPUNGE');
    assert.match((await news(client)) ?? '', /^\* 2 FETCH \(FLAGS \(.*\\Flagged/);
    await append(other);
    assert.equal(await news(client), '* 3 EXISTS');
    other.close();
    await hibernated(roost, 1);
    client.raw('DONE\r\n');
    assert.match((await news(client)) ?? '', new RegExp(`^${tag} OK`));
    assert.match((await client.ok('FETCH 1:* (FLAGS)')).join('\n'), /^\* 1 .*\n\* 2 .*Flagged.*\n\* 3 /);
    client.close();
  });

  it('is told of a file that another program delivers, and of a flag it sets', async () => {
    const client = await clients.logIn(roost);
    const exists = Number(/\* (\d+) EXISTS/.exec((await client.ok('SELECT INBOX')).join('\n'))?.[1]);
    await idle(client);
    await hibernated(roost, 1);
    const maildir = roost.maildir('alice');
    writeFileSync(join(maildir, 'new', '1700000000.foreign.host'), 'Subject: x\r\n\r\ny\r\n', { mode: 0o666 });
    assert.equal(await news(client), `* ${exists + 1} EXISTS`);
    await hibernated(roost, 1);
    const name = readdirSync(join(maildir, 'cur')).find((file) => file.startsWith('1700000000.foreign')) ?? '';
    renameSync(join(maildir, 'cur', name), join(maildir, 'cur', `${name.replace(/:2,.*/, '')}:2,S`));
    assert.match((await news(client)) ?? '', new RegExp(`^\\* ${exists + 1} FETCH \\(FLAGS \\(.*\\\\Seen`));
    client.close();
  });

  it('hears that the server is still here', async () => {
    const client = await clients.logIn(roost);
    await idle(client);
    await hibernated(roost, 1);
    assert.equal(await client.line(), '* OK Still here');
    assert.equal(await client.line(), '* OK Still here');
    assert.equal(await clientsOf(roost, 'imap'), 0);
    client.close();
    await roost.logged(/imap\(alice\).*Disconnected: Connection closed \(IDLE, hibernated for .*in=\d+ out=\d+/);
  });

  it('keeps what it has enabled, found and opened', async () => {
    const client = await clients.logIn(roost);
    await client.ok('ENABLE QRESYNC');
    await client.ok('EXAMINE INBOX');
    await client.ok('UID SEARCH RETURN (SAVE) 1');
    await idle(client);
    await hibernated(roost, 1);
    const other = await clients.logIn(roost);
    await other.ok('SELECT INBOX');
    await other.ok('STORE 1 +FLAGS (\\Answered)');
    // CONDSTORE is still on.
    assert.match((await news(client)) ?? '', /^\* 1 FETCH \(UID 1 FLAGS \(.*\\Answered.*\) MODSEQ \(\d+\)\)$/);
    other.close();
    client.raw('DONE\r\n');
    assert.match((await news(client)) ?? '', /OK Idle completed/);
    assert.match((await client.ok('UID FETCH $ (FLAGS)')).join('\n'), /^\* 1 FETCH \(.*\bUID 1\b/);
    assert.match((await client.run('STORE 1 +FLAGS (\\Seen)')).at(-1) ?? '', /^NO/);
    client.close();
  });

  it('is seen by who, and ended by kick', async () => {
    const client = await clients.logIn(roost);
    await client.ok('SELECT INBOX');
    await idle(client);
    await hibernated(roost, 1);
    const who = await roost.admin(['who']);
    assert.match(who.stdout, /^alice\s+1\s+imap/m, who.stderr);
    await roost.admin(['kick', 'alice']);
    assert.match((await news(client)) ?? '', /^\* BYE Disconnected by administrator/);
    assert.equal(await client.line(), undefined);
  });

  it('ends when imap-hibernate is killed, and nothing else does', async () => {
    const client = await clients.logIn(roost);
    await idle(client);
    await hibernated(roost, 1);
    const [row] = await processes(roost, 'imap-hibernate');
    process.kill(row?.pid ?? 0, 'SIGKILL');
    while ((await client.line()) !== undefined);
    const next = await clients.logIn(roost);
    await idle(next);
    await hibernated(roost, 1);
    next.raw('DONE\r\n');
    assert.match((await news(next)) ?? '', /OK Idle completed/);
    next.close();
  });

  it('is taken by a new imap process when the one it came from was killed', async () => {
    const client = await clients.logIn(roost);
    await client.ok('SELECT INBOX');
    await idle(client);
    await hibernated(roost, 1);
    for (const { pid } of await processes(roost, 'imap')) process.kill(pid, 'SIGKILL');
    client.raw('DONE\r\n');
    assert.match((await news(client)) ?? '', /OK Idle completed/);
    await client.ok('NOOP');
    client.close();
  });

  it('does not move while it is compressed', async () => {
    const client = await clients.logIn(roost);
    await client.ok('COMPRESS DEFLATE');
    client.compress();
    await idle(client);
    // One that began to idle later moves, and this one has not by then.
    await idle(await clients.logIn(roost));
    await until(async () => (await clientsOf(roost, 'imap-hibernate')) > 0, 'one hibernated');
    // The master may hear of it from there first.
    await until(async () => (await clientsOf(roost, 'imap')) === 1, 'the other is where it was');
    assert.equal(await clientsOf(roost, 'imap-hibernate'), 1);
    client.raw('DONE\r\n');
    assert.match((await news(client)) ?? '', /OK Idle completed/);
  });
});

describe('imap-hibernate', () => {
  it('frees the process of a session where each has its own', async () => {
    await using roost = await startRoost({ protocols: ['imap'], settings, pools: { imap: { service_count: 1, client_limit: 1 } } });
    mkdirSync(roost.maildir('bob'), { recursive: true });
    const own = await Promise.all([clients.logIn(roost), clients.logIn(roost), clients.logIn(roost)]);
    for (const client of own) await client.ok('SELECT INBOX');
    for (const client of own) await idle(client);
    await hibernated(roost, 3);
    await until(async () => (await processes(roost, 'imap')).length === 0, 'no imap process');
    for (const client of own) client.raw('DONE\r\n');
    for (const client of own) assert.match((await news(client)) ?? '', /OK Idle completed/);
    for (const client of own) client.close();
  });

  it('is full: a session waits for it as for nothing else, is answered at once and ended by kick', async () => {
    const pools = { 'imap-hibernate': { process_limit: 1, client_limit: 1 } };
    await using roost = await startRoost({ protocols: ['imap'], settings, pools });
    const first = await clients.logIn(roost);
    await idle(first);
    await hibernated(roost, 1);
    const second = await clients.logIn(roost);
    await second.ok('SELECT INBOX');
    const tag = await idle(second);
    await waiting(roost, 'imap-hibernate');
    // The master lets it wait for 10 s.
    for (let count = 0; count < 2; count += 1) assert.equal(await news(second, true), '* OK Still here');
    writeFileSync(join(roost.maildir('alice'), 'new', '1700000000.foreign.host'), 'Subject: x\r\n\r\ny\r\n', { mode: 0o666 });
    assert.equal(await news(second), '* 1 EXISTS');
    await waiting(roost, 'imap-hibernate');
    second.raw('DONE\r\n');
    assert.match((await news(second)) ?? '', new RegExp(`^${tag} OK Idle completed`));
    await idle(second);
    await waiting(roost, 'imap-hibernate');
    assert.equal((await roost.admin(['kick', 'alice'])).code, 0);
    // An IDLE that ends has its own reply.
    let line = await news(second);
    if (line?.includes(' OK ')) line = await news(second);
    assert.match(line ?? '', /^\* BYE Disconnected by administrator/);
  });

  it('gives a session back as soon as there is room; until then it hears that the server is still here, and kick ends it', async () => {
    await using roost = await startRoost({ protocols: ['imap'], settings, pools: { imap: { process_limit: 1, client_limit: 1 } } });
    const goAway = async (user: string, count: number): Promise<LineClient> => {
      const client = await clients.logIn(roost, { user });
      await client.ok('SELECT INBOX');
      await idle(client);
      await hibernated(roost, count);
      return client;
    };
    const alice = await goAway('alice', 1);
    const bob = await goAway('bob', 2);
    const busy = await clients.logIn(roost);
    await busy.ok('NOOP');
    for (const user of ['alice', 'bob'])
      writeFileSync(join(roost.maildir(user), 'new', '1700000000.foreign.host'), 'Subject: x\r\n\r\ny\r\n', { mode: 0o666 });
    await waiting(roost, 'imap', 2);
    assert.equal(await news(alice, true), '* OK Still here');
    assert.equal((await roost.admin(['kick', 'bob'])).code, 0);
    assert.match((await news(bob)) ?? '', /^\* BYE Disconnected by administrator/);
    busy.close();
    assert.equal(await news(alice), '* 1 EXISTS');
  });

  it('says goodbye at the end of the server', async () => {
    const roost = await startRoost({ protocols: ['imap'], settings });
    const client = await clients.logIn(roost);
    await idle(client);
    await hibernated(roost, 1);
    assert.equal(await roost.stop(), 0);
    assert.match((await news(client)) ?? '', /^\* BYE \[UNAVAILABLE\] Server shutting down/);
  });

  for (const isTls of [false, true]) {
    it(`keeps its sessions over a reload with shutdown_clients = no${isTls ? ' (TLS)' : ''}; they go on in new imap processes`, async () => {
      await using roost = await startRoost({ protocols: ['imap'], settings: { ...settings, shutdown_clients: 'no' } });
      const client = await clients.logIn(roost, { isTls });
      await client.ok('ENABLE QRESYNC');
      await client.ok('SELECT INBOX');
      const tag = await idle(client);
      await hibernated(roost, 1);
      const oldPids = (await processes(roost, 'imap')).map(({ pid }) => pid);
      const [keeper] = await processes(roost, 'imap-hibernate');
      appendFileSync(roost.configFile, 'imap_capability = +XRELOADED\n');
      const reload = await roost.admin(['reload']);
      assert.equal(reload.code, 0, reload.stderr);
      // It has no client, so nothing holds it.
      await until(async () => !(await processes(roost, 'imap')).some(({ pid }) => oldPids.includes(pid)), 'end of the old imap process');
      await hibernated(roost, 1);
      writeFileSync(join(roost.maildir('alice'), 'new', '1700000000.foreign.host'), 'Subject: x\r\n\r\ny\r\n', { mode: 0o666 });
      assert.equal(await news(client), '* 1 EXISTS');
      client.raw('DONE\r\n');
      assert.match((await news(client)) ?? '', new RegExp(`^${tag} OK Idle completed`));
      assert.match((await client.ok('CAPABILITY')).join('\n'), / XRELOADED/);
      // QRESYNC is still on.
      assert.match((await client.ok('UID STORE 1 +FLAGS.SILENT (\\Seen)')).join('\n'), /MODSEQ/);
      // The old imap-hibernate process has nobody left; the next time it is a new one.
      await until(async () => !(await processes(roost, 'imap-hibernate')).some(({ pid }) => pid === keeper?.pid), 'its end');
      await idle(client);
      await hibernated(roost, 1);
      client.raw('DONE\r\n');
      assert.match((await news(client)) ?? '', /OK Idle completed/);
      client.close();
    });
  }

  it('ends its sessions politely at a reload with shutdown_clients = yes, and new ones hibernate', async () => {
    await using roost = await startRoost({ protocols: ['imap'], settings });
    const client = await clients.logIn(roost);
    await idle(client);
    await hibernated(roost, 1);
    const reload = await roost.admin(['reload']);
    assert.equal(reload.code, 0, reload.stderr);
    assert.match((await news(client)) ?? '', /^\* BYE \[UNAVAILABLE\] Server shutting down/);
    assert.equal(await client.line(), undefined);
    const next = await clients.logIn(roost);
    await idle(next);
    await hibernated(roost, 1);
    next.close();
  });
});
