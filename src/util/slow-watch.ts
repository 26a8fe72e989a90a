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

/**
 * Whether the processor was taken away from this process a moment ago. All watches of a process share one: the kernel adds up all its threads for a
 * look, which costs as much as the file call itself.
 */
export class Preemptions {
  static readonly ofThisProcess = new Preemptions(() => process.resourceUsage().involuntaryContextSwitches);
  readonly #count: () => number;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #before = 0;

  /** @param count how often it was so far; waiting for storage does not count */
  constructor(count: () => number) {
    this.#count = count;
  }

  /** Before a call. Looks when the last look is old. */
  note(nowMs: number): void {
    if (nowMs - this.#lookedAt < lookMs) return;
    this.#lookedAt = nowMs;
    this.#before = this.#count();
  }

  /** Since the last look. */
  hasHappened(): boolean {
    const before = this.#before;
    this.#before = this.#count();
    return this.#before > before;
  }
}

/** One for each place: folders may be on different storage. */
export class SlowWatch {
  #pausedUntil = 0;
  #quickCalls = quickCallsToTrust;
  readonly #now: () => number;
  readonly #preemptions: Preemptions;

  /** @param now milliseconds, never going back */
  constructor(now: () => number = () => performance.now(), preemptions = Preemptions.ofThisProcess) {
    this.#now = now;
    this.#preemptions = preemptions;
  }

  /** Something was slow a moment ago: use the thread pool. */
  get isPaused(): boolean {
    return this.#pausedUntil > 0 && this.#now() < this.#pausedUntil;
  }

  /** Runs one short synchronous call, and takes note of how long it took. */
  run<Result>(call: () => Result): Result {
    const startedAt = this.begin();
    try {
      return call();
    } finally {
      this.end(startedAt);
    }
  }

  /** Before a call that does not throw. @returns what `end` wants to know behind it */
  begin(): number {
    const startedAt = this.#now();
    this.#preemptions.note(startedAt);
    return startedAt;
  }

  end(startedAt: number): void {
    const endedAt = this.#now();
    if (endedAt - startedAt <= slowMs) this.#quickCalls += 1;
    else if (!this.#preemptions.hasHappened()) {
      if (this.#quickCalls < quickCallsToTrust) this.#pausedUntil = endedAt + pauseMs;
      this.#quickCalls = 0;
    }
  }
}
