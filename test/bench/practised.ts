import type { Peer } from './peers/peer.js';
import { pick, type Size } from './scenario.js';

/** On a busy machine that is not enough. */
const practiceMs = 12_000;

/** Waits for Roost's processes, which practise after their start until the first client comes (service-kit/practice.ts). */
export async function practised(peer: Peer, size: Size): Promise<void> {
  if (peer.name === 'roost') await new Promise((resolve) => setTimeout(resolve, pick(size, 0, practiceMs)));
}
