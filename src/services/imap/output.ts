// Replies on their way to the client: collected into few large buffers, written with back-pressure.
import type { ClientStream } from './client-stream.js';

/** Text is turned into octets when this much is there. */
const maxTextChars = 16_384;
/** Smaller octet strings are copied into the text, larger ones are passed on as they are. */
const maxCopiedBytes = 2_048;
/** A command that has this much waiting stops producing until it was sent. */
const maxPendingBytes = 65_536;

export class Output {
  readonly #stream: ClientStream;
  #text = '';
  #parts: Buffer[] = [];
  #partBytes = 0;

  constructor(stream: ClientStream) {
    this.#stream = stream;
  }

  /** A binary string: one char per octet. */
  text(binary: string): void {
    this.#text += binary;
    if (this.#text.length >= maxTextChars) this.#convert();
  }

  /** The buffer must not change afterwards. */
  octets(buffer: Buffer): void {
    if (buffer.length <= maxCopiedBytes) {
      this.text(buffer.toString('latin1'));
      return;
    }
    this.#convert();
    this.#parts.push(buffer);
    this.#partBytes += buffer.length;
  }

  /** Octets of a buffer that will change. */
  copy(source: Buffer, from: number, to: number): void {
    if (to - from <= maxCopiedBytes) this.text(source.toString('latin1', from, to));
    else this.octets(Buffer.from(source.subarray(from, to)));
  }

  #convert(): void {
    if (this.#text === '') return;
    const octets = Buffer.from(this.#text, 'latin1');
    this.#text = '';
    this.#parts.push(octets);
    this.#partBytes += octets.length;
  }

  /** Enough is waiting: call `drain` before producing more. */
  get isFull(): boolean {
    return this.#partBytes + this.#text.length >= maxPendingBytes;
  }

  /** Hands everything to the socket. */
  flush(): void {
    this.#convert();
    if (this.#parts.length === 0) return;
    const parts = this.#parts;
    this.#parts = [];
    this.#partBytes = 0;
    this.#stream.write(parts);
  }

  /** Nothing is held any more, neither here nor by the stream: buffers that were passed on may be used again. */
  get isSent(): boolean {
    return this.#text === '' && this.#parts.length === 0 && this.#stream.isSent;
  }

  /** Flushes, and waits while the client reads slower than we write. Returns at once when the connection is gone. */
  async drain(): Promise<void> {
    this.flush();
    await this.#stream.room();
  }
}
