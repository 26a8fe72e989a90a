// Whether short synchronous file calls are quick enough to be made in the event loop.
//
// What the kernel has in memory takes some microseconds; a trip through the thread pool takes ten times that. How long the calls take is watched:
// where slow ones come close together (a cold disk, a file server) the thread pool is used for a while, so that slow storage holds the event loop for
// one short call a second. A single slow one among many, or one during which the processor went to somebody else, is a busy machine: the thread pool
// would only add to that.

/** Far above what a call takes that the kernel answers from memory, even on a busy machine. */
const slowMs = 2;
const pauseMs = 1000;
/** After this many quick calls a slow one is taken for chance. */
const quickCallsToTrust = 32;

/** Between two looks at how often the processor was taken away. */
const lookMs = 20;

function timesPreempted(): number {
  return process.resourceUsage().involuntaryContextSwitches;
}

/** One for each place: folders may be on different storage. */
export class SlowWatch {
  #pausedUntil = 0;
  #quickCalls = quickCallsToTrust;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #preempted = 0;
  readonly #now: () => number;
  readonly #timesPreempted: () => number;

  /**
   * @param now milliseconds, never going back
   * @param preempted how often the processor was taken away from this process; waiting for storage does not count
   */
  constructor(now: () => number = () => performance.now(), preempted: () => number = timesPreempted) {
    this.#now = now;
    this.#timesPreempted = preempted;
  }

  /** Something was slow a moment ago: use the thread pool. */
  get isPaused(): boolean {
    return this.#pausedUntil > 0 && this.#now() < this.#pausedUntil;
  }

  /** Runs one short synchronous call, and takes note of how long it took. */
  run<Result>(call: () => Result): Result {
    const startedAt = this.#now();
    if (startedAt - this.#lookedAt >= lookMs) {
      this.#lookedAt = startedAt;
      this.#preempted = this.#timesPreempted();
    }
    try {
      return call();
    } finally {
      const endedAt = this.#now();
      if (endedAt - startedAt <= slowMs) this.#quickCalls += 1;
      else if (!this.#wasPreempted()) {
        if (this.#quickCalls < quickCallsToTrust) this.#pausedUntil = endedAt + pauseMs;
        this.#quickCalls = 0;
      }
    }
  }

  #wasPreempted(): boolean {
    const before = this.#preempted;
    this.#preempted = this.#timesPreempted();
    return this.#preempted > before;
  }
}
