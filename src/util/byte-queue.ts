// Received bytes with a hard limit: chunks in, slices out, copied only when a slice spans chunks.

export class ByteQueue {
  readonly #limit: number;
  #chunks: Uint8Array[] = [];
  /** Octets of the first chunk already taken. */
  #offset = 0;
  #length = 0;

  /** @param limit octets the queue may hold */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get length(): number {
    return this.#length;
  }

  /** Keeps the chunk itself. @returns false, and takes nothing, when the limit would be passed */
  push(chunk: Uint8Array): boolean {
    if (this.#length + chunk.length > this.#limit) return false;
    if (chunk.length > 0) {
      this.#chunks.push(chunk);
      this.#length += chunk.length;
    }
    return true;
  }

  /** Position of a byte value from the front, or -1. */
  indexOf(value: number, from = 0): number {
    let base = -this.#offset;
    for (const [position, chunk] of this.#chunks.entries()) {
      const start = Math.max(from - base, position === 0 ? this.#offset : 0);
      const found = start < chunk.length ? chunk.indexOf(value, start) : -1;
      if (found >= 0) return base + found;
      base += chunk.length;
    }
    return -1;
  }

  /** Removes and returns up to `count` octets from the front; shares memory with the chunk when it lies in one. */
  take(count: number): Buffer {
    const wanted = Math.min(count, this.#length);
    const first = this.#chunks[0];
    if (wanted === 0 || first === undefined) return Buffer.alloc(0);
    if (first.length - this.#offset >= wanted) {
      const slice = Buffer.from(first.buffer, first.byteOffset + this.#offset, wanted);
      this.#drop(wanted);
      return slice;
    }
    const result = Buffer.allocUnsafe(wanted);
    let filled = 0;
    let skip = this.#offset;
    for (const chunk of this.#chunks) {
      const part = chunk.subarray(skip, Math.min(chunk.length, skip + wanted - filled));
      result.set(part, filled);
      filled += part.length;
      skip = 0;
      if (filled === wanted) break;
    }
    this.#drop(wanted);
    return result;
  }

  clear(): void {
    this.#chunks = [];
    this.#offset = 0;
    this.#length = 0;
  }

  #drop(count: number): void {
    this.#length -= count;
    let left = count;
    let dropped = 0;
    for (const chunk of this.#chunks) {
      const rest = chunk.length - this.#offset;
      if (left < rest) break;
      left -= rest;
      this.#offset = 0;
      dropped += 1;
    }
    if (dropped > 0) this.#chunks.splice(0, dropped);
    this.#offset += left;
  }
}
