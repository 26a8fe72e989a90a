// Load shedding: the event loop of a process is made late from outside (SIGSTOP and SIGCONT), as a machine does that has too much to do.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { askMaster } from '#ipc/master-client.js';
import { LineClient } from '../support/line-client.js';
import { type RunningRoost, startRoost } from '../support/running-roost.js';

const patienceMs = 40_000;

async function pidOf(server: RunningRoost, service: string): Promise<number> {
  const reply = await askMaster(server.baseDir, { command: 'process-status', services: [service] }, { timeoutMs: patienceMs });
  const pid = reply.ok ? reply.processes?.[0]?.pid : undefined;
  assert.ok(pid);
  return pid;
}

function open(port: number): LineClient {
  return new LineClient(connect(port, '127.0.0.1'), patienceMs);
}

describe('A process with hardly a file descriptor left', () => {
  for (const { service, protocol, greeting, noop, served, refusal } of [
    { service: 'lmtp', protocol: 'lmtp', greeting: /^220 /, noop: 'NOOP', served: /^250 /, refusal: /^421 4\.3\.2 / },
    // Confined, so it has to be let see its own descriptors.
    {
      service: 'imap-login',
      protocol: 'imap',
      greeting: /^\* OK /,
      noop: 'a NOOP',
      served: /^a OK /,
      refusal: /^\* BYE \[UNAVAILABLE\] Server is too busy/,
    },
  ] as const) {
    it(`lets new clients of ${service} wait, then refuses them in words, serves those it has, and recovers`, {
      timeout: 3 * patienceMs,
    }, async () => {
      await using server = await startRoost({
        protocols: [protocol],
        openFiles: 128,
        pools: { [service]: { process_limit: 1, process_min_avail: 1, service_count: 0, client_limit: 1_000 } },
      });
      const clients: LineClient[] = [];
      const greet = async (): Promise<void> => {
        const client = open(server.ports[protocol]);
        clients.push(client);
        assert.match((await client.line()) ?? 'closed', greeting);
      };
      const isServed = async (client: LineClient | undefined): Promise<void> => {
        client?.raw(`${noop}\r\n`);
        assert.match((await client?.line()) ?? 'closed', served);
      };
      await greet();
      const pid = await pidOf(server, service);
      assert.match(readFileSync(`/proc/${pid}/limits`, 'utf8'), /^Max open files +128 +128 /m);
      // Past the limit of 95 %, with some left for those who are refused.
      while (readdirSync(`/proc/${pid}/fd`).length < 124) await greet();
      const untilLogged = async (pattern: RegExp): Promise<void> => {
        for (const endMs = Date.now() + patienceMs; !pattern.test(server.log); await sleep(50))
          assert.ok(Date.now() < endMs, `${pattern} in the log:\n${server.log}`);
      };
      await untilLogged(
        new RegExp(`${service}: Warning: Too busy: \\d+ % of the file descriptors are open \\(limit 95 %\\); new clients wait`),
      );
      const waiting = open(server.ports[protocol]);
      await isServed(clients[0]);
      assert.match((await waiting.line()) ?? 'closed without a word', refusal);
      await untilLogged(
        new RegExp(`${service}: Warning: Still too busy: \\d+ % of the file descriptors are open .*; new clients are refused`),
      );
      await isServed(clients[1]);
      for (const client of clients.splice(20)) client.close();
      await untilLogged(new RegExp(`${service}: .*No longer busy .*new clients are served`));
      await greet();
      await isServed(clients[0]);
      for (const client of clients) client.close();
    });
  }
});

describe('A process whose event loop is late', () => {
  it('lets new clients wait, then refuses them, serves those it has, and recovers; the log has what was measured', async () => {
    await using server = await startRoost({
      protocols: ['imap'],
      settings: { busy_max_lag: '70 ms' },
      pools: { 'imap-login': { process_limit: 1, service_count: 0 } },
    });
    const before = open(server.ports.imap);
    assert.match((await before.line()) ?? '', /^\* OK /);
    const pid = await pidOf(server, 'imap-login');
    let isLate = true;
    const makeLate = async (): Promise<void> => {
      while (isLate) {
        process.kill(pid, 'SIGSTOP');
        await sleep(400);
        process.kill(pid, 'SIGCONT');
        await sleep(30);
      }
    };
    const late = makeLate();
    try {
      await server.logged(/imap-login: Warning: Too busy: event loop is \d+ ms late \(busy_max_lag = 70 ms\); new clients wait/);
      const startedAtMs = performance.now();
      const waiting = open(server.ports.imap);
      await before.ok('NOOP');
      assert.match((await waiting.line()) ?? 'closed without a word', /^\* BYE \[UNAVAILABLE\] Server is too busy/);
      assert.ok(performance.now() - startedAtMs > 3_000);
      await server.logged(/imap-login: Warning: Still too busy: event loop is \d+ ms late .*; new clients are refused/);
      // Who was there before is still served.
      await before.ok('LOGIN alice secret');
    } finally {
      isLate = false;
      await late;
    }
    const status = await askMaster(server.baseDir, { command: 'service-status' }, { timeoutMs: patienceMs });
    const refused = status.ok ? status.services?.find(({ name }) => name === 'imap-login')?.refused : undefined;
    assert.ok((refused ?? 0) >= 1, `${refused} counted`);
    // Its load is that of its clients; without one it is at rest.
    const holder = open(server.ports.imap);
    await server.logged(/imap-login: Info: No longer busy \(event loop \d+ ms late\)/);
    for (const endMs = Date.now() + patienceMs; ; ) {
      const next = open(server.ports.imap);
      const line = (await next.line()) ?? '';
      next.close();
      if (line.startsWith('* OK')) break;
      assert.ok(Date.now() < endMs, line);
    }
    await before.ok('NOOP');
    holder.close();
    before.close();
  });
});

describe('A process on a machine without free memory', () => {
  it('lets new clients of smtp wait and refuses them, with the share in the log', async () => {
    await using server = await startRoost({
      protocols: ['smtp'],
      settings: { busy_max_memory: '1' },
      pools: { smtp: { process_limit: 1, process_min_avail: 1 } },
    });
    const first = open(server.ports.smtp);
    assert.match((await first.line()) ?? '', /^220 /);
    await server.logged(/Too busy: \d+ % of the memory is in use \(busy_max_memory = 1 %\); new clients wait/);
    const second = open(server.ports.smtp);
    assert.match((await second.line()) ?? 'closed without a word', /^421 4\.3\.2 \S+ Server is too busy/);
    first.raw('NOOP\r\n');
    assert.match((await first.line()) ?? '', /^250 /);
    first.close();
  });
});
