// Whether short synchronous file calls are quick enough to be made in the event loop.
//
// What the kernel has in memory takes some microseconds; a trip through the thread pool takes ten times that. How long the calls take is watched:
// after a slow one (a cold disk, a file server) the thread pool is used for a while, so that slow storage holds the event loop for one short call
// a second at most.

/** Far above what a call takes that the kernel answers from memory, even on a busy machine. */
const slowMs = 2;
const pauseMs = 1000;

/** One for each place: folders may be on different storage. */
export class SlowWatch {
  #pausedUntil = 0;
  readonly #now: () => number;

  /** @param now milliseconds, never going back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Something was slow a moment ago: use the thread pool. */
  get isPaused(): boolean {
    return this.#pausedUntil > 0 && this.#now() < this.#pausedUntil;
  }

  /** Runs one short synchronous call, and takes note of how long it took. */
  run<Result>(call: () => Result): Result {
    const startedAt = this.#now();
    try {
      return call();
    } finally {
      const endedAt = this.#now();
      if (endedAt - startedAt > slowMs) this.#pausedUntil = endedAt + pauseMs;
    }
  }
}
