// Services at their limits, from outside: who waits, who is refused in which words, who is pushed out, and what the log and the counters say.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { askMaster, type ServiceStatus } from '#ipc/master-client.js';
import { LineClient } from '../support/line-client.js';
import { patienceMs } from '../support/patience.js';
import { type RunningRoost, startRoost } from '../support/running-roost.js';

/** Above the 10 s that a client waits. */

async function statusOf(server: RunningRoost, name: string): Promise<ServiceStatus> {
  const reply = await askMaster(server.baseDir, { command: 'service-status' }, { timeoutMs: patienceMs });
  const status = reply.ok ? reply.services?.find((service) => service.name === name) : undefined;
  assert.ok(status, name);
  return status;
}

function open(port: number): LineClient {
  return new LineClient(connect(port, '127.0.0.1'), patienceMs);
}

async function greeted(port: number): Promise<LineClient> {
  const client = open(port);
  assert.match((await client.line()) ?? '', /^(\* OK|\+OK|220) /);
  return client;
}

describe('A service whose processes are all full', { concurrency: true }, () => {
  let server: RunningRoost;
  before(async () => {
    const one = { process_limit: 1, client_limit: 1 };
    server = await startRoost({
      pools: { imap: one, pop3: one, smtp: one, lmtp: one, 'imap-login': { process_limit: 1, client_limit: 3 } },
    });
  });
  after(() => server.stop());

  for (const [name, refusal] of [
    ['lmtp', /^421 4\.3\.2 /],
    ['smtp', /^421 4\.3\.2 /],
  ] as const) {
    it(`${name}: the next client waits 10 s for a free slot and is then refused in words; the log names the setting and its value`, async () => {
      const first = await greeted(server.ports[name]);
      const startedAtMs = performance.now();
      const second = open(server.ports[name]);
      assert.match((await second.line()) ?? 'closed without a word', refusal);
      const waitedMs = performance.now() - startedAtMs;
      assert.ok(waitedMs > 8_000, `waited ${waitedMs} ms`);
      assert.equal(await second.line(), undefined);
      await server.logged(
        new RegExp(`service\\(${name}\\): client_limit \\(1\\) reached.*service ${name} \\{ client_limit = 2 \\} would have`),
      );
      const { refused, limitReached } = await statusOf(server, name);
      assert.ok(refused >= 1 && limitReached >= 1, JSON.stringify({ refused, limitReached }));
      const lines = server.log.split('\n').filter((line) => line.includes(`service(${name}): client_limit`)).length;
      assert.ok(lines <= 1 + (performance.now() - startedAtMs) / 1_000, `${lines} lines`);
      // A slot that becomes free within the time goes to whoever waits.
      const third = open(server.ports[name]);
      first.raw('QUIT\r\n');
      assert.match((await third.line()) ?? '', /^(220|421) /);
      third.close();
      first.close();
    });
  }

  it('imap: a user who logs in waits, then hears that the server is busy', async () => {
    const first = await greeted(server.ports.imap);
    await first.ok('LOGIN alice secret');
    const second = await greeted(server.ports.imap);
    const [answer = ''] = (await second.run('LOGIN bob secret')).slice(-1);
    assert.match(answer, /^NO \[(UNAVAILABLE|LIMIT)\] .*(busy|in use)/);
    await server.logged(/service\(imap\): client_limit \(1\) reached/);
    first.close();
    second.close();
  });

  it('pop3: the same, as a temporary error', async () => {
    const first = await greeted(server.ports.pop3);
    const login = async (client: LineClient, user: string): Promise<string> => {
      client.raw(`USER ${user}\r\n`);
      await client.line();
      client.raw('PASS secret\r\n');
      return (await client.line()) ?? '';
    };
    assert.match(await login(first, 'alice'), /^\+OK/);
    const second = await greeted(server.ports.pop3);
    assert.match(await login(second, 'bob'), /^-ERR \[SYS\/TEMP\] /);
    first.close();
    second.close();
  });
});

describe('A login service whose processes are all full', () => {
  it('pushes out the oldest client that has not logged in; sessions stay', async () => {
    await using server = await startRoost({
      protocols: ['imap'],
      pools: { 'imap-login': { process_limit: 1, client_limit: 2, service_count: 0 } },
    });
    const session = await greeted(server.ports.imap);
    await session.ok('LOGIN alice secret');
    const oldest = await greeted(server.ports.imap);
    const older = await greeted(server.ports.imap);
    const newest = await greeted(server.ports.imap);
    assert.match((await oldest.line()) ?? '', /^\* BYE .*Connection queue full/);
    assert.equal(await oldest.line(), undefined);
    await older.ok('NOOP');
    await newest.ok('NOOP');
    await session.ok('NOOP');
    assert.ok((await statusOf(server, 'imap-login')).pushedOut >= 1);
    for (const client of [session, oldest, older, newest]) client.close();
  });

  it('with a process for each connection, too', async () => {
    await using server = await startRoost({ protocols: ['imap'], pools: { 'imap-login': { process_limit: 2, service_count: 1 } } });
    const oldest = await greeted(server.ports.imap);
    const older = await greeted(server.ports.imap);
    const newest = await greeted(server.ports.imap);
    assert.match((await oldest.line()) ?? '', /^\* BYE .*Connection queue full/);
    await older.ok('NOOP');
    await server.logged(/service\(imap-login\): process_limit \(2\) reached.*process_limit = 3/);
    for (const client of [oldest, older, newest]) client.close();
  });
});
