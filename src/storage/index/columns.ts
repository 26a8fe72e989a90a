// One mailbox's messages as columns: a typed array per field, a row per message, rows ascending by UID.
//
// Rows are only ever appended; an expunged message's row is marked dead and stays until no view needs it (`compact`). File names lie in one
// byte heap, so that a million messages cost no JavaScript objects. 50 octets a row and the names.

import { putLatin1 } from '#util/put-text.js';

/** Value of a size or date that is not known yet. */
export const unknown32 = 0xffffffff;

export const rowBit = {
  /** Expunged, but some view still counts it. */
  dead: 1,
  /** The file is in new/, without a suffix. */
  inNew: 2,
  /** Line ends of the file are as the client shall see them: no conversion on reading. */
  asStored: 4,
} as const;

export interface NewRow {
  readonly uid: number;
  readonly flags: number;
  readonly bits: number;
  readonly keywordSet: number;
  readonly suffix: number;
  readonly modSeq: number;
  readonly saveDate: number;
  readonly internalDate: number;
}

const firstCapacity = 64;

export class Columns {
  /** Rows in use, dead ones included. */
  length = 0;
  capacity = 0;
  uid = new Uint32Array(0);
  modSeq = new Float64Array(0);
  /** `flagBit` without `recent`. */
  flags = new Uint8Array(0);
  /** `rowBit`. */
  bits = new Uint8Array(0);
  /** Index of an interned keyword set. */
  keywordSet = new Uint32Array(0);
  /** Index of an interned file-name suffix (`:2,S`). */
  suffix = new Uint32Array(0);
  /** Where extension and base name begin in the heap. */
  nameStart = new Uint32Array(0);
  nameLength = new Uint16Array(0);
  /** Octets of the uidlist's extension fields (`G...`), which precede the name in the heap. */
  extensionLength = new Uint16Array(0);
  /** Octets of the file; `unknown32`. */
  size = new Uint32Array(0);
  /** Octets as the client sees the message (RFC822.SIZE); `unknown32`. */
  virtualSize = new Uint32Array(0);
  /** Seconds since the epoch; `unknown32`. */
  internalDate = new Uint32Array(0);
  saveDate = new Uint32Array(0);
  /** Position of the message's last record in the cache file; 0: none. */
  cacheOffset = new Uint32Array(0);
  heap = Buffer.alloc(0);
  heapLength = 0;

  reserve(rows: number, heapOctets: number): void {
    if (rows > this.capacity) this.#resize(rows);
    if (heapOctets > this.heap.length) {
      const heap = Buffer.allocUnsafeSlow(heapOctets);
      heap.set(this.heap.subarray(0, this.heapLength));
      this.heap = heap;
    }
  }

  /** @param record extension and base name, latin1; `extensionLength` octets of it are the extension */
  add(row: NewRow, record: Uint8Array, extensionLength: number): number {
    const index = this.#addRow(row);
    this.setName(index, record, extensionLength);
    return index;
  }

  /** The same for a row whose base name the caller puts into the heap. @returns where */
  addFile(row: NewRow, extension: string, baseLength: number): number {
    const index = this.#addRow(row);
    const start = this.heapLength;
    const nameStart = start + extension.length;
    this.#reserveHeap(nameStart + baseLength);
    putLatin1(this.heap, start, extension, extension.length);
    this.heapLength = nameStart + baseLength;
    this.nameStart[index] = start;
    this.extensionLength[index] = extension.length;
    this.nameLength[index] = baseLength;
    return nameStart;
  }

