// Logins that auth has accepted, or has just been asked for, when it goes away: they succeed (docs/authentication.md).
//
// The hand-off is held where a test can see it: the one place of the mail service is taken, so who has logged in waits for it.
import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { connect } from 'node:net';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { askMaster } from '#ipc/master-client.js';
import { LineClient } from '../support/line-client.js';
import { patienceMs } from '../support/patience.js';
import { type RunningRoost, startRoost } from '../support/running-roost.js';

/** No answer of these servers may take longer, also where the machine is loaded. */

const protocols = {
  imap: { logIn: 'a LOGIN alice secret', isLoggedIn: /^a OK .*Logged in/, logOut: 'b LOGOUT' },
  pop3: { logIn: 'USER alice\r\nPASS secret', isLoggedIn: /^\+OK Logged in/, logOut: 'QUIT' },
} as const;
type Protocol = keyof typeof protocols;

async function authPids(roost: RunningRoost): Promise<number[]> {
  const reply = await askMaster(roost.baseDir, { command: 'process-status', services: ['auth'] }, { timeoutMs: patienceMs });
  return reply.ok ? (reply.processes ?? []).map(({ pid }) => pid) : [];
}

async function greeted(roost: RunningRoost, protocol: Protocol): Promise<LineClient> {
  const client = new LineClient(connect(roost.ports[protocol], '127.0.0.1'), patienceMs);
  assert.match((await client.line()) ?? '', /^(\* OK|\+OK)/);
  return client;
}

async function untilLoggedIn(client: LineClient, protocol: Protocol): Promise<void> {
  for (;;) {
    const line = await client.line();
    assert.ok(line !== undefined, 'the connection was closed');
    assert.doesNotMatch(line, /^(a NO|a BAD|-ERR|\* BYE)/);
    if (protocols[protocol].isLoggedIn.test(line)) return;
  }
}

async function logIn(roost: RunningRoost, protocol: Protocol): Promise<LineClient> {
  const client = await greeted(roost, protocol);
  client.raw(`${protocols[protocol].logIn}\r\n`);
  await untilLoggedIn(client, protocol);
  return client;
}

/** What happens to auth between its OK and the hand-off. @returns what undoes it */
const losses: Readonly<Record<string, (roost: RunningRoost) => Promise<() => void>>> = {
  'is killed': async (roost) => {
    for (const pid of await authPids(roost)) {
      process.kill(pid, 'SIGKILL');
      await roost.logged(new RegExp(`service\\(auth\\): child ${pid} killed with signal 9`));
    }
    return () => undefined;
  },
  'stands still': async (roost) => {
    const pids = await authPids(roost);
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    return () => {
      for (const pid of pids) process.kill(pid, 'SIGCONT');
    };
  },
  'is replaced by a reload': async (roost) => {
    const before = await authPids(roost);
    appendFileSync(roost.configFile, 'auth_cache_size = 1M\n');
    const reload = await roost.admin(['reload']);
    assert.equal(reload.code, 0, reload.stderr);
    for (const deadlineMs = Date.now() + patienceMs; (await authPids(roost)).some((pid) => before.includes(pid)); await sleep(20)) {
      assert.ok(Date.now() < deadlineMs, 'the old auth process does not end');
    }
    return () => undefined;
  },
};

describe('A login that auth has accepted', () => {
  for (const protocol of ['imap', 'pop3'] as const) {
    for (const [what, lose] of Object.entries(losses)) {
      it(`succeeds when auth ${what} before the ${protocol} process has it`, async () => {
        await using roost = await startRoost({
          protocols: [protocol],
          settings: { shutdown_clients: 'no' },
          pools: { [protocol]: { process_limit: 1, client_limit: 1 } },
        });
        const first = await logIn(roost, protocol);
        const second = await greeted(roost, protocol);
        second.raw(`${protocols[protocol].logIn}\r\n`);
        await roost.logged(new RegExp(`service\\(${protocol}\\): (client|process)_limit \\(1\\) reached`));
        const undo = await lose(roost);
        first.raw(`${protocols[protocol].logOut}\r\n`);
        await untilLoggedIn(second, protocol);
        undo();
        for (const client of [first, second]) client.close();
        assert.doesNotMatch(roost.log, /Internal login failure/);
      });
    }
  }
});

describe('A login that auth was asked for', () => {
  for (const protocol of ['imap', 'pop3'] as const) {
    it(`is asked again when auth dies before it has answered (${protocol})`, async () => {
      await using roost = await startRoost({ protocols: [protocol] });
      (await logIn(roost, protocol)).close();
      const client = await greeted(roost, protocol);
      const pids = await authPids(roost);
      for (const pid of pids) process.kill(pid, 'SIGSTOP');
      client.raw(`${protocols[protocol].logIn}\r\n`);
      // Greeted after the password was read, so that auth has been asked; where another process greets it is asked too late, and that works too.
      const other = await greeted(roost, protocol);
      for (const pid of pids) process.kill(pid, 'SIGKILL');
      await untilLoggedIn(client, protocol);
      for (const each of [client, other]) each.close();
    });
  }
});
