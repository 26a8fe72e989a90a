import { type CountName, countNames } from '#ipc/counts.js';

/** Counters of a service since the start of the server; a reload hands them on. */
export interface PoolCounters {
  served: number;
  /** Processes told to end, or killed, for their memory (vsz_limit). */
  memoryEnds: number;
  throttled: number;
  /** Clients or logged-in users that had to wait for a process. */
  waited: number;
  readonly counts: Record<CountName, number>;
  started: number;
  failed: number;
  killed: number;
  pushedOut: number;
  refused: number;
  limitReached: number;
}

export function newCounters(): PoolCounters {
  const none: readonly (readonly [CountName, number])[] = countNames.map((name) => [name, 0]);
  const counts = Object.fromEntries(none) as Record<CountName, number>;
  return {
    served: 0,
    started: 0,
    failed: 0,
    killed: 0,
    memoryEnds: 0,
    throttled: 0,
    waited: 0,
    pushedOut: 0,
    refused: 0,
    limitReached: 0,
    counts,
  };
}
