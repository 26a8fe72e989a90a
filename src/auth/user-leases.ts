// What auth has said of users, for as long as it allows to use that without asking again (docs/authentication.md, "What is remembered").
import { LRUCache } from 'lru-cache';
import type { UserLookup } from './client.js';
import { longestLeaseMs } from './interface.js';

/** Users of one mail process; who comes back after so many others is asked about again. */
const maxLeases = 10_000;

export type FoundUser = Extract<UserLookup, { kind: 'found' }>;

interface Lease {
  readonly found: FoundUser;
  readonly untilMs: number;
}

export class UserLeases {
  readonly #nowMs: () => number;
  readonly #leases = new LRUCache<string, Lease>({ max: maxLeases });

  /** @param nowMs a clock that is never set, ms */
  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /** To be taken before auth is asked: the lease counts from there, as nobody knows how long the answer was on its way. */
  now(): number {
    return this.#nowMs();
  }

  /** @param question everything that was sent with the request */
  find(question: string): FoundUser | undefined {
    const lease = this.#leases.get(question);
    if (lease === undefined) return undefined;
    if (this.#nowMs() < lease.untilMs) return lease.found;
    this.#leases.delete(question);
    return undefined;
  }

  /** @param leaseMs as auth has said @param askedAtMs `now()` before the question was sent */
  keep(question: string, found: FoundUser, leaseMs: number, askedAtMs: number): void {
    this.#leases.set(question, { found, untilMs: askedAtMs + Math.min(leaseMs, longestLeaseMs) });
  }

  clear(): void {
    this.#leases.clear();
  }
}
