// Frames over a stream socket: messages both ways, replies found by their id, back-pressure for who wants it and a hard bound for who does not.
import { connect, type Socket } from 'node:net';
import { CellMap } from '#util/cell-map.js';
import { CodedError, errnoOf } from '#util/coded-error.js';
import { type Deadline, Deadlines } from '#util/deadlines.js';
import { writeTogether } from '#util/write-together.js';
import { encodeFrame, FrameDecoder, maxFrameBytes } from './frame.js';
import { hearOut } from './hear-out.js';

/** Unsent octets after which a peer that does not read is given up. */
const defaultMaxBufferedBytes = 8 * 1024 * 1024;

/** A peer on a busy machine may come to read what was said last only then. */
const closeTimeoutMs = 5_000;
const connectRetryMs = 5;

/** `closed`: the peer is gone, and all that it said was read. `broken`: its last words may be lost. `timeout`: no reply in time. */
export class ChannelError extends CodedError<'closed' | 'broken' | 'timeout'> {
  override readonly name = 'ChannelError';
}

export interface ChannelOptions {
  /** Called with each frame's value, in order. May throw: that ends the channel. */
  readonly onMessage: (value: unknown) => void;
  /** Called once. Undefined after an orderly end. */
  readonly onClose: (error: Error | undefined) => void;
  readonly maxFrameBytes?: number;
  readonly maxBufferedBytes?: number;
  /** Octets already read from the socket. */
  readonly initial?: Buffer;
}

/** Owns its socket from construction on. */
export class FramedChannel {
  readonly #socket: Socket;
  readonly #decoder: FrameDecoder;
  readonly #options: ChannelOptions;
  #isClosed = false;

  constructor(socket: Socket, options: ChannelOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#decoder = new FrameDecoder(options.maxFrameBytes ?? maxFrameBytes);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    hearOut(socket, (octets) => this.#receive(octets));
    socket.on('error', (error) => this.#finish(error));
    // A peer that has ended its side will not read replies either, so both ends of the stream mean the same.
    socket.on('end', () => this.#finish(undefined));
    socket.on('close', () => this.#finish(undefined));
    if (options.initial !== undefined && options.initial.length > 0) {
      const { initial } = options;
      queueMicrotask(() => this.#receive(initial));
    }
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /**
   * Queues a message. After `close` it is dropped.
   * @returns false when the peer reads slower than we write: producers of many messages then wait for `drained`
   */
  send(value: unknown): boolean {
    if (this.#isClosed) return false;
    writeTogether(this.#socket);
    return this.#write(value);
  }

  /** The same, in the kernel's hands before this returns unless the peer is slow: for what must not be lost when the process is killed next. */
  sendNow(value: unknown): boolean {
    if (this.#isClosed) return false;
    while (this.#socket.writableCorked > 0) this.#socket.uncork();
    return this.#write(value);
  }

  #write(value: unknown): boolean {
    const isBelowMark = this.#socket.write(encodeFrame(value, this.#options.maxFrameBytes));
    const limit = this.#options.maxBufferedBytes ?? defaultMaxBufferedBytes;
    if (this.#socket.writableLength > limit) {
      this.#finish(new ChannelError('closed', `peer does not read: ${this.#socket.writableLength} octets wait for it`));
    }
    return isBelowMark;
  }

  /** Resolves when the queue has emptied, or the channel has closed. */
  drained(): Promise<void> {
    if (this.#isClosed || !this.#socket.writableNeedDrain) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        this.#socket.off('drain', done);
        this.#socket.off('close', done);
        resolve();
      };
      this.#socket.on('drain', done);
      this.#socket.on('close', done);
    });
  }

  /** Sends what is queued, then ends; resolves when the peer has heard it and closed its side, after 5 s at most. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#options.onClose(undefined);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, closeTimeoutMs);
      this.#socket.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
      // Read to its end: what the peer still sends would make a failed write of it, before it has read what is in here.
      this.#socket.resume();
      this.#socket.end();
    });
    this.#socket.destroy();
  }

  destroy(error?: Error): void {
    this.#finish(error);
  }

  /** Lets the process end although the channel is open. */
  unref(): void {
    this.#socket.unref();
  }

  #receive(chunk: Buffer): void {
    if (this.#isClosed) return;
    this.#decoder.push(chunk);
    try {
      for (let frame = this.#decoder.next(); frame !== undefined; frame = this.#decoder.next()) {
        this.#options.onMessage(frame.value);
        if (this.#isClosed) return;
      }
    } catch (error) {
      this.#finish(error instanceof Error ? error : new ChannelError('closed', String(error)));
    }
  }

  #finish(error: Error | undefined): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.destroy();
    this.#options.onClose(error);
  }
}

interface Waiting<Reply> {
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: ChannelError) => void;
  readonly deadline: Deadline;
}

/** Requests that wait for the reply with their id. */
export class PendingReplies<Reply> {
  readonly #waiting = new CellMap<number, Waiting<Reply>>();
  readonly #timeoutMs: number;
  readonly #deadlines: Deadlines<{ readonly id: number }>;
  #lastId = 0;

  /** @param timeoutMs until a request is given up */
  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
    this.#deadlines = new Deadlines(timeoutMs, ({ id }) => {
      this.#take(id)?.reject(new ChannelError('timeout', `no reply in ${this.#timeoutMs} ms`));
    });
  }

  get size(): number {
    return this.#waiting.size;
  }

  /**
   * @param send gets the id to put into the request
   * @returns the reply
   * @throws ChannelError
   */
  request(send: (id: number) => void): Promise<Reply> {
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject, deadline: this.#deadlines.add({ id }) });
      send(id);
    });
  }

