// Many clients' octets over one connection between two of our processes, beside messages: what TLS sessions are relayed by (docs/ipc.md, "Streams").
//
// A stream is opened by a message, whose reader and writer both call `open` with its id. Each side says with its last frame (close, reset) that it has
// forgotten the stream; the id is free when both have. Until then what still comes for it is dropped.
//
// Flow control: a sender may have `windowBytes` on their way; its peer gives credit back as its owner takes them. So the connection is always read, and a
// client that does not read keeps one window of memory busy, not the others waiting. While the connection itself is full, the streams that have something
// to say take turns, a frame each.
import type { Socket } from 'node:net';
import { CellMap } from '#util/cell-map.js';
import { CodedError } from '#util/coded-error.js';
import { writeTogether } from '#util/write-together.js';
import { ChannelError } from './channel.js';
import { encodeFrame } from './frame.js';
import { hearOut } from './hear-out.js';
import {
  encodeCredit,
  encodeData,
  encodeDataHead,
  encodeMark,
  maxDataBytes,
  type StreamFrame,
  StreamFrameDecoder,
} from './stream-frames.js';

/** Octets on their way in one direction of one stream, not yet taken by whoever they are for. */
export const windowBytes = 256 * 1024;
/** Unsent octets of all streams: above it they wait their turn. */
const maxUnsentBytes = 64 * 1024;
/** Messages, marks and credits do not wait; a peer that lets so many octets of them pile up is given up. */
const maxPiledBytes = 8 * 1024 * 1024;
/** Less is copied behind its head. */
const maxCopiedBytes = 2 * 1024;
/**
 * A peer on a busy machine may not have come to read what was said last. Were the connection gone when it writes next, it would never read it: a failed
 * write ends a socket of Node's at once, whatever waits in it.
 */
const closeTimeoutMs = 5_000;

/** The peer broke the rules of streams. */
export class StreamError extends CodedError<'protocol'> {
  override readonly name = 'StreamError';
}

/** The owner of one end. Nothing is called after `onClose`. */
export interface StreamOwner {
  /**
   * The octets count against the window until `taken` is called for them.
   * @param isLast false: more will follow that the other side has written with them
   */
  onData(octets: Buffer, isLast: boolean): void;
  /** The other side writes no more. */
  onEnd(): void;
  /** The other side has forgotten the stream, perhaps after this one; `isOrderly` when it was not given up, and everything that it wrote has come. */
  onClose(isOrderly: boolean): void;
  /** What `write` could not pass on at once has been. */
  onSent(): void;
}

export interface StreamChannelOptions {
  /** May throw: that ends the channel. */
  readonly onMessage: (value: unknown) => void;
  /** Called once, after every stream's `onClose`. Undefined after an orderly end. */
  readonly onClose: (error: Error | undefined) => void;
  readonly maxMessageBytes: number;
}

export class StreamChannel {
  readonly #socket: Socket;
  readonly #options: StreamChannelOptions;
  readonly #decoder: StreamFrameDecoder;
  readonly #streams = new CellMap<number, StreamEnd>();
  /** Streams that wait for room, each once, in the order in which they may send. */
  #waiting: StreamEnd[] = [];
  #isClosed = false;

