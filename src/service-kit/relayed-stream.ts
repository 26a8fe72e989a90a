// A client whose TLS ends in another process, as the process that serves it sees it: a stream that is no descriptor of its own but one of many on a
// channel (ipc/stream-channel.ts).
//
// Where the session has to move on, to a process that knows nothing of this channel, the other end is asked for a descriptor (`move`); the stream then
// goes on over that socket, so whoever holds it need not know.
import type { Origin } from '#ipc/peer.js';
import type { StreamEnd, StreamOwner } from '#ipc/stream-channel.js';
import { CodedError } from '#util/coded-error.js';
import { flushed } from './flushed.js';
import type { ClientSocket } from './open-socket.js';
import { type Done, PartsStream, whenTaken } from './parts-stream.js';
import { continueReading, forgetPause, stopReading } from './reading.js';

/** The client has gone without closing the connection in order, or while something was to be sent to it. */
export class RelayEndedError extends CodedError<'gone'> {
  override readonly name = 'RelayEndedError';
}

/** More than most sessions say and hear. */
const bulkBytes = 512 * 1024;

/** A client that takes nothing for so long cannot be moved. */
const flushTimeoutMs = 5_000;

/** What became of a stream whose other end was asked for a descriptor. `lost`: neither side can go on with it. */
export type MoveOutcome =
  | { readonly kind: 'moved'; readonly socket: ClientSocket; readonly origin: Origin | undefined }
  | { readonly kind: 'stays' | 'lost' };

/** With the shape of what a Duplex is given, whole (open-socket.ts tells why). */
const options = { allowHalfOpen: false, readable: true, writable: true, autoDestroy: true, emitClose: true } as const;

export class RelayedStream extends PartsStream implements StreamOwner {
  #end: StreamEnd | undefined;
  /** After `move`. */
  #socket: ClientSocket | undefined;
  readonly #moveOut: (() => Promise<MoveOutcome>) | undefined;
  #origin: Origin | undefined;
  /** Pushed and not yet asked for more: the window is given back with the next `_read`. */
  #unread = 0;
  #writing: Done | undefined;
  #isPeerGone = false;
  /** Resolves with what `move` does. */
  #moving: Promise<boolean> | undefined;
  /** In both directions. */
  #passedBytes = 0;
  #hasTriedBulk = false;
  /** What was to be written while it moved. */
  #held: (() => void) | undefined;

  /** @param moveOut asks the other end for a descriptor */
  constructor(moveOut?: () => Promise<MoveOutcome>) {
    super(options);
    this.#moveOut = moveOut;
  }

  /** Right after it was made. */
  start(end: StreamEnd): void {
    this.#end = end;
  }

  /** The socket that the stream has moved to. */
  get socket(): ClientSocket | undefined {
    return this.#socket;
  }

  /** Where the client can go back to, after `move`: sealed for that socket. */
  get origin(): Origin | undefined {
    return this.#origin;
  }

  get canMove(): boolean {
    return this.#moveOut !== undefined && !this.destroyed && !this.#isPeerGone;
  }

