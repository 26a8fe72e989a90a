// Waiting with a limit: timers that end with their AbortSignal.

/** Resolves after `delayMs`. @throws the signal's reason */
export function sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, delayMs);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** Lets timers and sockets have their turn. */
export function yieldToLoop(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Gives the event loop a turn once work has run for `sliceMs`, so that a long loop does not delay others. */
export class Slicer {
  readonly #sliceMs: number;
  #startedAt = performance.now();

  constructor(sliceMs = 8) {
    this.#sliceMs = sliceMs;
  }

  get isDue(): boolean {
    return performance.now() - this.#startedAt >= this.#sliceMs;
  }

  /** Await this when `isDue`. */
  async pause(): Promise<void> {
    await yieldToLoop();
    this.#startedAt = performance.now();
  }
}
