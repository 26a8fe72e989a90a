// Bounds slow password checks. They run on libuv's threads, which file reads need too, and each argon2 check holds tens of megabytes.
import { availableParallelism } from 'node:os';

/** Checks that may wait; a login that comes after them hears of a temporary failure instead of waiting for minutes. */
const maxWaiting = 1000;

export class WorkLimit {
  readonly #maxRunning: number;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  /** @param threads size of the thread pool; one thread stays free for files */
  constructor(threads = Number(process.env['UV_THREADPOOL_SIZE'] ?? 4) || 4) {
    this.#maxRunning = Math.max(1, Math.min(threads - 1, Math.max(2, availableParallelism())));
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** @throws Error when too many wait already */
  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.#running >= this.#maxRunning) {
      if (this.#waiting.length >= maxWaiting) throw new TooBusyError(`${maxWaiting} password checks are waiting already`);
      // Whoever finishes passes its place on, so `#running` stays as it is.
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#running += 1;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running -= 1;
    }
  }
}

/** No verdict on the password. */
export class TooBusyError extends Error {
  override readonly name = 'TooBusyError';
}
