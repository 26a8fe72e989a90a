// Whether short synchronous file calls are quick enough to be made in the event loop.
//
// What the kernel has in memory takes some microseconds; a trip through the thread pool takes ten times that. How long the calls take is watched:
// where slow ones come close together (a cold disk, a file server) the thread pool is used for a while, so that slow storage holds the event loop for
// one short call a second. A single slow one among many is a busy machine that gave the processor to somebody else: the thread pool would only add
// to that.

/** Far above what a call takes that the kernel answers from memory, even on a busy machine. */
const slowMs = 2;
const pauseMs = 1000;
/** After this many quick calls a slow one is taken for chance. */
const quickCallsToTrust = 32;

/** One for each place: folders may be on different storage. */
export class SlowWatch {
  #pausedUntil = 0;
  #quickCalls = quickCallsToTrust;
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
      if (endedAt - startedAt <= slowMs) this.#quickCalls += 1;
      else {
        if (this.#quickCalls < quickCallsToTrust) this.#pausedUntil = endedAt + pauseMs;
        this.#quickCalls = 0;
      }
    }
  }
}