  /** Owns the socket from here on. */
  constructor(socket: Socket, options: StreamChannelOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#decoder = new StreamFrameDecoder(options.maxMessageBytes);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    hearOut(socket, (octets) => this.#receive(octets));
    socket.on('drain', () => this.#drained());
    socket.on('error', (error) => this.#finish(error));
    socket.on('end', () => this.#finish(undefined));
    socket.on('close', () => this.#finish(undefined));
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Streams that at least one side knows. */
  get size(): number {
    return this.#streams.size;
  }

  send(message: unknown): void {
    if (this.#isClosed) return;
    this.put(encodeFrame(message, this.#options.maxMessageBytes));
    if (this.#socket.writableLength > maxPiledBytes)
      this.#finish(new ChannelError('closed', `peer does not read: ${this.#socket.writableLength} octets wait for it`));
  }

  /** @throws StreamError when the id is in use */
  open(id: number, owner: StreamOwner): StreamEnd {
    if (this.#streams.has(id)) throw new StreamError('protocol', `stream ${id} is in use`);
    const end = new StreamEnd(this, id, owner);
    this.#streams.set(id, end);
    return end;
  }

  isInUse(id: number): boolean {
    return this.#streams.has(id);
  }

  /** Both sides know that it is no stream, or no longer one: nothing is sent for it. */
  forget(id: number): void {
    this.#streams.take(id);
  }

  /** Sends what is queued, then ends; resolves when that is done, after 5 s at most. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    const closed = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, closeTimeoutMs);
      this.#socket.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
    });
    // Read to its end: what the peer still sends would make a failed write of it, before it has read what is in here.
    this.#socket.end();
    this.#socket.resume();
    this.#forgetAll(undefined);
    await closed;
    this.#socket.destroy();
  }

  destroy(error?: Error): void {
    this.#finish(error);
  }

  /** For stream ends. */
  get hasRoom(): boolean {
    return this.#socket.writableLength < maxUnsentBytes;
  }

  /** For stream ends: queues a whole frame, or part of one. */
  put(octets: Buffer, onSent?: () => void): void {
    if (this.#isClosed) return;
    writeTogether(this.#socket);
    this.#socket.write(octets, onSent);
  }

  /** For stream ends: what was put leaves now. @returns true when the kernel has taken it all */
  flush(): boolean {
    while (this.#socket.writableCorked > 0) this.#socket.uncork();
    return this.#socket.writableLength === 0;
  }

  /** For stream ends: has something to say, and the connection is full. */
  wait(end: StreamEnd): void {
    this.#waiting.push(end);
  }

  #drained(): void {
    while (this.hasRoom && !this.#isClosed) {
      const end = this.#waiting.shift();
      if (end === undefined) return;
      end.takeTurn();
    }
  }

  #receive(chunk: Buffer): void {
    if (this.#isClosed) return;
    this.#decoder.push(chunk);
    try {
      for (let frame = this.#decoder.next(); frame !== undefined; frame = this.#decoder.next()) {
        if (frame.kind === 'message') this.#options.onMessage(frame.value);
        else this.#dispatch(frame);
        if (this.#isClosed) return;
      }
    } catch (error) {
      this.#finish(error instanceof Error ? error : new ChannelError('closed', String(error)));
    }
  }

  #dispatch(frame: Exclude<StreamFrame, { kind: 'message' }>): void {
    const end = this.#streams.get(frame.id);
    if (end === undefined) {
      // Of a stream that was refused meanwhile.
      if (frame.kind === 'reset') return;
      throw new StreamError('protocol', `${frame.kind} for stream ${frame.id}, which is not open`);
    }
    end.receive(frame);
  }

  #finish(error: Error | undefined): void {
    if (this.#isClosed) return;
    this.#socket.destroy();
    this.#forgetAll(error);
  }

  #forgetAll(error: Error | undefined): void {
    this.#isClosed = true;
    this.#waiting = [];
    const ends = [...this.#streams.entries()];
    for (const [id, end] of ends) {
      this.#streams.take(id);
      end.cutOff();
    }
    this.#options.onClose(error);
  }
}

/** One side of one stream. */
export class StreamEnd {
  readonly id: number;
  readonly #channel: StreamChannel;
  #owner: StreamOwner;
  /** Octets that may still be sent. */
  #credit = windowBytes;
  /** Octets that may still come. */
  #allowance = windowBytes;
  /** Taken by the owner, and not yet given back to the peer. */
  #taken = 0;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  /** Larger pieces that the socket still refers to. */
  #inFlight = 0;
  /** Pieces that the kernel has, of which the socket has yet to say so. */
  #flushedAhead = 0;
  #isWaiting = false;
  /** Marks to be sent when the queue is empty. */
  #wantsEnd = false;
  #wantsClose = false;
  #hasSentEnd = false;
  #hasSentLast = false;
  #hasReceivedEnd = false;
  #hasReceivedLast = false;

  constructor(channel: StreamChannel, id: number, owner: StreamOwner) {
    this.#channel = channel;
    this.id = id;
    this.#owner = owner;
  }

  set owner(owner: StreamOwner) {
    this.#owner = owner;
  }

  /** Everything that was written is in the kernel's hands, or was copied. */
  get isSent(): boolean {
    return this.#queuedBytes === 0 && this.#inFlight === 0;
  }

  /** The peer has not forgotten the stream, and neither has this side. */
  get isOpen(): boolean {
    return !this.#hasSentLast && !this.#wantsClose && !this.#hasReceivedLast;
  }

  get hasEnded(): boolean {
    return this.#hasSentEnd || this.#wantsEnd;
  }

  /**
   * Sends octets, which must not change until they were sent. Dropped when the peer has forgotten the stream.
   * @returns false: `onSent` will follow
   */
  write(parts: readonly Buffer[]): boolean {
    if (!this.isOpen || this.hasEnded) return true;
    for (const part of parts) {
      if (part.length === 0) continue;
      this.#queue.push(part);
      this.#queuedBytes += part.length;
    }
    this.#pump();
    return this.isSent;
  }

  /** What has not been sent; it will not be. */
  takeQueued(): Buffer {
    const octets = Buffer.concat(this.#queue);
    this.#queue = [];
    this.#queuedBytes = 0;
    return octets;
  }

  /** Nothing will be written any more. */
  end(): void {
    if (this.hasEnded || this.#hasSentLast) return;
    this.#wantsEnd = true;
    this.#pump();
  }

  /** The same, and what still comes is of no interest. */
  close(): void {
    if (this.#wantsClose || this.#hasSentLast) return;
    this.#wantsEnd = true;
    this.#wantsClose = true;
    if (this.#hasReceivedLast) this.takeQueued();
    this.#pump();
  }

  /** Gives the stream up at once; the other side will know that it is not whole. */
  reset(): void {
    if (this.#hasSentLast) return;
    this.takeQueued();
    this.#wantsEnd = false;
    this.#wantsClose = false;
    this.#sendLast('reset');
  }

  /** Octets of `onData` need no memory here any more. */
  taken(bytes: number): void {
    this.#taken += bytes;
    if (this.#taken < windowBytes / 2 || this.#hasReceivedEnd || this.#hasReceivedLast || this.#hasSentLast) return;
    this.#allowance += this.#taken;
    this.#channel.put(encodeCredit(this.id, this.#taken));
    this.#taken = 0;
  }

  /** @throws StreamError */
  receive(frame: Exclude<StreamFrame, { kind: 'message' }>): void {
    switch (frame.kind) {
      case 'data':
        this.#receiveData(frame.octets, frame.isLast);
        return;
      case 'end':
        if (this.#hasReceivedEnd) throw this.#broken('a second end');
        this.#hasReceivedEnd = true;
        if (!this.#hasSentLast) this.#owner.onEnd();
        return;
      case 'close':
      case 'reset':
        this.#receiveLast(frame.kind === 'close');
        return;
      case 'credit':
        this.#credit += frame.bytes;
        if (this.#credit > windowBytes) throw this.#broken(`${this.#credit} octets of credit`);
        if (this.#queuedBytes === 0) return;
        this.#pump();
        this.#tellSent();
    }
  }

  #receiveData(octets: Buffer, isLast: boolean): void {
    this.#allowance -= octets.length;
    if (this.#allowance < 0) throw this.#broken('more octets than its window');
    if (this.#hasReceivedEnd) throw this.#broken('octets after its end');
    if (!this.#hasSentLast) this.#owner.onData(octets, isLast);
  }

  #receiveLast(isClose: boolean): void {
    this.#hasReceivedLast = true;
    const isOrderly = isClose && this.#hasReceivedEnd;
    // Nobody reads it any more.
    this.takeQueued();
    if (this.#hasSentLast) this.#channel.forget(this.id);
    this.#owner.onClose(isOrderly);
    if (this.#wantsClose) this.#pump();
  }

  /** The channel is gone. */
  cutOff(): void {
    const isNews = !this.#hasReceivedLast;
    this.#hasReceivedLast = true;
    this.#hasSentLast = true;
    this.takeQueued();
    if (isNews) this.#owner.onClose(false);
  }

  /** The channel has room again. */
  takeTurn(): void {
    this.#isWaiting = false;
    const hadQueue = this.#queuedBytes > 0;
    if (hadQueue && this.#credit > 0) this.#sendFrame();
    if (this.#queuedBytes > 0) {
      if (this.#credit > 0) this.#wait();
      return;
    }
    this.#sendMarks();
    if (hadQueue) this.#tellSent();
  }

  #pump(): void {
    if (this.#isWaiting) return;
    while (this.#queuedBytes > 0 && this.#credit > 0) {
      if (!this.#channel.hasRoom) {
        this.#wait();
        return;
      }
      this.#sendFrame();
    }
    if (this.#queuedBytes === 0) this.#sendMarks();
  }

  #wait(): void {
    this.#isWaiting = true;
    this.#channel.wait(this);
  }

  /** Not within `write`, which tells by what it returns. */
  #tellSent(): void {
    if (this.isSent && !this.#hasSentLast && !this.#hasReceivedLast) this.#owner.onSent();
  }

  #sendFrame(): void {
    const length = Math.min(this.#queuedBytes, this.#credit, maxDataBytes);
    const parts = this.#takeParts(length);
    this.#credit -= length;
    if (length < maxCopiedBytes) {
      this.#channel.put(encodeData(this.id, parts, length));
      return;
    }
    this.#channel.put(encodeDataHead(this.id, length));
    this.#inFlight += 1;
    const last = parts.length - 1;
    for (const [index, part] of parts.entries()) this.#channel.put(part, index === last ? this.#onFlushed : undefined);
    // To wait for more would gain nothing, and what the kernel takes at once need not be waited for.
    if (!this.#channel.flush()) return;
    this.#inFlight -= 1;
    this.#flushedAhead += 1;
  }

  readonly #onFlushed = (): void => {
    if (this.#flushedAhead > 0) {
      this.#flushedAhead -= 1;
      return;
    }
    this.#inFlight -= 1;
    this.#tellSent();
  };

  #takeParts(length: number): Buffer[] {
    const parts: Buffer[] = [];
    let left = length;
    while (left > 0) {
      const first = this.#queue[0];
      if (first === undefined) break;
      if (first.length > left) {
        parts.push(first.subarray(0, left));
        this.#queue[0] = first.subarray(left);
        left = 0;
      } else {
        parts.push(first);
        this.#queue.shift();
        left -= first.length;
      }
    }
    this.#queuedBytes -= length;
    return parts;
  }

  #sendMarks(): void {
    if (this.#wantsEnd && !this.#hasSentEnd && !this.#hasSentLast && !this.#hasReceivedLast) {
      this.#hasSentEnd = true;
      this.#channel.put(encodeMark('end', this.id));
    }
    if (this.#wantsClose && !this.#hasSentLast) this.#sendLast('close');
  }

  #sendLast(kind: 'close' | 'reset'): void {
    this.#hasSentLast = true;
    this.#channel.put(encodeMark(kind, this.id));
    if (this.#hasReceivedLast) this.#channel.forget(this.id);
  }

  #broken(what: string): StreamError {
    return new StreamError('protocol', `stream ${this.id} sent ${what}`);
  }
}
