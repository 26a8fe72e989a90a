// The keys of TLS session tickets, for the life of the server: whoever gets hold of one can read what was said under tickets of its time, so they
// are replaced regularly. The previous one is still accepted, so that a session can be resumed for at least one interval.
import { randomBytes } from 'node:crypto';

const keyBytes = 48;
/** setTimeout takes 31 bits. */
const maxIntervalMs = 2 ** 30;

export class TicketKeyRing {
  readonly #onChange: (keys: string) => void;
  #keys: readonly Buffer[] = [randomBytes(keyBytes)];
  #timer: NodeJS.Timeout | undefined;

  constructor(onChange: (keys: string) => void) {
    this.#onChange = onChange;
  }

  /** Newest first, in base64. */
  get keys(): string {
    return Buffer.concat(this.#keys).toString('base64');
  }

  /** @param intervalMs 0 or Infinity: the keys stay */
  start(intervalMs: number): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    if (intervalMs <= 0 || !Number.isFinite(intervalMs)) return;
    this.#timer = setInterval(() => this.rotate(), Math.min(intervalMs, maxIntervalMs)).unref();
  }

  rotate(): void {
    this.#keys = [randomBytes(keyBytes), ...this.#keys.slice(0, 1)];
    this.#onChange(this.keys);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
