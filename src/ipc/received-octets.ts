// What has been received and not yet decoded, for decoders that need the first so many octets in one piece.
import { Buffer } from 'node:buffer';

export class ReceivedOctets {
  #chunks: Buffer[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** How many can be taken without a copy. */
  get firstLength(): number {
    return this.#chunks[0]?.length ?? 0;
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#length += chunk.length;
  }

  /** A block that begins with so many octets, which are there. They stay. */
  peek(count: number): Buffer {
    const first = this.#chunks[0];
    if (first !== undefined && first.length >= count) return first;
    const joined = Buffer.concat(this.#chunks);
    this.#chunks = [joined];
    return joined;
  }

  /** So many octets, which are there. */
  take(count: number): Buffer {
    const first = this.peek(count);
    this.#length -= count;
    if (first.length === count) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(count);
    return first.length === count ? first : first.subarray(0, count);
  }

  takeAll(): Buffer {
    const all = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks);
    this.#chunks = [];
    this.#length = 0;
    return all;
  }
}
