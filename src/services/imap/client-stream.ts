// The octets of one connection: reading with a bound, writing with back-pressure, compression, idle and stall timers.
import { type Duplex, Transform } from 'node:stream';
import { constants, createDeflateRaw, type DeflateRaw } from 'node:zlib';
import { closeWhenHeard } from '#service-kit/close-when-heard.js';
import { isClientSocket } from '#service-kit/open-socket.js';
import { PartsStream } from '#service-kit/parts-stream.js';
import { RelayedStream } from '#service-kit/relayed-stream.js';
import { TlsStream } from '#service-kit/tls-stream.js';
import { Inflater } from './inflater.js';
import type { RawLog } from './rawlog.js';

export interface ClientStreamOptions {
  /** No octet from the client for this long: `onIdle`. */
  readonly idleTimeoutMs: number;
  /** The client took nothing of what waits for it for this long: the connection is destroyed, `stalled` tells why. */
  readonly stallTimeoutMs: number;
  readonly onIdle: () => void;
  readonly rawLog?: RawLog | undefined;
}

/** Received octets that wait to be decoded: above this the socket is not read. */
const maxWaitingBytes = 262_144;

export class ClientStream {
  readonly #stream: Duplex;
  readonly #options: ClientStreamOptions;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #wakeReader: (() => void) | undefined;
  #wakeWriters: (() => void)[] = [];
  #hasEnded = false;
  #isClosed = false;
  #isStalled = false;
  #isInterrupted = false;
  #idleTimer: NodeJS.Timeout | undefined;
  /** The timer has not the whole time, so that it cannot just be started again. */
  #isIdleShortened = false;
  #stallTimer: NodeJS.Timeout | undefined;
  #deflate: DeflateRaw | undefined;
  #inflate: Inflater | undefined;
  /** The client has closed its side, and what it sent is still being inflated. */
  #endsWhenInflated = false;
  /** What is written now are the last octets that are compressed. */
  #endsCompression = false;
  #endsAtOnce = false;
  #onClose: (() => void) | undefined;
  #onInputAway: (() => void) | undefined;
  /** When the client sent something last, ms since the epoch. */
  lastInputAtMs = Date.now();
  bytesRead = 0;
  bytesWritten = 0;

