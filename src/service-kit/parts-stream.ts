// Streams over a socket that take what was written together as parts, in one call.
import { Duplex } from 'node:stream';

export type Done = (error?: Error | null) => void;

export abstract class PartsStream extends Duplex {
  /** @param done when more may come */
  protected abstract send(parts: readonly Buffer[], done: Done): void;

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

/** Calls back when the kernel has all that was written: at once if it has, so that buffers may be used again at once. */
export function whenTaken(socket: Duplex, done: Done): void {
  if (socket.writableLength === 0) done();
  else socket.write('', done);
}
