// Failed logins are answered late, all of them in one queue that is emptied twice a second in shuffled order, so that neither guessing is quick
// nor the time of an answer tells which check failed.
import { randomInt } from 'node:crypto';

const flushIntervalMs = 500;
/** Beyond this the oldest are answered at once: memory matters more than their delay. */
const maxQueued = 20_000;

interface DelayedReply {
  readonly atMs: number;
  readonly send: () => void;
}

export interface FailureDelayOptions {
  readonly delayMs: number;
  readonly nowMs: () => number;
}

export class FailureDelay {
  readonly #options: FailureDelayOptions;
  #queue: DelayedReply[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(options: FailureDelayOptions) {
    this.#options = options;
  }

  /** Calls `send` when the delay is over. */
  add(send: () => void): void {
    if (this.#options.delayMs <= 0) {
      send();
      return;
    }
    this.#queue.push({ atMs: this.#options.nowMs(), send });
    if (this.#queue.length > maxQueued) this.#queue.shift()?.send();
    this.#timer ??= setInterval(() => this.flush(), flushIntervalMs);
    this.#timer.unref();
  }

  /** Answers what is due. */
  flush(): void {
    const dueMs = this.#options.nowMs() - this.#options.delayMs;
    const due = this.#queue.filter(({ atMs }) => atMs <= dueMs);
    this.#queue = this.#queue.filter(({ atMs }) => atMs > dueMs);
    for (let left = due.length; left > 0; left -= 1) {
      const [reply] = due.splice(randomInt(left), 1);
      reply?.send();
    }
    if (this.#queue.length === 0) this.#stopTimer();
  }

  /** Answers everything now: the process ends. */
  close(): void {
    this.#stopTimer();
    const rest = this.#queue;
    this.#queue = [];
    for (const { send } of rest) send();
  }

  #stopTimer(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
