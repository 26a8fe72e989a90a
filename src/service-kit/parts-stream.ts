// Streams over a socket that take what was written together as parts, in one call.
//
// What a Readable and a Writable do around each chunk costs more than the system call: states, ticks in which nothing is left to be done. Where nobody
// waits, neither octets nor callers, `writeAll` and `pass` do without.
import { Duplex } from 'node:stream';

export type Done = (error?: Error | null) => void;

export abstract class PartsStream extends Duplex {
  /** @param done when more may come */
  protected abstract send(parts: readonly Buffer[], done: Done): void;

  /** Nothing waits to be sent. */
  get isClear(): boolean {
    return this.writable && this.writableLength === 0 && this.writableCorked === 0;
  }

  /**
   * Sends what can be sent at once. Only while `isClear`; what is left must be given to `send` next, before anything else.
   * @returns what is left, of `parts` or in another form that `send` knows; empty when everything was sent, or the stream was destroyed
   */
  sendNow(parts: readonly Buffer[]): readonly Buffer[] {
    return parts;
  }

  /** As `write` of each part. The buffers may be used again when `writableLength` is 0. */
  writeAll(parts: readonly Buffer[]): void {
    const left = this.isClear ? this.sendNow(parts) : parts;
    const [only] = left;
    if (only === undefined) return;
    if (left.length === 1) {
      this.write(only);
      return;
    }
    this.cork();
    for (const part of left) this.write(part);
    this.uncork();
  }

  /** As `writeAll`, of the last that is ever written: where it can be sent at once the end of our side goes out in the same packet. */
  writeLast(parts: readonly Buffer[]): void {
    this.writeAll(parts);
  }

  /** As `push`, of octets. */
  protected pass(octets: Buffer): boolean {
    if (this.readableFlowing !== true || this.readableLength > 0 || this.readableEncoding !== null || this.listenerCount('data') === 0)
      return this.push(octets);
    // The read that was asked for goes on.
    this.emit('data', octets);
    return true;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.send([chunk], done);
  }

  override _writev(chunks: { readonly chunk: Buffer }[], done: Done): void {
    this.send(
      chunks.map(({ chunk }) => chunk),
      done,
    );
  }
}

/** As `write`; text as UTF-8. */
export function writeTo(stream: Duplex, text: string): void {
  if (stream instanceof PartsStream) stream.writeAll([Buffer.from(text)]);
  else stream.write(text);
}

/** Calls back when the kernel has all that was written: at once if it has, so that buffers may be used again at once. */
export function whenTaken(socket: Duplex, done: Done): void {
  if (socket.writableLength === 0) done();
  else socket.write('', done);
}
