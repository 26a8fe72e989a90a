// Sessions that wait in IDLE are folded in their process and made again: the real server, looked at from outside. That it happens is in the debug log.
import assert from 'node:assert/strict';
import { readdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { askMaster } from '#ipc/master-client.js';
import { freePort } from '../support/free-port.js';
import { append, IdleClients, idle, news } from '../support/idle-clients.js';
import type { LineClient } from '../support/line-client.js';
import { patienceMs } from '../support/patience.js';
import { type RunningRoost, startRoost } from '../support/running-roost.js';

const settings = { imap_fold_timeout: '100 ms', imap_idle_notify_interval: '1 s', log_debug: 'category=*' };
const clients = new IdleClients(patienceMs);

async function until(look: () => Promise<boolean> | boolean, what: () => string): Promise<void> {
  for (const deadline = Date.now() + patienceMs; Date.now() < deadline; ) {
    if (await look()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail(`${what()}: not within ${patienceMs} ms`);
}

const timesIn = (text: string, pattern: RegExp): number => text.match(pattern)?.length ?? 0;
const folds = (roost: RunningRoost): number => timesIn(roost.log, /: Folded$/gm);
const unfolds = (roost: RunningRoost): number => timesIn(roost.log, /: Unfolded$/gm);

function folded(roost: RunningRoost, count: number): Promise<void> {
  return until(
    () => folds(roost) - unfolds(roost) === count,
    () => `${count} folded sessions, ${folds(roost)} were, ${unfolds(roost)} are no more`,
  );
}

async function clientsOf(roost: RunningRoost): Promise<number> {
  const reply = await askMaster(roost.baseDir, { command: 'process-status', services: ['imap'] }, { timeoutMs: patienceMs });
  return (reply.ok ? (reply.processes ?? []) : []).reduce((sum, { clients }) => sum + clients, 0);
}

function deliver(roost: RunningRoost, name: string, user = 'alice'): void {
  writeFileSync(join(roost.maildir(user), 'new', `1700000000.${name}.host`), 'Subject: x\r\n\r\ny\r\n', { mode: 0o666 });
}

/** Ends the sessions, so that the next test counts its own. */
async function closeAll(roost: RunningRoost): Promise<void> {
  clients.closeAll();
  await until(
    async () => (await clientsOf(roost)) === 0 && folds(roost) === unfolds(roost),
    () => 'no clients',
  );
}

describe('A session in IDLE, folded', () => {
  let roost: RunningRoost;
  before(async () => {
    roost = await startRoost({ protocols: ['imap'], settings: { ...settings, mail_max_userip_connections: '300' } });
  });
  after(() => roost[Symbol.asyncDispose]());
  afterEach(() => closeAll(roost));

  for (const isTls of [false, true]) {
    it(`is answered when it says DONE, and folded again${isTls ? ' (TLS)' : ''}`, async () => {
      const client = await clients.logIn(roost, { isTls });
      await client.ok('SELECT INBOX');
      for (let round = 0; round < 2; round += 1) {
        const tag = await idle(client);
        await folded(roost, 1);
        client.raw('DONE\r\n');
        assert.match((await news(client)) ?? '', new RegExp(`^${tag} OK Idle completed \\(0\\.\\d+ \\+ \\d+\\.\\d+ secs\\)`));
        await client.ok('NOOP');
      }
    });
  }

  it('understands its client wherever the octets are split, with commands behind DONE', async () => {
    const client = await clients.logIn(roost);
    await client.ok('SELECT INBOX');
    const input = 'DONE\r\nn NOOP\r\n';
    for (let at = 1; at <= input.length; at += 1) {
      const tag = await idle(client);
      await folded(roost, 1);
      client.raw(input.slice(0, at));
      await folded(roost, 0);
      client.raw(input.slice(at));
      assert.match((await news(client)) ?? '', new RegExp(`^${tag} OK`));
      assert.match((await news(client)) ?? '', /^n OK/);
    }
  });

  it('is told what happens: EXPUNGE, EXISTS and FETCH by the numbers it knows', async () => {
    const writer = await clients.logIn(roost);
    await writer.ok('CREATE told');
    for (const flags of ['', '(\\Deleted) ', '']) await append(writer, { mailbox: 'told', flags });
    const client = await clients.logIn(roost);
    assert.match((await client.ok('SELECT told')).join('\n'), /\* 3 EXISTS/);
    const tag = await idle(client);
    await folded(roost, 1);
    await writer.ok('SELECT told');
    writer.raw('y STORE 3 +FLAGS (\\Flagged)\r\nz EXPUNGE\r\n');
    const heard: string[] = [];
    while (heard.length < 2) heard.push((await news(client)) ?? '');
    // Both come together, or the flag before the message below it has gone.
    assert.match(heard.join('\n'), /^\* 2 EXPUNGE\n\* 2 FETCH .*Flagged|^\* 3 FETCH .*Flagged.*\n\* 2 EXPUNGE/);
    await folded(roost, 1);
    await append(writer, { mailbox: 'told' });
    assert.equal(await news(client), '* 3 EXISTS');
    await folded(roost, 1);
    client.raw('DONE\r\n');
    assert.match((await news(client)) ?? '', new RegExp(`^${tag} OK`));
    assert.match((await client.ok('FETCH 1:* (FLAGS)')).join('\n'), /^\* 1 .*\n\* 2 .*Flagged.*\n\* 3 /);
  });

  it('is told of a file that another program delivers, and of a flag it sets', async () => {
    const client = await clients.logIn(roost);
    const exists = Number(/\* (\d+) EXISTS/.exec((await client.ok('SELECT INBOX')).join('\n'))?.[1]);
    await idle(client);
    await folded(roost, 1);
    deliver(roost, 'foreign');
    assert.equal(await news(client), `* ${exists + 1} EXISTS`);
    await folded(roost, 1);
    const cur = join(roost.maildir('alice'), 'cur');
    const name = readdirSync(cur).find((file) => file.startsWith('1700000000.foreign')) ?? '';
    renameSync(join(cur, name), join(cur, `${name.replace(/:2,.*/, '')}:2,S`));
    assert.match((await news(client)) ?? '', new RegExp(`^\\* ${exists + 1} FETCH \\(FLAGS \\(.*\\\\Seen`));
  });

  it('hears that the server is still here, and stays folded', async () => {
    const client = await clients.logIn(roost);
    await idle(client);
    await folded(roost, 1);
    const unfolded = unfolds(roost);
    for (let count = 0; count < 3; count += 1) assert.equal(await client.line(), '* OK Still here');
    assert.equal(unfolds(roost), unfolded);
    client.close();
    await folded(roost, 0);
    // LOGIN's own octets are the login process's, and out= has the keep-alives.
    await roost.logged(/imap\(alice\).*Disconnected: Connection closed \(IDLE finished \d\.\d+ secs ago\) in=9 out=(?!6\d\d)\d{3,}/);
  });

  it('keeps what it has enabled, found and opened', async () => {
    const client = await clients.logIn(roost);
    await append(client);
    await client.ok('ENABLE QRESYNC');
    await client.ok('EXAMINE INBOX');
    await client.ok('UID SEARCH RETURN (SAVE) 1');
    await idle(client);
    await folded(roost, 1);
    const other = await clients.logIn(roost);
    await other.ok('SELECT INBOX');
    await other.ok('STORE 1 +FLAGS (\\Answered)');
    // CONDSTORE is still on.
    assert.match((await news(client)) ?? '', /^\* 1 FETCH \(UID 1 FLAGS \(.*\\Answered.*\) MODSEQ \(\d+\)\)$/);
    await folded(roost, 1);
    client.raw('DONE\r\n');
    assert.match((await news(client)) ?? '', /OK Idle completed/);
    assert.match((await client.ok('UID FETCH $ (FLAGS)')).join('\n'), /^\* 1 FETCH \(.*\bUID 1\b/);
    assert.match((await client.run('STORE 1 +FLAGS (\\Seen)')).at(-1) ?? '', /^NO/);
  });

  it('is seen by who, and ended by kick', async () => {
    const client = await clients.logIn(roost);
    await client.ok('SELECT INBOX');
    await idle(client);
    await folded(roost, 1);
    const who = await roost.admin(['who']);
    assert.match(who.stdout, /^alice\s+1\s+imap/m, who.stderr);
    assert.equal(await clientsOf(roost), 1);
    await roost.admin(['kick', 'alice']);
    let line = await news(client);
    if (line?.includes(' OK Idle ended')) line = await news(client);
    assert.match(line ?? '', /^\* BYE Disconnected by administrator/);
    assert.equal(await client.line(), undefined);
    await roost.logged(/imap\(alice\).*Disconnected: Kicked by administrator in=\d+ out=\d+/);
  });

  it('ends when its mailbox is deleted, and goes on when it is renamed', async () => {
    const other = await clients.logIn(roost);
    for (const name of ['gone', 'old']) await other.ok(`CREATE ${name}`);
    const [gone, renamed] = [await clients.logIn(roost), await clients.logIn(roost)];
    await gone.ok('SELECT gone');
    await renamed.ok('SELECT old');
    await idle(gone);
    const tag = await idle(renamed);
    await folded(roost, 2);
    await other.ok('DELETE gone');
    let line = await news(gone);
    while (line?.startsWith('* BYE') === false) line = await news(gone);
    assert.match(line ?? '', /^\* BYE/);
    assert.equal(await gone.line(), undefined);
    await other.ok('RENAME old new');
    await append(other, { mailbox: 'new' });
    assert.equal(await news(renamed), '* 1 EXISTS');
    renamed.raw('DONE\r\n');
    assert.match((await news(renamed)) ?? '', new RegExp(`^${tag} OK`));
    assert.match((await renamed.ok('FETCH 1 (UID)')).join('\n'), /^\* 1 FETCH \(UID 1\)/);
  });

  it('can leave its user and log in as another', async () => {
    const client = await clients.logIn(roost);
    await client.ok('SELECT INBOX');
    await idle(client);
    await folded(roost, 1);
    client.raw('DONE\r\n');
    assert.match((await news(client)) ?? '', /OK Idle completed/);
    await client.ok('UNAUTHENTICATE');
    await client.ok('LOGIN bob secret');
    assert.match((await roost.admin(['who'])).stdout, /^bob\s+1\s+imap/m);
  });

  it('does not fold what it could not make again', async () => {
    const [compressed, notified, plain] = [await clients.logIn(roost), await clients.logIn(roost), await clients.logIn(roost)];
    await compressed.ok('COMPRESS DEFLATE');
    compressed.compress();
    await notified.ok('NOTIFY SET (personal (MessageNew MessageExpunge))');
    const before = folds(roost);
    for (const client of [compressed, notified, plain]) await idle(client);
    await until(
      () => folds(roost) > before,
      () => 'the plain one folded',
    );
    assert.equal(folds(roost), before + 1);
    for (const client of [compressed, notified, plain]) client.raw('DONE\r\n');
    for (const client of [compressed, notified, plain]) assert.match((await news(client)) ?? '', /OK Idle completed/);
  });

  it('comes back with 199 others when a message is delivered, each is told once, and all are folded again', async () => {
    const user = 'bob';
    const many: LineClient[] = [];
    while (many.length < 200) many.push(...(await Promise.all(Array.from({ length: 20 }, () => clients.logIn(roost, { user })))));
    for (const client of many) await client.ok('SELECT INBOX');
    for (const client of many) await idle(client);
    await folded(roost, many.length);
    for (let exists = 1; exists <= 2; exists += 1) {
      deliver(roost, `storm${exists}`, user);
      assert.deepEqual(
        await Promise.all(many.map((client) => news(client))),
        many.map(() => `* ${exists} EXISTS`),
      );
      await folded(roost, many.length);
    }
    for (const client of many) client.raw('DONE\r\n');
    for (const client of many) assert.match((await news(client)) ?? '', /OK Idle completed/);
  });
});

describe('Folded sessions', () => {
  it('hear goodbye at the end of the server', async () => {
    const roost = await startRoost({ protocols: ['imap'], settings });
    const client = await clients.logIn(roost);
    await client.ok('SELECT INBOX');
    await idle(client);
    await folded(roost, 1);
    assert.equal(await roost.stop(), 0);
    let line = await news(client);
    if (line?.includes(' OK Idle ended')) line = await news(client);
    assert.match(line ?? '', /^\* BYE \[UNAVAILABLE\] Server shutting down/);
  });

  it('go on in a process that accepts its clients itself, with TLS too', async () => {
    const [plain, tls] = [freePort(), freePort()];
    const extra = `service imap {
  inet_listener imap {
    port = ${plain}
  }
  inet_listener imaps {
    port = ${tls}
    ssl = yes
  }
}
`;
    await using roost = await startRoost({ protocols: ['imap'], settings, extra });
    const both = [await clients.logIn(roost, { port: plain }), await clients.logIn(roost, { port: tls, isTls: true })];
    for (const client of both) await client.ok('SELECT INBOX');
    for (const client of both) await idle(client);
    await folded(roost, 2);
    deliver(roost, 'direct');
    for (const client of both) assert.equal(await news(client), '* 1 EXISTS');
    await folded(roost, 2);
    for (const client of both) client.raw('DONE\r\n');
    for (const client of both) assert.match((await news(client)) ?? '', /OK Idle completed/);
    for (const client of both) await client.ok('UNAUTHENTICATE');
    for (const client of both) await client.ok('LOGIN bob secret');
    for (const client of both) client.close();
  });

  it('stay over a reload with shutdown_clients = no', async () => {
    await using roost = await startRoost({ protocols: ['imap'], settings: { ...settings, shutdown_clients: 'no' } });
    const client = await clients.logIn(roost);
    await client.ok('SELECT INBOX');
    const tag = await idle(client);
    await folded(roost, 1);
    const reload = await roost.admin(['reload']);
    assert.equal(reload.code, 0, reload.stderr);
    deliver(roost, 'after');
    assert.equal(await news(client), '* 1 EXISTS');
    await folded(roost, 1);
    client.raw('DONE\r\n');
    assert.match((await news(client)) ?? '', new RegExp(`^${tag} OK Idle completed`));
    client.close();
  });

  it('are ended politely by one with shutdown_clients = yes', async () => {
    await using roost = await startRoost({ protocols: ['imap'], settings });
    const client = await clients.logIn(roost);
    await idle(client);
    await folded(roost, 1);
    const reload = await roost.admin(['reload']);
    assert.equal(reload.code, 0, reload.stderr);
    let line = await news(client);
    if (line?.includes(' OK Idle ended')) line = await news(client);
    assert.match(line ?? '', /^\* BYE \[UNAVAILABLE\] Server shutting down/);
    assert.equal(await client.line(), undefined);
  });

  it('are none with imap_fold_timeout = 0', async () => {
    await using roost = await startRoost({ protocols: ['imap'], settings: { ...settings, imap_fold_timeout: '0' } });
    const client = await clients.logIn(roost);
    await idle(client);
    for (let count = 0; count < 2; count += 1) assert.equal(await client.line(), '* OK Still here');
    assert.equal(folds(roost), 0);
    client.close();
  });
});