  /**
   * Makes the stream one with a descriptor of its own, after what waits to be written. Nobody else may write meanwhile.
   * @returns false when that is not possible (any more); the stream is as it was then
   */
  async move(): Promise<boolean> {
    if (this.#moving !== undefined) await this.#moving;
    if (this.#socket !== undefined) return !this.destroyed;
    // The last words may wait for their turn on the channel.
    if (!this.canMove || !(await flushed(this, flushTimeoutMs)) || !this.canMove) return false;
    return this.#startMove();
  }

  /** What is written from here on waits for the outcome. */
  #startMove(): Promise<boolean> {
    this.#moving = this.#finishMove().finally(() => {
      this.#moving = undefined;
      const held = this.#held;
      this.#held = undefined;
      held?.();
    });
    return this.#moving;
  }

  async #finishMove(): Promise<boolean> {
    const outcome: MoveOutcome = (await this.#moveOut?.()) ?? { kind: 'stays' };
    const end = this.#end;
    if (outcome.kind !== 'stays') this.#end = undefined;
    if (outcome.kind === 'moved') this.#goOn(outcome.socket, outcome.origin);
    else if (this.destroyed) end?.reset();
    if (outcome.kind === 'lost') this.destroy(new RelayEndedError('gone', 'the connection was lost on its way'));
    return outcome.kind === 'moved' && !this.destroyed;
  }

  /** A session with much to say does so over a socket of its own, once: the kernel then does what windows and turns are for, at a lower price. */
  #moveIfBulky(bytes: number): void {
    this.#passedBytes += bytes;
    if (this.#passedBytes < bulkBytes || this.#hasTriedBulk || this.#moving !== undefined || this.#socket !== undefined) return;
    this.#hasTriedBulk = true;
    // It does not reject.
    if (this.canMove) void this.#startMove();
  }

  #goOn(socket: ClientSocket, origin: Origin | undefined): void {
    this.#socket = socket;
    this.#origin = origin;
    this.#attach(socket);
    if (this.destroyed) socket.destroy();
  }

  #attach(socket: ClientSocket): void {
    socket.on('data', this.#onSocketData);
    socket.on('end', this.#onSocketEnd);
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.destroy());
  }

  readonly #onSocketData = (chunk: Buffer): void => {
    if (!this.push(chunk)) this.#socket?.pause();
  };
  readonly #onSocketEnd = (): void => void this.push(null);

  /**
   * After `move`: takes the readers off, and stops reading the descriptor.
   * @returns what was read and nobody has taken
   */
  stopReading(): Buffer {
    this.removeAllListeners('data');
    this.removeAllListeners('readable');
    this.pause();
    const chunks: Buffer[] = [];
    for (let chunk: unknown = this.read(); Buffer.isBuffer(chunk); chunk = this.read()) chunks.push(chunk);
    if (this.#socket !== undefined) chunks.push(stopReading(this.#socket));
    return Buffer.concat(chunks);
  }

  /** As it was before `stopReading`. */
  async giveBack(readAhead: Buffer): Promise<void> {
    await forgetPause(this);
    if (readAhead.length > 0) this.unshift(readAhead);
    const socket = this.#socket;
    if (socket === undefined) return;
    socket.on('data', this.#onSocketData);
    continueReading(socket);
    socket.resume();
  }

  onData(octets: Buffer): void {
    this.#unread += octets.length;
    if (this.#writing === undefined) this.#moveIfBulky(octets.length);
    // While the buffer has room, Node asks for no more: it would have been told to.
    if (this.push(octets)) this.#giveBackWindow();
  }

  onEnd(): void {
    this.push(null);
  }

  onClose(isOrderly: boolean): void {
    this.#isPeerGone = true;
    if (!isOrderly) {
      this.destroy(new RelayEndedError('gone', 'the client has gone'));
      return;
    }
    this.#finishWriting(new RelayEndedError('gone', 'the client has closed the connection'));
  }

  onSent(): void {
    this.#finishWriting();
  }

  #finishWriting(error?: Error): void {
    const done = this.#writing;
    this.#writing = undefined;
    done?.(error);
  }

  #giveBackWindow(): void {
    // While it moves, the other end may have forgotten the stream already.
    if (this.#moving !== undefined) return;
    const bytes = this.#unread;
    this.#unread = 0;
    if (bytes > 0) this.#end?.taken(bytes);
  }

  override _read(): void {
    this.#giveBackWindow();
    if (this.#socket?.isPaused() === true) this.#socket.resume();
  }

  protected override send(parts: readonly Buffer[], done: Done): void {
    for (const part of parts) this.#moveIfBulky(part.length);
    this.#sendNow(parts, done);
  }

  #sendNow(parts: readonly Buffer[], done: Done): void {
    if (this.#moving !== undefined) this.#held = () => this.#sendNow(parts, done);
    else if (this.#socket !== undefined) this.#sendBySocket(this.#socket, parts, done);
    else if (this.#isPeerGone || this.#end === undefined) done(new RelayEndedError('gone', 'the client has closed the connection'));
    else if (this.#end.write(parts)) done();
    else this.#writing = done;
  }

  #sendBySocket(socket: ClientSocket, parts: readonly Buffer[], done: Done): void {
    socket.cork();
    for (const part of parts) socket.write(part);
    socket.uncork();
    whenTaken(socket, done);
  }

  override _final(done: Done): void {
    if (this.#moving !== undefined) this.#held = () => this._final(done);
    else if (this.#socket !== undefined) this.#socket.end(() => done());
    else {
      this.#end?.end();
      done();
    }
  }

  override _destroy(error: Error | null, done: Done): void {
    const isWhole = error === null && this.writableLength === 0;
    this.#writing = undefined;
    this.#socket?.destroy();
    if (this.#moving === undefined) {
      if (isWhole) this.#end?.close();
      else this.#end?.reset();
    }
    done(error);
  }
}