  constructor(stream: Duplex, options: ClientStreamOptions) {
    this.#stream = stream;
    this.#options = options;
    // A client that has said everything and closes its side still gets its replies.
    stream.allowHalfOpen = true;
    this.#startIdle(options.idleTimeoutMs);
    stream.on('error', this.#onClosed);
    this.attach();
  }

  /** The connection was served by another process before. The client's time to be silent goes on from its last words there. */
  continueFrom(facts: { readonly bytesRead: number; readonly bytesWritten: number; readonly lastInputAtMs: number }): void {
    this.bytesRead = facts.bytesRead;
    this.bytesWritten = facts.bytesWritten;
    this.lastInputAtMs = facts.lastInputAtMs;
    const { idleTimeoutMs } = this.#options;
    // Where the clock was set back, no more than the whole time.
    this.#startIdle(Math.min(Math.max(0, facts.lastInputAtMs + idleTimeoutMs - Date.now()), idleTimeoutMs));
  }

  #startIdle(ms: number): void {
    clearTimeout(this.#idleTimer);
    this.#isIdleShortened = ms < this.#options.idleTimeoutMs;
    this.#idleTimer = setTimeout(() => this.#options.onIdle(), ms);
  }

  readonly #onData = (chunk: Buffer): void => {
    this.bytesRead += chunk.length;
    this.lastInputAtMs = Date.now();
    if (this.#isIdleShortened) this.#startIdle(this.#options.idleTimeoutMs);
    else this.#idleTimer?.refresh();
    if (this.#inflate === undefined) this.#received(chunk);
    else this.#inflate.push(chunk);
  };
  readonly #onEnd = (): void => {
    if (this.#inflate !== undefined && !this.#inflate.isIdle) {
      this.#endsWhenInflated = true;
      this.#wake();
      return;
    }
    this.#hasEnded = true;
    this.#wake();
  };
  readonly #onClosed = (): void => this.#closed();
  readonly #onDrain = (): void => this.#drained();

  /** Reads the stream, from now on or again. */
  attach(): void {
    this.#forgetInput();
    if (this.#stream.destroyed) {
      this.#closed();
      return;
    }
    this.#stream.on('data', this.#onData).on('end', this.#onEnd).on('close', this.#onClosed).on('drain', this.#onDrain);
    // It came while nobody listened, and does not come again.
    if (this.#stream.readableEnded) this.#onEnd();
  }

  #forgetInput(): void {
    const onInput = this.#onInputAway;
    if (onInput !== undefined) this.#stream.off('readable', onInput).off('close', onInput);
    this.#onInputAway = undefined;
  }

  /** What is said is written down (rawlog_dir), until the stream is abandoned. */
  get isLogged(): boolean {
    return this.#options.rawLog !== undefined;
  }

  /**
   * Takes the listeners off, so that the stream can go to another process; `attach` puts them back, `abandon` gives it up.
   * @param onInput the client has said something, or left, while the stream is still here; it waits in the stream
   * @returns false, and nothing is done, while octets wait in either direction, compression is on, or the connection ends
   */
  detach(onInput: () => void): boolean {
    const isQuiet = this.#waitingBytes === 0 && this.#stream.writableLength === 0 && !this.isCompressed && !this.#isInterrupted;
    if (!isQuiet || this.#hasEnded || this.#isClosed) return false;
    this.#stream.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClosed).off('drain', this.#onDrain);
    this.#stream.on('readable', onInput).on('close', onInput);
    this.#onInputAway = onInput;
    return true;
  }

  /** After `detach` or `giveAway`: the stream belongs to another process, or another part of this one. */
  abandon(): void {
    this.#closed();
  }

  /** After `detach`: as `abandon`, and nothing of this is left at the stream, whose errors somebody else hears already. */
  letGo(): void {
    this.#forgetInput();
    this.#stream.off('error', this.#onClosed);
    this.#closed();
  }

  /** Called once when the connection is gone. */
  set onClose(callback: () => void) {
    this.#onClose = callback;
    if (this.#isClosed) callback();
  }

  /** The client has closed its side, and everything it sent was read; or the connection is gone. */
  get isAtEnd(): boolean {
    return this.#isClosed || (this.#hasEnded && this.#waitingBytes === 0);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get isStalled(): boolean {
    return this.#isStalled;
  }

  #received(chunk: Buffer): void {
    if (chunk.length > 0) {
      this.#options.rawLog?.received(chunk);
      this.#waiting.push(chunk);
      this.#waitingBytes += chunk.length;
      if (this.#waitingBytes >= maxWaitingBytes) (this.#inflate ?? this.#stream).pause();
    }
    this.#wake();
  }

  #wake(): void {
    const wake = this.#wakeReader;
    if (wake === undefined) return;
    this.#wakeReader = undefined;
    this.#isInterrupted = false;
    wake();
  }

  #closed(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#hasEnded = true;
    clearTimeout(this.#idleTimer);
    clearTimeout(this.#stallTimer);
    this.#wake();
    this.#releaseWriters();
    this.#deflate?.destroy();
    this.#inflate?.destroy();
    this.#options.rawLog?.close();
    this.#onClose?.();
  }

  /** The next received octets; undefined when there are none now. */
  take(): Buffer | undefined {
    const chunk = this.#waiting.shift();
    if (chunk === undefined) return undefined;
    // An array that something was put into keeps room for 17, also when it is empty.
    if (this.#waiting.length === 0) this.#waiting = [];
    this.#waitingBytes -= chunk.length;
    const source = this.#inflate ?? this.#stream;
    if (this.#waitingBytes < maxWaitingBytes && source.isPaused()) source.resume();
    return chunk;
  }

  /** Calls back once: when `take` may give something, at the end of the input, and when `interrupt` is called. */
  whenReadable(callback: () => void): void {
    this.#wakeReader = callback;
    if (this.#waitingBytes === 0) this.#inflate?.release();
    if (this.#wakeReader === undefined) return;
    if (this.#waitingBytes > 0 || this.#hasEnded || this.#isInterrupted) this.#wake();
  }

  /** Resolves when `whenReadable` would call. */
  readable(): Promise<void> {
    return new Promise((resolve) => this.whenReadable(resolve));
  }

  /** Makes a pending or the next `readable` resolve. */
  interrupt(): void {
    this.#isInterrupted = true;
    this.#wake();
  }

  /** What is written next is the last, and `end` follows. */
  prepareEnd(): void {
    this.#endsAtOnce = true;
  }

  write(parts: readonly Buffer[]): void {
    if (this.#isClosed || !this.#stream.writable) return;
    for (const part of parts) {
      this.bytesWritten += part.length;
      this.#options.rawLog?.sent(part);
    }
    const target = this.#deflate ?? this.#stream;
    const [only] = parts;
    if (target instanceof PartsStream && this.#endsAtOnce) target.writeLast(parts);
    else if (target instanceof PartsStream) target.writeAll(parts);
    else if (parts.length === 1 && only !== undefined) target.write(only);
    else {
      target.cork();
      for (const part of parts) target.write(part);
      target.uncork();
    }
    if (!this.#endsCompression) this.#deflate?.flush(constants.Z_SYNC_FLUSH);
    this.#watchStall();
  }

  #isFull(): boolean {
    return this.#stream.writableNeedDrain || (this.#deflate?.writableNeedDrain ?? false);
  }

  /** The kernel, or TLS, has everything that was written. */
  get isSent(): boolean {
    return !this.#isClosed && this.#stream.writableLength === 0 && (this.#deflate?.writableLength ?? 0) === 0;
  }

  #watchStall(): void {
    if (this.#stallTimer !== undefined || !this.#isFull()) return;
    this.#stallTimer = setTimeout(() => {
      this.#isStalled = true;
      this.destroy();
    }, this.#options.stallTimeoutMs);
  }

  #drained(): void {
    if (this.#isFull()) return;
    clearTimeout(this.#stallTimer);
    this.#stallTimer = undefined;
    this.#releaseWriters();
  }

  #releaseWriters(): void {
    const wake = this.#wakeWriters;
    this.#wakeWriters = [];
    for (const resolve of wake) resolve();
  }

  /** Resolves when the client has taken what was written (at once when it keeps up), or is gone. */
  room(): Promise<void> {
    if (this.#isClosed || !this.#isFull()) return Promise.resolve();
    return new Promise((resolve) => this.#wakeWriters.push(resolve));
  }

  /**
   * From here on both directions are compressed (RFC 4978). The tagged OK must have been written already.
   * @param receivedAhead octets behind the COMPRESS command: they are compressed already
   */
  startCompression(receivedAhead: Buffer): void {
    const deflate = createDeflateRaw({ level: 5 });
    const toSocket = new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        done();
        if (this.#isClosed || !this.#stream.writable) return;
        this.#stream.write(chunk);
        this.#watchStall();
      },
    });
    deflate.on('drain', () => this.#drained());
    deflate.on('error', () => this.destroy());
    deflate.pipe(toSocket);
    const inflate = new Inflater({
      onData: (chunk) => this.#received(chunk),
      onError: () => this.destroy(),
      onPressure: (isFull) => (isFull ? this.#stream.pause() : this.#stream.resume()),
      onIdle: () => {
        if (this.#endsWhenInflated) this.#onEnd();
      },
    });
    this.#deflate = deflate;
    this.#inflate = inflate;
    const ahead = [receivedAhead, ...this.#waiting];
    this.#waiting = [];
    this.#waitingBytes = 0;
    for (const chunk of ahead) if (chunk.length > 0) inflate.push(chunk);
  }

  get isCompressed(): boolean {
    return this.#deflate !== undefined;
  }

  /** What is written from here on is the end of the compressed octets; `endCompression` must follow. */
  prepareEndOfCompression(): void {
    this.#endsCompression = this.#deflate !== undefined;
  }

  /**
   * Neither direction is compressed any more (RFC 8437 4.1); resolves when the last compressed octets are written.
   * @returns what the client has sent since, not compressed
   */
  async endCompression(): Promise<Buffer> {
    const deflate = this.#deflate;
    const inflate = this.#inflate;
    if (deflate === undefined || inflate === undefined) return Buffer.alloc(0);
    // The end of the deflate stream tells the client exactly where it is.
    await new Promise<void>((resolve) => {
      deflate.once('close', resolve);
      deflate.end(() => setImmediate(resolve));
    });
    this.#deflate = undefined;
    this.#inflate = undefined;
    this.#endsCompression = false;
    return inflate.end();
  }

  /**
   * Gives the stream away: it is paused, without readers of ours, and `ahead` and what else was received waits in it. `attach` takes it back.
   * @returns undefined when the connection is gone
   */
  giveAway(ahead: Buffer): Duplex | undefined {
    if (this.#isClosed || this.#stream.destroyed || this.#stream.readableEnded) return undefined;
    clearTimeout(this.#idleTimer);
    clearTimeout(this.#stallTimer);
    this.#stream.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClosed).off('drain', this.#onDrain);
    this.#stream.pause();
    const waiting = Buffer.concat([ahead, ...this.#waiting]);
    this.#waiting = [];
    this.#waitingBytes = 0;
    if (waiting.length > 0) this.#stream.unshift(waiting);
    return this.#stream;
  }

  /** Sends what is left, then closes. */
  async end(): Promise<void> {
    if (this.#isClosed) return;
    const deflate = this.#deflate;
    // Closing sends the end as well, once the kernel has everything; only TLS and compression have last words of their own.
    if (deflate === undefined && this.#stream.writableLength === 0 && hasNoLastWords(this.#stream)) {
      this.destroy();
      return;
    }
    if (deflate !== undefined) await new Promise<void>((resolve) => deflate.end(() => setImmediate(resolve)));
    // A client that does not read its BYE may not hold the process.
    const timer = setTimeout(() => this.destroy(), Math.min(this.#options.stallTimeoutMs, 10_000));
    await new Promise<void>((resolve) => {
      this.#stream.once('close', resolve);
      this.#stream.once('error', () => resolve());
      this.#stream.end(() => resolve());
      if (this.#isClosed) resolve();
    });
    clearTimeout(timer);
    this.destroy();
  }

  /** As `end`, for a client that did not ask for it: it hears the last words whatever it is saying, and has 2 s for that. */
  async endUnasked(): Promise<void> {
    if (this.#isClosed) return;
    const deflate = this.#deflate;
    this.#stream.off('data', this.#onData).off('end', this.#onEnd);
    if (deflate !== undefined) await new Promise<void>((resolve) => deflate.end(() => setImmediate(resolve)));
    await closeWhenHeard(this.#stream);
    this.#closed();
  }

  destroy(): void {
    this.#stream.destroy();
    this.#closed();
  }
}

/** Or they have been said. */
function hasNoLastWords(stream: Duplex): boolean {
  return isClientSocket(stream) || stream instanceof RelayedStream || (stream instanceof TlsStream && stream.sayEnd());
}
