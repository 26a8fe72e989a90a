// Frames of a channel that carries the octets of many clients beside messages (docs/ipc.md, "Streams").
//
// Layout: 8 bits kind and 24 bits length of what follows, together big-endian, then
//   message  one JSON value in UTF-8, as in frame.ts, whose frames are frames of kind 0
//   data     stream id (32 bits), octets of the client, at least one
//   end      stream id: the sender writes no more to this stream
//   close    stream id: the sender has forgotten the stream, after everything before it arrived; its last frame there
//   reset    stream id: the same, without regard for what was on its way; its last frame there
//   credit   stream id, octets (32 bits): so many more may be sent to the sender of this frame
// A frame that breaks these rules ends the connection. Octets of data are passed on as they come: a frame need not be complete for that.
import { checkFrameLength, FrameError, frameHeaderBytes, maxFrameBytes, parseFrame } from './frame.js';
import { ReceivedOctets } from './received-octets.js';

const kinds = { message: 0, data: 1, end: 2, close: 3, reset: 4, credit: 5 } as const;

const idBytes = 4;
const headBytes = frameHeaderBytes + idBytes;
/** Longest run of octets in one data frame: what one stream may put between two frames of another. */
export const maxDataBytes = 64 * 1024;
/** Smaller pieces of a received block are copied, so that a few octets that wait for more do not keep the block. */
const maxCopiedBytes = 4 * 1024;
/** What may be kept with them. */
const tolerableBytes = 1024;

export type StreamFrame =
  | { readonly kind: 'message'; readonly value: unknown }
  /** `isLast`: the frame is whole with these. */
  | { readonly kind: 'data'; readonly id: number; readonly octets: Buffer; readonly isLast: boolean }
  | { readonly kind: 'end' | 'close' | 'reset'; readonly id: number }
  | { readonly kind: 'credit'; readonly id: number; readonly bytes: number };

/** What goes before so many octets of data. */
export function encodeDataHead(id: number, length: number): Buffer {
  return writeDataHead(Buffer.allocUnsafe(headBytes), id, length);
}

/** A whole data frame, with a copy of the octets. */
export function encodeData(id: number, parts: readonly Buffer[], length: number): Buffer {
  const frame = writeDataHead(Buffer.allocUnsafe(headBytes + length), id, length);
  let at = headBytes;
  for (const part of parts) at += part.copy(frame, at);
  return frame;
}

function writeDataHead(frame: Buffer, id: number, length: number): Buffer {
  frame.writeUInt32BE(((kinds.data << 24) | (idBytes + length)) >>> 0, 0);
  frame.writeUInt32BE(id, frameHeaderBytes);
  return frame;
}

export function encodeMark(kind: 'end' | 'close' | 'reset', id: number): Buffer {
  const frame = Buffer.allocUnsafe(headBytes);
  frame.writeUInt32BE(((kinds[kind] << 24) | idBytes) >>> 0, 0);
  frame.writeUInt32BE(id, frameHeaderBytes);
  return frame;
}

export function encodeCredit(id: number, bytes: number): Buffer {
  const frame = Buffer.allocUnsafe(headBytes + 4);
  frame.writeUInt32BE(((kinds.credit << 24) | (idBytes + 4)) >>> 0, 0);
  frame.writeUInt32BE(id, frameHeaderBytes);
  frame.writeUInt32BE(bytes, headBytes);
  return frame;
}

/** Turns received octets into frames. Not usable after it has thrown. */
export class StreamFrameDecoder {
  readonly #maxMessageBytes: number;
  readonly #received = new ReceivedOctets();
  /** Octets of the data frame that is being passed on which have not come yet. */
  #dataLeft = 0;
  #dataId = 0;

  constructor(maxMessageBytes: number = maxFrameBytes) {
    this.#maxMessageBytes = maxMessageBytes;
  }

  push(chunk: Buffer): void {
    this.#received.push(chunk);
  }

  /**
   * The next frame, or part of a data frame; undefined when more octets are needed.
   * @throws FrameError `too-long` as soon as the length is known, `malformed`
   */
  next(): StreamFrame | undefined {
    const received = this.#received;
    if (this.#dataLeft > 0) return received.length > 0 ? this.#data() : undefined;
    if (received.length < frameHeaderBytes) return undefined;
    const head = received.peek(frameHeaderBytes).readUInt32BE(0);
    const kind = head >>> 24;
    const length = head & 0xffffff;
    this.#check(kind, length);
    if (kind === kinds.data) return received.length < headBytes ? undefined : this.#startData(length - idBytes);
    if (received.length < frameHeaderBytes + length) return undefined;
    const frame = received.take(frameHeaderBytes + length);
    if (kind === kinds.message) return { kind: 'message', value: parseFrame(frame) };
    const id = frame.readUInt32BE(frameHeaderBytes);
    switch (kind) {
      case kinds.end:
        return { kind: 'end', id };
      case kinds.close:
        return { kind: 'close', id };
      case kinds.reset:
        return { kind: 'reset', id };
      default:
        return { kind: 'credit', id, bytes: frame.readUInt32BE(headBytes) };
    }
  }

  #check(kind: number, length: number): void {
    if (kind > kinds.credit) throw new FrameError('malformed', `frame of unknown kind ${kind}`);
    if (kind === kinds.message) {
      checkFrameLength(length, this.#maxMessageBytes);
    } else if (kind === kinds.data) {
      if (length > idBytes + maxDataBytes) throw new FrameError('too-long', `${length} octets of data in one frame`);
      if (length <= idBytes) throw new FrameError('malformed', `data frame of ${length} octets`);
    } else if (length !== (kind === kinds.credit ? idBytes + 4 : idBytes)) {
      throw new FrameError('malformed', `frame of kind ${kind} with ${length} octets`);
    }
  }

  #startData(length: number): StreamFrame | undefined {
    this.#dataId = this.#received.take(headBytes).readUInt32BE(frameHeaderBytes);
    this.#dataLeft = length;
    return this.#received.length > 0 ? this.#data() : undefined;
  }

  #data(): StreamFrame {
    const piece = this.#received.take(Math.min(this.#dataLeft, this.#received.firstLength));
    this.#dataLeft -= piece.length;
    const keepsBlock = piece.length < maxCopiedBytes && piece.buffer.byteLength > piece.length + tolerableBytes;
    return { kind: 'data', id: this.#dataId, octets: keepsBlock ? Buffer.from(piece) : piece, isLast: this.#dataLeft === 0 };
  }
}