  #addRow(row: NewRow): number {
    const index = this.length;
    if (index === this.capacity) this.#resize(Math.max(firstCapacity, index + (index >> (index > 100_000 ? 3 : 1))));
    this.length = index + 1;
    this.uid[index] = row.uid;
    this.modSeq[index] = row.modSeq;
    this.flags[index] = row.flags;
    this.bits[index] = row.bits;
    this.keywordSet[index] = row.keywordSet;
    this.suffix[index] = row.suffix;
    this.size[index] = unknown32;
    this.virtualSize[index] = unknown32;
    this.internalDate[index] = row.internalDate;
    this.saveDate[index] = row.saveDate;
    this.cacheOffset[index] = 0;
    return index;
  }

  setName(index: number, record: Uint8Array, extensionLength: number): void {
    const start = this.heapLength;
    const end = start + record.length;
    this.#reserveHeap(end);
    this.heap.set(record, start);
    this.heapLength = end;
    this.nameStart[index] = start;
    this.extensionLength[index] = extensionLength;
    this.nameLength[index] = record.length - extensionLength;
  }

  #reserveHeap(end: number): void {
    if (end > this.heap.length) this.reserve(0, Math.max(4096, end + (end >> (end > 4_000_000 ? 3 : 1))));
  }

  /** Base name, one character an octet. */
  nameOf(row: number): string {
    const start = (this.nameStart[row] as number) + (this.extensionLength[row] as number);
    return this.heap.toString('latin1', start, start + (this.nameLength[row] as number));
  }

  extensionOf(row: number): string {
    const start = this.nameStart[row] as number;
    const length = this.extensionLength[row] as number;
    return length === 0 ? '' : this.heap.toString('latin1', start, start + length);
  }

  isDead(row: number): boolean {
    return ((this.bits[row] as number) & rowBit.dead) !== 0;
  }

  /** Row of the first message with a UID of at least `uid`; `length` when there is none. */
  lowerBound(uid: number): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.uid[middle] as number) < uid) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Row of a UID, dead or alive; -1. */
  rowOf(uid: number): number {
    const row = this.lowerBound(uid);
    return row < this.length && this.uid[row] === uid ? row : -1;
  }

  /** Drops dead rows and unused heap. Row numbers change. */
  compact(): void {
    const heap = Buffer.allocUnsafeSlow(this.#liveHeapOctets());
    let to = 0;
    let heapLength = 0;
    for (let from = 0; from < this.length; from += 1) {
      if (((this.bits[from] as number) & rowBit.dead) !== 0) continue;
      const start = this.nameStart[from] as number;
      const octets = (this.nameLength[from] as number) + (this.extensionLength[from] as number);
      this.heap.copy(heap, heapLength, start, start + octets);
      this.#moveRow(from, to);
      this.nameStart[to] = heapLength;
      heapLength += octets;
      to += 1;
    }
    this.length = to;
    this.heap = heap;
    this.heapLength = heapLength;
  }

  clear(): void {
    this.length = 0;
    this.heapLength = 0;
  }

  #liveHeapOctets(): number {
    let octets = 0;
    for (let row = 0; row < this.length; row += 1) {
      if (((this.bits[row] as number) & rowBit.dead) === 0)
        octets += (this.nameLength[row] as number) + (this.extensionLength[row] as number);
    }
    return octets;
  }

  #moveRow(from: number, to: number): void {
    if (from === to) return;
    this.uid[to] = this.uid[from] as number;
    this.modSeq[to] = this.modSeq[from] as number;
    this.flags[to] = this.flags[from] as number;
    this.bits[to] = this.bits[from] as number;
    this.keywordSet[to] = this.keywordSet[from] as number;
    this.suffix[to] = this.suffix[from] as number;
    this.nameLength[to] = this.nameLength[from] as number;
    this.extensionLength[to] = this.extensionLength[from] as number;
    this.size[to] = this.size[from] as number;
    this.virtualSize[to] = this.virtualSize[from] as number;
    this.internalDate[to] = this.internalDate[from] as number;
    this.saveDate[to] = this.saveDate[from] as number;
    this.cacheOffset[to] = this.cacheOffset[from] as number;
  }

  #resize(capacity: number): void {
    this.uid = grownU32(this.uid, capacity);
    const modSeq = new Float64Array(capacity);
    modSeq.set(this.modSeq);
    this.modSeq = modSeq;
    this.flags = grownU8(this.flags, capacity);
    this.bits = grownU8(this.bits, capacity);
    this.keywordSet = grownU32(this.keywordSet, capacity);
    this.suffix = grownU32(this.suffix, capacity);
    this.nameStart = grownU32(this.nameStart, capacity);
    this.nameLength = grownU16(this.nameLength, capacity);
    this.extensionLength = grownU16(this.extensionLength, capacity);
    this.size = grownU32(this.size, capacity);
    this.virtualSize = grownU32(this.virtualSize, capacity);
    this.internalDate = grownU32(this.internalDate, capacity);
    this.saveDate = grownU32(this.saveDate, capacity);
    this.cacheOffset = grownU32(this.cacheOffset, capacity);
    this.capacity = capacity;
  }
}

function grownU32(old: Uint32Array, capacity: number): Uint32Array<ArrayBuffer> {
  const grown = new Uint32Array(capacity);
  grown.set(old);
  return grown;
}

function grownU16(old: Uint16Array, capacity: number): Uint16Array<ArrayBuffer> {
  const grown = new Uint16Array(capacity);
  grown.set(old);
  return grown;
}

function grownU8(old: Uint8Array, capacity: number): Uint8Array<ArrayBuffer> {
  const grown = new Uint8Array(capacity);
  grown.set(old);
  return grown;
}