  /** False when nobody waits for it (any more). */
  settle(id: number, reply: Reply): boolean {
    const waiting = this.#take(id);
    waiting?.resolve(reply);
    return waiting !== undefined;
  }

  failAll(reason: string, code: 'closed' | 'broken' | 'timeout' = 'closed'): void {
    for (const [id] of this.#waiting.entries()) this.#take(id)?.reject(new ChannelError(code, reason));
  }

  #take(id: number): Waiting<Reply> | undefined {
    const waiting = this.#waiting.take(id);
    waiting?.deadline.cancel();
    return waiting;
  }
}

/**
 * Connects to a UNIX socket of another process. While the queue of its listener is full, which the kernel reports at once instead of waiting
 * (EAGAIN), it is tried again.
 * @throws ChannelError `closed`: nobody listens; `timeout`: the queue stayed full
 */
export async function connectUnix(
  path: string,
  options: { readonly timeoutMs: number; readonly allowHalfOpen?: boolean },
): Promise<Socket> {
  const deadline = performance.now() + options.timeoutMs;
  for (;;) {
    const socket = connect({ path, allowHalfOpen: options.allowHalfOpen ?? false });
    const error = await new Promise<Error | undefined>((resolve) => {
      socket.once('connect', () => resolve(undefined));
      socket.once('error', resolve);
    });
    if (error === undefined) return socket;
    socket.destroy();
    if (errnoOf(error) !== 'EAGAIN') throw new ChannelError('closed', error.message, { cause: error });
    if (performance.now() >= deadline)
      throw new ChannelError('timeout', `${path} accepted nothing for ${options.timeoutMs} ms`, { cause: error });
    await new Promise((resolve) => setTimeout(resolve, connectRetryMs));
  }
}

/**
 * Reads one frame from a fresh connection and stops reading, for streams that go on in another format. What followed the frame is put back
 * into the socket, which then waits, not flowing, for its next reader.
 * @returns undefined when the peer ended, was too slow or sent something else; the socket is destroyed then
 */
export function readFirstFrame(
  socket: Socket,
  limits: { readonly maxFrameBytes: number; readonly timeoutMs: number },
): Promise<{ readonly value: unknown } | undefined> {
  const decoder = new FrameDecoder(limits.maxFrameBytes);
  return new Promise((resolve) => {
    const finish = (frame: { readonly value: unknown } | undefined): void => {
      clearTimeout(timer);
      socket.off('readable', onReadable);
      socket.off('error', onEnd);
      socket.off('close', onEnd);
      socket.off('end', onEnd);
      if (frame === undefined) {
        socket.on('error', ignore);
        socket.destroy();
      } else {
        const rest = decoder.takeRest();
        if (rest.length > 0) socket.unshift(rest);
      }
      // Only in the next tick has the stream noticed that nobody waits for 'readable' any more.
      setImmediate(resolve, frame);
    };
    const onEnd = (): void => finish(undefined);
    const onReadable = (): void => {
      const chunk: Buffer | null = socket.read();
      if (chunk === null) {
        if (socket.readableEnded || !socket.readable) finish(undefined);
        return;
      }
      decoder.push(chunk);
      try {
        const frame = decoder.next();
        if (frame !== undefined) finish(frame);
      } catch {
        finish(undefined);
      }
    };
    const timer = setTimeout(onEnd, limits.timeoutMs);
    socket.on('readable', onReadable);
    socket.on('error', onEnd);
    socket.on('close', onEnd);
    socket.on('end', onEnd);
  });
}

/**
 * The code for requests that wait when a channel has ended with `error`. A reader hears of a reset only behind all octets, and a writer hears the peer out
 * (hear-out.ts).
 */
export function endedCode(error: Error | undefined): 'closed' | 'broken' {
  return error === undefined || ('syscall' in error && (error.syscall === 'read' || error.syscall === 'write')) ? 'closed' : 'broken';
}

// A destroyed socket may still report the error it died of.
const ignore = (): undefined => undefined;
