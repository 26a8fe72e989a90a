import type { Peer } from './peers/peer.js';
import { treeCpuMs } from './processes.js';
import { pick, type Size } from './scenario.js';

/** Practice begins within 1.5 s of the start. */
const leastMs = 4_000;
const lookMs = 500;
/** So many looks at which the processes have done next to nothing: the longest pause of practice is a fifth of one. */
const looksAtRest = 4;
const restingCpuMs = 10;
/** On a busy machine. */
const longestMs = 60_000;

/** Waits for Roost's processes, which practise after their start until the first client comes (service-kit/practice.ts). */
export async function practised(peer: Peer, size: Size): Promise<void> {
  if (peer.name !== 'roost') return;
  await sleep(pick(size, 0, leastMs));
  if (size === 'smoke') return;
  const until = performance.now() + longestMs;
  let before = treeCpuMs(peer.pid);
  for (let rested = 0; rested < looksAtRest && performance.now() < until; ) {
    await sleep(lookMs);
    const now = treeCpuMs(peer.pid);
    rested = now - before <= restingCpuMs ? rested + 1 : 0;
    before = now;
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
