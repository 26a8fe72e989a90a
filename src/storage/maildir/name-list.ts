// File names as octets, one behind the other: the listing of a folder with a million files is some blocks of memory, not a million strings.
import { Buffer } from 'node:buffer';
import { putLatin1 } from '#util/put-text.js';

/** A name lies in one block. */
const blockBits = 20;
const blockBytes = 1 << blockBits;
const blockMask = blockBytes - 1;
const firstBlockBytes = 4096;
/** Longer than the name of any file. */
const maxNameBytes = 1024;
const firstNames = 64;

export class NameList {
  length = 0;
  readonly #blocks: Buffer[] = [Buffer.allocUnsafe(firstBlockBytes)];
  /** Octets used of the last block. */
  #used = 0;
  /** Of each name: number of its block times `blockBytes` and the place in it. */
  #starts = new Uint32Array(firstNames);
  #lengths = new Uint16Array(firstNames);

  static of(names: Iterable<string>): NameList {
    const list = new NameList();
    for (const name of names) list.push(name);
    return list;
  }

  /** @param name latin1, one character an octet */
  push(name: string): void {
    const { length } = name;
    if (length > maxNameBytes) throw new RangeError(`a file name of ${length} octets`);
    let block = this.#blocks[this.#blocks.length - 1] as Buffer;
    if (this.#used + length > block.length) {
      block = Buffer.allocUnsafeSlow(blockBytes);
      this.#blocks.push(block);
      this.#used = 0;
    }
    if (this.length === this.#lengths.length) this.#grow();
    this.#starts[this.length] = (this.#blocks.length - 1) * blockBytes + this.#used;
    this.#lengths[this.length] = length;
    this.#used = putLatin1(block, this.#used, name, length);
    this.length += 1;
  }

  /** @param index below `length` */
  at(index: number): string {
    const start = this.#starts[index] as number;
    const place = start & blockMask;
    return this.#blockOf(start).toString('latin1', place, place + (this.#lengths[index] as number));
  }

  /** Copies the first `length` octets of a name. */
  copyTo(index: number, target: Buffer, at: number, length: number): void {
    const start = this.#starts[index] as number;
    const place = start & blockMask;
    this.#blockOf(start).copy(target, at, place, place + length);
  }

  /** Not a message. */
  isHidden(index: number): boolean {
    const start = this.#starts[index] as number;
    return this.#blockOf(start)[start & blockMask] === 0x2e;
  }

  #blockOf(start: number): Buffer {
    return this.#blocks[start >>> blockBits] as Buffer;
  }

  #grow(): void {
    const starts = new Uint32Array(this.length * 2);
    starts.set(this.#starts);
    this.#starts = starts;
    const lengths = new Uint16Array(this.length * 2);
    lengths.set(this.#lengths);
    this.#lengths = lengths;
  }
}
