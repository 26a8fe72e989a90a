// Frames between our own processes, on stream sockets.
//
// Layout: uint32 big-endian length of the payload in octets, then the payload: one JSON value in UTF-8. There is no version in the frame: the
// first frame of each connection (hello, announcement) carries what its reader must check. A frame longer than the reader's limit, or one that
// is not JSON, ends the connection: after it the stream has no known position.
import { CodedError } from '#util/coded-error.js';

/** Octets of the length field. */
export const frameHeaderBytes = 4;
/** Longest payload a reader accepts unless told otherwise: settings with certificates are the largest. */
export const maxFrameBytes = 4 * 1024 * 1024;

export class FrameError extends CodedError<'too-long' | 'malformed'> {
  override readonly name = 'FrameError';
}

/** @throws FrameError `too-long` */
export function encodeFrame(value: unknown, maxPayloadBytes: number = maxFrameBytes): Buffer {
  const text = JSON.stringify(value);
  const length = Buffer.byteLength(text);
  if (length > maxPayloadBytes) throw new FrameError('too-long', `frame of ${length} octets is longer than ${maxPayloadBytes}`);
  const frame = Buffer.allocUnsafe(frameHeaderBytes + length);
  frame.writeUInt32BE(length, 0);
  frame.write(text, frameHeaderBytes);
  return frame;
}

/** Turns received octets into frames. Not usable after it has thrown. */
export class FrameDecoder {
  readonly #maxPayloadBytes: number;
  #chunks: Buffer[] = [];
  #available = 0;

  constructor(maxPayloadBytes: number = maxFrameBytes) {
    this.#maxPayloadBytes = maxPayloadBytes;
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#available += chunk.length;
  }

  /**
   * The next whole frame, or undefined when more octets are needed.
   * @throws FrameError `too-long` as soon as the length is known, `malformed`
   */
  next(): { readonly value: unknown } | undefined {
    if (this.#available < frameHeaderBytes) return undefined;
    const head = this.#join(frameHeaderBytes);
    const length = head.readUInt32BE(0);
    if (length > this.#maxPayloadBytes) {
      throw new FrameError('too-long', `frame of ${length} octets is longer than ${this.#maxPayloadBytes}`);
    }
    const total = frameHeaderBytes + length;
    if (this.#available < total) return undefined;
    const whole = this.#join(total);
    const text = whole.toString('utf8', frameHeaderBytes, total);
    this.#drop(total);
    try {
      return { value: JSON.parse(text) };
    } catch (cause) {
      throw new FrameError('malformed', `frame of ${length} octets is not JSON`, { cause });
    }
  }

  /** All octets after the last frame taken, for connections that go on as a plain stream. */
  takeRest(): Buffer {
    const rest = this.#chunks.length === 1 ? (this.#chunks[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#chunks);
    this.#chunks = [];
    this.#available = 0;
    return rest;
  }

  /** First chunk, made at least `count` octets long. */
  #join(count: number): Buffer {
    const first = this.#chunks[0];
    if (first !== undefined && first.length >= count) return first;
    const joined = Buffer.concat(this.#chunks);
    this.#chunks = [joined];
    return joined;
  }

  #drop(count: number): void {
    const first = this.#join(count);
    this.#available -= count;
    if (first.length === count) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(count);
  }
}
