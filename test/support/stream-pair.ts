import { Duplex } from 'node:stream';

class Side extends Duplex {
  other: Side | undefined;
  #waiting: (() => void) | undefined;

  override _read(): void {
    const resume = this.#waiting;
    this.#waiting = undefined;
    resume?.();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const { other } = this;
    // The receiver may keep the chunk: each side owns its octets, as with a socket.
    if (other === undefined || other.destroyed) done();
    else if (other.push(Buffer.from(chunk))) queueMicrotask(done);
    else other.#waiting = done;
  }

  override _final(done: () => void): void {
    if (this.other !== undefined && !this.other.destroyed) this.other.push(null);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const { other } = this;
    this.other = undefined;
    if (other !== undefined && !other.destroyed) setImmediate(() => other.destroy());
    done(error);
  }
}

/** Two ends of a connection in memory, with back-pressure and half-close, as a socket has. */
export function streamPair(): [Duplex, Duplex] {
  const left = new Side({ allowHalfOpen: true });
  const right = new Side({ allowHalfOpen: true });
  left.other = right;
  right.other = left;
  return [left, right];
}
