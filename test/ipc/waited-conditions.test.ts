import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { arch } from 'node:process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { waitedConditions } from '#ipc/waited-conditions.js';

const futex = arch === 'arm64' ? 98 : 202;
const rest = '0x0 0x0 0x0 0xffffffff 0x7fba16d3bc70 0x7fba175c3f16\n';

describe('Conditions on which threads wait', () => {
  it('are found by either of their two words', () => {
    const calls = [`${futex} 0x2df60300 0x189 ${rest}`, `${futex} 0x2df60304 0x189 ${rest}`, `${futex} 0x2df60300 0x189 ${rest}`];
    assert.deepEqual(waitedConditions(calls), [{ address: 0x2df602d8, threads: 3 }]);
  });

  for (const [what, call] of [
    ['a lone waiter', `${futex} 0x5660460 0x189 ${rest}`],
    ['a mutex', `${futex} 0x5660460 0x80 ${rest}`],
    ['another call', `281 0xc 0x189 ${rest}`],
    ['a thread that runs', 'running\n'],
    ['one that cannot be looked at', ''],
  ] as const) {
    it(`are not seen in ${what}`, () => {
      assert.deepEqual(waitedConditions(what === 'a lone waiter' ? [call] : [call, call]), []);
    });
  }
});

describe('A copy of a process', () => {
  it('does not wait for threads that it does not have when it wakes them', { skip: process.platform !== 'linux' }, async () => {
    const script = fileURLToPath(new URL('fork-threads-child.js', import.meta.url));
    const child = spawn(process.execPath, ['--single-threaded', script], { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
    const killGroup = (): void => {
      try {
        process.kill(-(child.pid ?? 0), 'SIGKILL');
      } catch {
        // All have ended.
      }
    };
    const timer = setTimeout(killGroup, 20_000);
    let text = '';
    for await (const chunk of child.stdout) text += String(chunk);
    clearTimeout(timer);
    killGroup();
    assert.match(text, /^signalled [1-9]/);
  });
});
