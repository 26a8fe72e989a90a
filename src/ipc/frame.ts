// Frames between our own processes, on stream sockets.
//
// Layout: uint32 big-endian length of the payload in octets, then the payload: one JSON value in UTF-8. There is no version in the frame: the
// first frame of each connection (hello, announcement) carries what its reader must check. A frame longer than the reader's limit, or one that
// is not JSON, ends the connection: after it the stream has no known position.
import { CodedError } from '#util/coded-error.js';
import { ReceivedOctets } from './received-octets.js';

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
  checkFrameLength(length, maxPayloadBytes);
  const frame = Buffer.allocUnsafe(frameHeaderBytes + length);
  frame.writeUInt32BE(length, 0);
  frame.write(text, frameHeaderBytes);
  return frame;
}

/** The value of a frame. @throws FrameError `malformed` */
export function parseFrame(frame: Buffer): unknown {
  try {
    return JSON.parse(frame.toString('utf8', frameHeaderBytes));
  } catch (cause) {
    throw new FrameError('malformed', `frame of ${frame.length - frameHeaderBytes} octets is not JSON`, { cause });
  }
}

/** @throws FrameError `too-long` */
export function checkFrameLength(length: number, maxPayloadBytes: number): void {
  if (length > maxPayloadBytes) throw new FrameError('too-long', `frame of ${length} octets is longer than ${maxPayloadBytes}`);
}

/** Turns received octets into frames. Not usable after it has thrown. */
export class FrameDecoder {
  readonly #maxPayloadBytes: number;
  readonly #received = new ReceivedOctets();

  constructor(maxPayloadBytes: number = maxFrameBytes) {
    this.#maxPayloadBytes = maxPayloadBytes;
  }

  push(chunk: Buffer): void {
    this.#received.push(chunk);
  }

  /**
   * The next whole frame, or undefined when more octets are needed.
   * @throws FrameError `too-long` as soon as the length is known, `malformed`
   */
  next(): { readonly value: unknown } | undefined {
    const received = this.#received;
    if (received.length < frameHeaderBytes) return undefined;
    const length = received.peek(frameHeaderBytes).readUInt32BE(0);
    checkFrameLength(length, this.#maxPayloadBytes);
    const total = frameHeaderBytes + length;
    return received.length < total ? undefined : { value: parseFrame(received.take(total)) };
  }

  /** All octets after the last frame taken, for connections that go on as a plain stream. */
  takeRest(): Buffer {
    return this.#received.takeAll();
  }
}
