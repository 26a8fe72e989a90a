// The header fields of many cached messages one after the other, for searches: records are looked at where they lie in one window of the file,
// and no object is made for any of them. Layout: docs/index-format.md.

import { Buffer } from 'node:buffer';
import { cacheRecordHeaderBytes, cacheRecordLength, isIntactRecordAt, sectionKind } from './cache-record.js';
import type { IntactRange } from './intact-range.js';

const windowBytes = 128 * 1024;
const sectionHeaderBytes = 8;

/** Reads into the buffer, at once. @returns octets read; 0 where that would have to wait */
export type QuickRead = (into: Buffer, offset: number) => number;

/** Octets are good until the next `find`. */
export class CachedHeaders {
  readonly #read: QuickRead;
  readonly #trusted: IntactRange;
  readonly #window = Buffer.allocUnsafeSlow(windowBytes);
  /** Position of the window in the file. */
  #start = 0;
  #length = 0;
  /** Number of the list of names that the fields were chosen by. */
  list = 0;
  #from = 0;
  #to = 0;

  constructor(read: QuickRead, trusted: IntactRange) {
    this.#read = read;
    this.#trusted = trusted;
  }

  /** The header fields that were found. */
  get fields(): Buffer {
    return this.#window.subarray(this.#from, this.#to);
  }

  /** The same as latin1: a search looks at nothing else of most messages. */
  get text(): string {
    return this.#window.toString('latin1', this.#from, this.#to);
  }

  /**
   * Looks for the header fields in the record at this offset.
   * @returns false when they have to be looked for elsewhere: an earlier record has them, or this one is not whole, not intact or large
   */
  find(uid: number, offset: number): boolean {
    const window = this.#window;
    let at = offset - this.#start;
    let length = at < 0 ? 0 : lengthAt(window, at, this.#length);
    if (length === 0) {
      this.#start = offset;
      this.#length = this.#read(window, offset);
      at = 0;
      length = lengthAt(window, 0, this.#length);
      if (length === 0) return false;
    }
    const end = at + length;
    const isTrusted = offset >= this.#trusted.from && offset + length <= this.#trusted.to;
    if (u32(window, at + 8) !== uid || !(isTrusted || isIntactRecordAt(window, at, end))) return false;
    at += cacheRecordHeaderBytes;
    while (at + sectionHeaderBytes <= end) {
      const kind = (window[at] as number) | ((window[at + 1] as number) << 8);
      if (kind === 0) return false;
      const from = at + sectionHeaderBytes;
      const to = from + u32(window, at + 4);
      if (to > end) return false;
      if (kind === sectionKind.header) {
        this.list = (window[at + 2] as number) | ((window[at + 3] as number) << 8);
        this.#from = from;
        this.#to = to;
        return true;
      }
      at = to;
    }
    return false;
  }
}

/** 0 unless the whole record is in the window. */
function lengthAt(window: Buffer, at: number, end: number): number {
  if (at + cacheRecordHeaderBytes > end) return 0;
  const length = cacheRecordLength(window, at);
  return at + length > end ? 0 : length;
}

function u32(bytes: Buffer, at: number): number {
  return (
    ((bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16) | ((bytes[at + 3] as number) << 24)) >>> 0
  );
}
