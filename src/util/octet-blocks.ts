// Many small pieces of octets written into few large blocks, without a buffer for each.
//
// A piece lies in one block; when it does not fit any more it moves to a new one, so positions inside a piece count from its start.
import { Buffer } from 'node:buffer';
import { putDecimal, putLatin1 } from './put-text.js';

/** The first block is small: often there is little to write. */
const firstBlockBytes = 2048;
const growth = 8;
const maxBlockBytes = 256 * 1024;
/** Shorter texts are written by a loop: a call into the runtime costs more. */
const shortText = 24;

export class OctetBlocks {
  /** The block of the piece that is being written. */
  bytes: Buffer = Buffer.alloc(0);
  /** Where the next octet goes. */
  at = 0;
  /** Where the piece begins. */
  start = 0;
  #full: Buffer[] = [];
  /** Octets of the block before this have been taken. */
  #taken = 0;

  /** Begins a piece. */
  begin(): void {
    this.start = this.at;
  }

  /** Makes room for so many more octets. */
  reserve(octets: number): void {
    if (this.at + octets <= this.bytes.length) return;
    const used = this.at - this.start;
    const wanted = Math.min(maxBlockBytes, Math.max(firstBlockBytes, this.bytes.length * growth));
    const block = Buffer.allocUnsafe(Math.max(wanted, (used + octets) * 2));
    this.bytes.copy(block, 0, this.start, this.at);
    if (this.start > this.#taken) this.#full.push(this.bytes.subarray(this.#taken, this.start));
    this.#taken = 0;
    this.bytes = block;
    this.start = 0;
    this.at = used;
  }

  octet(code: number): void {
    this.reserve(1);
    this.bytes[this.at] = code;
    this.at += 1;
  }

  /** @param text latin1 */
  text(text: string): void {
    const { length } = text;
    this.reserve(length);
    this.at = length <= shortText ? putLatin1(this.bytes, this.at, text, length) : this.at + this.bytes.write(text, this.at, 'latin1');
  }

  decimal(value: number): void {
    this.reserve(16);
    this.at = putDecimal(this.bytes, this.at, value);
  }

  copy(source: Buffer, from: number, to: number): void {
    this.reserve(to - from);
    this.at += source.copy(this.bytes, this.at, from, to);
  }

  /** Octets that `take` would give. */
  get waitingBytes(): number {
    let total = this.at - this.#taken;
    for (const { length } of this.#full) total += length;
    return total;
  }

  /** What has been written since the last call; the octets are never changed afterwards. */
  take(): Buffer[] {
    const parts = this.#full;
    this.#full = [];
    if (this.at > this.#taken) parts.push(this.bytes.subarray(this.#taken, this.at));
    this.#taken = this.at;
    this.start = this.at;
    return parts;
  }
}
