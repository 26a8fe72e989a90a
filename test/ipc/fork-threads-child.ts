// Forks itself; the copy signals the condition on which V8's workers wait, as V8 does now and then, and says so.
import { readdirSync, readFileSync, writeSync } from 'node:fs';
import { ForkCalls } from '#ipc/fork-calls.js';
import { waitedConditions } from '#ipc/waited-conditions.js';
import { openNativeLibraries } from '#util/native-calls.js';

/** More than there are workers. */
const signals = 20;

const calls = new ForkCalls();
const signal = openNativeLibraries()?.load(null).func('pthread_cond_signal', 'int', ['uint64']);

function workersWait(): readonly number[] {
  const texts = readdirSync('/proc/self/task').map((task) => readFileSync(`/proc/self/task/${task}/syscall`, 'latin1'));
  return waitedConditions(texts).map(({ address }) => address);
}

let addresses = workersWait();
// They come to it soon after the start.
while (addresses.length === 0) addresses = workersWait();
if (calls.fork() === 0) {
  for (const address of addresses) for (let count = 0; count < signals; count += 1) signal?.(address);
  writeSync(1, `signalled ${addresses.length}\n`);
  calls.exit(0);
}
