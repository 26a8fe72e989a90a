// How long mail processes may use what auth has told them of a user without asking again, and the end of that when a cache is flushed.
import { longestLeaseMs } from '#auth/interface.js';

/** A connection whose owner may have leases. */
export interface LeaseHolder {
  /** Tells the owner to forget them; `acknowledged` is called with the same number when it has. */
  voidLeases(flush: number): void;
}

export interface LeasesOptions {
  readonly nowMs: () => number;
  /** A timer. */
  readonly delay: (ms: number, then: () => void) => { cancel(): void };
}

interface Wait {
  readonly flush: number;
  /** Those who have not said yet that they have heard. */
  readonly holders: Set<LeaseHolder>;
  readonly end: () => void;
}

export class Leases {
  readonly #options: LeasesOptions;
  readonly #holders = new Set<LeaseHolder>();
  readonly #waits = new Set<Wait>();
  #flushes = 0;

  constructor(options: LeasesOptions) {
    this.#options = options;
  }

  /** Grows with each flush: what was looked up before one is no lease after it. */
  get flushes(): number {
    return this.#flushes;
  }

  /**
   * @param heldUntilMs until when the answer would be given again without a look
   * @param flushes from before the lookup
   * @returns for how long the holder may use the answer, whole ms; 0: not at all
   */
  grant(holder: LeaseHolder, heldUntilMs: number, flushes: number): number {
    if (flushes !== this.#flushes) return 0;
    const leaseMs = Math.floor(Math.min(heldUntilMs - this.#options.nowMs(), longestLeaseMs));
    if (leaseMs <= 0) return 0;
    this.#holders.add(holder);
    return leaseMs;
  }

  /** Ends all leases. @returns resolves when every holder has heard of it or is gone, at the latest when leases have ended by themselves */
  voidAll(): Promise<void> {
    this.#flushes += 1;
    const flush = this.#flushes;
    const holders = new Set(this.#holders);
    this.#holders.clear();
    if (holders.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const end = (): void => {
        timer.cancel();
        this.#waits.delete(wait);
        resolve();
      };
      const wait: Wait = { flush, holders, end };
      const timer = this.#options.delay(longestLeaseMs, end);
      this.#waits.add(wait);
      for (const holder of [...holders]) holder.voidLeases(flush);
    });
  }

  /** The holder has forgotten what it had before this flush. */
  acknowledged(holder: LeaseHolder, flush: number): void {
    for (const wait of [...this.#waits]) {
      if (wait.flush <= flush && wait.holders.delete(holder) && wait.holders.size === 0) wait.end();
    }
  }

  /** The holder's connection has ended, and with it its leases. */
  drop(holder: LeaseHolder): void {
    this.#holders.delete(holder);
    this.acknowledged(holder, this.#flushes);
  }
}
