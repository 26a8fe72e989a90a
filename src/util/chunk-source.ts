// A stream's octets by asking for them, with back-pressure and a deadline on every wait.
import type { Duplex } from 'node:stream';

export type ChunkStep =
  | { readonly kind: 'chunk'; readonly chunk: Buffer }
  /** The peer has closed its side, or the connection broke. */
  | { readonly kind: 'end'; readonly error: Error | undefined }
  | { readonly kind: 'timeout' };

/** Octets taken from the stream and not yet asked for, beyond which the stream is paused. */
const maxQueuedBytes = 256 * 1024;

/**
 * Takes over reading from a stream. One `next` at a time; every other use of the stream's readable side has to wait for `detach`.
 * Errors of the stream never throw: they end it.
 */
export class ChunkSource {
  readonly #stream: Duplex;
  readonly #queue: Buffer[] = [];
  #queuedBytes = 0;
  #isEnded = false;
  #error: Error | undefined;
  #waiter: ((step: ChunkStep) => void) | undefined;
  /** When the waiter has waited long enough; as performance.now(). */
  #dueAtMs = 0;
  /** Looks whether it has. Left alone when a wait ends: a busy connection would arm and clear one for each packet. */
  #timer: NodeJS.Timeout | undefined;
  #timerAtMs = 0;

  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.on('data', this.#onData);
    stream.on('end', this.#onEnd);
    stream.on('close', this.#onEnd);
    stream.on('error', this.#onError);
  }

  get hasQueued(): boolean {
    return this.#queue.length > 0;
  }

  /** The next octets. Queued ones come first, also after the end of the stream. */
  next(timeoutMs: number): Promise<ChunkStep> {
    const chunk = this.#take();
    if (chunk !== undefined) return Promise.resolve({ kind: 'chunk', chunk });
    if (this.#isEnded) return Promise.resolve({ kind: 'end', error: this.#error });
    return new Promise((resolve) => {
      this.#dueAtMs = performance.now() + timeoutMs;
      if (this.#timer === undefined || this.#timerAtMs > this.#dueAtMs) this.#arm(timeoutMs);
      this.#waiter = resolve;
    });
  }

  /** Ends a waiting `next` as if the peer had closed (used to say goodbye from outside). */
  interrupt(): void {
    this.#isEnded = true;
    this.#finish({ kind: 'end', error: undefined });
  }

  /** Stops reading and gives back what nobody asked for. */
  detach(): Buffer {
    this.#stream.off('data', this.#onData);
    this.#stream.off('end', this.#onEnd);
    this.#stream.off('close', this.#onEnd);
    this.#stream.off('error', this.#onError);
    this.#stream.pause();
    clearTimeout(this.#timer);
    return Buffer.concat(this.#queue.splice(0));
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#waiter !== undefined) {
      this.#finish({ kind: 'chunk', chunk });
      return;
    }
    this.#queue.push(chunk);
    this.#queuedBytes += chunk.length;
    if (this.#queuedBytes >= maxQueuedBytes) this.#stream.pause();
  };

  readonly #onEnd = (): void => {
    this.#isEnded = true;
    this.#finish({ kind: 'end', error: this.#error });
  };

  readonly #onError = (error: Error): void => {
    this.#error = error;
    this.#onEnd();
  };

  #arm(inMs: number): void {
    clearTimeout(this.#timer);
    this.#timerAtMs = this.#dueAtMs;
    // The connection keeps the process alive, not its deadline.
    this.#timer = setTimeout(() => this.#look(), inMs).unref();
  }

  #look(): void {
    this.#timer = undefined;
    if (this.#waiter === undefined) return;
    // What it was armed for has passed, whatever the other clock says.
    const leftMs = this.#dueAtMs - Math.max(this.#timerAtMs, performance.now());
    if (leftMs > 0) this.#arm(leftMs);
    else this.#finish({ kind: 'timeout' });
  }

  #take(): Buffer | undefined {
    const chunk = this.#queue.shift();
    if (chunk === undefined) return undefined;
    const wasFull = this.#queuedBytes >= maxQueuedBytes;
    this.#queuedBytes -= chunk.length;
    if (wasFull && this.#queuedBytes < maxQueuedBytes) this.#stream.resume();
    return chunk;
  }

  #finish(step: ChunkStep): void {
    const waiter = this.#waiter;
    this.#waiter = undefined;
    waiter?.(step);
  }
}
