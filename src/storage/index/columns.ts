// One mailbox's messages as columns: a typed array per field, a row per message, rows ascending by UID.
//
// Rows are only ever appended; an expunged message's row is marked dead and stays until no view needs it (`compact`). File names lie in one
// byte heap, so that a million messages cost no JavaScript objects. 50 octets a row and the names.
//
// Most of them are read from the snapshot after a client has its mailbox (late-columns.ts): whoever needs one of these waits for `complete`, and where
// nobody has, the first access reads them at once.

import { putLatin1 } from '#util/put-text.js';
import { LateColumns, type LateSource, lateNames } from './late-columns.js';

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

/** What a mailbox is opened with. */
export type EarlyColumns = Pick<Columns, 'uid' | 'keywordSet' | 'flags' | 'bits'>;

const firstCapacity = 64;

export class Columns {
  /** Rows in use, dead ones included. */
  length = 0;
  capacity = 0;
  uid = new Uint32Array(0);
  /** `flagBit` without `recent`. */
  flags = new Uint8Array(0);
  /** `rowBit`. */
  bits = new Uint8Array(0);
  /** Index of an interned keyword set. */
  keywordSet = new Uint32Array(0);
  heapLength = 0;
  #late = new LateColumns();
  /** Where the late columns are until they are read. */
  #source: LateSource | undefined;
  /** Changes of rows that the source has, as they came: number of the column, row, value. */
  #changes: number[] = [];
  #completing: Promise<boolean> | undefined;

  get modSeq(): Float64Array<ArrayBuffer> {
    return this.#whole.modSeq;
  }
  /** Index of an interned file-name suffix (`:2,S`). */
  get suffix(): Uint32Array<ArrayBuffer> {
    return this.#whole.suffix;
  }
  /** Where extension and base name begin in the heap. */
  get nameStart(): Uint32Array<ArrayBuffer> {
    return this.#whole.nameStart;
  }
  get nameLength(): Uint16Array<ArrayBuffer> {
    return this.#whole.nameLength;
  }
  /** Octets of the uidlist's extension fields (`G...`), which precede the name in the heap. */
  get extensionLength(): Uint16Array<ArrayBuffer> {
    return this.#whole.extensionLength;
  }
  /** Octets of the file; `unknown32`. */
  get size(): Uint32Array<ArrayBuffer> {
    return this.#whole.size;
  }
  /** Octets as the client sees the message (RFC822.SIZE); `unknown32`. */
  get virtualSize(): Uint32Array<ArrayBuffer> {
    return this.#whole.virtualSize;
  }
  /** Seconds since the epoch; `unknown32`. */
  get internalDate(): Uint32Array<ArrayBuffer> {
    return this.#whole.internalDate;
  }
  get saveDate(): Uint32Array<ArrayBuffer> {
    return this.#whole.saveDate;
  }
  /** Position of the message's last record in the cache file; 0: none. */
  get cacheOffset(): Uint32Array<ArrayBuffer> {
    return this.#whole.cacheOffset;
  }
  get heap(): Buffer<ArrayBuffer> {
    return this.#whole.heap;
  }

  /** Nothing has to be read any more. */
  get isWhole(): boolean {
    return this.#source === undefined;
  }

  /** Takes the columns of a snapshot; of the late ones those that are read, or where they are. */
  take(early: EarlyColumns, late: LateColumns | LateSource): void {
    this.uid = early.uid;
    this.keywordSet = early.keywordSet;
    this.flags = early.flags;
    this.bits = early.bits;
    this.length = early.uid.length;
    this.capacity = early.uid.length;
    if (late instanceof LateColumns) this.#late = late;
    else this.#source = late;
    this.heapLength = late instanceof LateColumns ? late.heap.length : late.heapBytes;
  }

  /** Reads what has not been read. @returns false when it cannot be read, or its checksum is wrong, or it was given up */
  async complete(): Promise<boolean> {
    const source = this.#source;
    if (source === undefined) return true;
    this.#completing ??= source.read().then((read) => {
      this.#completing = undefined;
      // Somebody could not wait, or all messages were forgotten.
      if (this.#source !== source) return true;
      if (read === undefined) return false;
      this.#install(read);
      return true;
    });
    return this.#completing;
  }

  /** Nobody is going to ask for the late columns. */
  giveUp(): void {
    this.#source?.close();
  }

  get #whole(): LateColumns {
    if (this.#source !== undefined) this.#install(this.#source.readNow());
    return this.#late;
  }

  #install(read: LateColumns): void {
    const own = this.#late;
    // Rows that were added meanwhile lie behind those of the source.
    if (own.suffix.length === 0) this.#late = read;
    else for (const name of lateNames) own[name].set(read[name]);
    if (own.heap.length > 0) own.heap.set(read.heap);
    this.#late.heap = own.heap.length > 0 ? own.heap : read.heap;
    this.#source?.close();
    this.#source = undefined;
    const changes = this.#changes;
    this.#changes = [];
    for (let at = 0; at < changes.length; at += 3) {
      const name = lateNames[changes[at] as number] as (typeof lateNames)[number];
      this.#late[name][changes[at + 1] as number] = changes[at + 2] as number;
    }
  }

  /** Changes a value without need of the others. */
  set(name: (typeof lateNames)[number], row: number, value: number): void {
    if (this.#isUnread(row)) this.#changes.push(lateNames.indexOf(name), row, value);
    else this.#late[name][row] = value;
  }

  setModSeq(row: number, modSeq: number): void {
    if (this.#isUnread(row)) this.set('modSeq', row, modSeq);
    else this.#late.modSeq[row] = modSeq;
  }

  setSuffix(row: number, suffix: number): void {
    if (this.#isUnread(row)) this.set('suffix', row, suffix);
    else this.#late.suffix[row] = suffix;
  }

  #isUnread(row: number): boolean {
    return this.#source !== undefined && row < this.#source.rows;
  }

  reserve(rows: number, heapOctets: number): void {
    if (rows > this.capacity) this.#resize(rows);
    const late = this.#late;
    if (heapOctets > late.heap.length) {
      const heap = Buffer.allocUnsafeSlow(heapOctets);
      heap.set(late.heap.subarray(0, this.heapLength));
      late.heap = heap;
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
    const late = this.#late;
    putLatin1(late.heap, start, extension, extension.length);
    this.heapLength = nameStart + baseLength;
    late.nameStart[index] = start;
    late.extensionLength[index] = extension.length;
    late.nameLength[index] = baseLength;
    return nameStart;
  }

  #addRow(row: NewRow): number {
    const index = this.length;
    if (index === this.capacity) this.#resize(Math.max(firstCapacity, index + (index >> (index > 100_000 ? 3 : 1))));
    this.length = index + 1;
    this.uid[index] = row.uid;
    this.flags[index] = row.flags;
    this.bits[index] = row.bits;
    this.keywordSet[index] = row.keywordSet;
    const late = this.#late;
    late.modSeq[index] = row.modSeq;
    late.suffix[index] = row.suffix;
    late.size[index] = unknown32;
    late.virtualSize[index] = unknown32;
    late.internalDate[index] = row.internalDate;
    late.saveDate[index] = row.saveDate;
    late.cacheOffset[index] = 0;
    return index;
  }

  setName(index: number, record: Uint8Array, extensionLength: number): void {
    const start = this.heapLength;
    const end = start + record.length;
    this.#reserveHeap(end);
    this.#late.heap.set(record, start);
    this.heapLength = end;
    this.set('nameStart', index, start);
    this.set('extensionLength', index, extensionLength);
    this.set('nameLength', index, record.length - extensionLength);
  }

  #reserveHeap(end: number): void {
    if (end > this.#late.heap.length) this.reserve(0, Math.max(4096, end + (end >> (end > 4_000_000 ? 3 : 1))));
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
    const late = this.#whole;
    const heap = Buffer.allocUnsafeSlow(this.#liveHeapOctets());
    let to = 0;
    let heapLength = 0;
    for (let from = 0; from < this.length; from += 1) {
      if (((this.bits[from] as number) & rowBit.dead) !== 0) continue;
      const start = late.nameStart[from] as number;
      const octets = (late.nameLength[from] as number) + (late.extensionLength[from] as number);
      late.heap.copy(heap, heapLength, start, start + octets);
      this.#moveRow(from, to);
      late.nameStart[to] = heapLength;
      heapLength += octets;
      to += 1;
    }
    this.length = to;
    late.heap = heap;
    this.heapLength = heapLength;
  }

  clear(): void {
    if (this.#source !== undefined) this.#forgetSource();
    this.length = 0;
    this.heapLength = 0;
  }

  #forgetSource(): void {
    this.#source?.close();
    this.#source = undefined;
    this.#changes = [];
    this.#late = new LateColumns();
    this.uid = new Uint32Array(0);
    this.keywordSet = new Uint32Array(0);
    this.flags = new Uint8Array(0);
    this.bits = new Uint8Array(0);
    this.capacity = 0;
  }

  #liveHeapOctets(): number {
    const { nameLength, extensionLength } = this.#late;
    let octets = 0;
    for (let row = 0; row < this.length; row += 1) {
      if (((this.bits[row] as number) & rowBit.dead) === 0) octets += (nameLength[row] as number) + (extensionLength[row] as number);
    }
    return octets;
  }

  #moveRow(from: number, to: number): void {
    if (from === to) return;
    this.uid[to] = this.uid[from] as number;
    this.flags[to] = this.flags[from] as number;
    this.bits[to] = this.bits[from] as number;
    this.keywordSet[to] = this.keywordSet[from] as number;
    const late = this.#late;
    late.modSeq[to] = late.modSeq[from] as number;
    late.suffix[to] = late.suffix[from] as number;
    late.nameLength[to] = late.nameLength[from] as number;
    late.extensionLength[to] = late.extensionLength[from] as number;
    late.size[to] = late.size[from] as number;
    late.virtualSize[to] = late.virtualSize[from] as number;
    late.internalDate[to] = late.internalDate[from] as number;
    late.saveDate[to] = late.saveDate[from] as number;
    late.cacheOffset[to] = late.cacheOffset[from] as number;
  }

  #resize(capacity: number): void {
    this.uid = grownU32(this.uid, capacity);
    this.flags = grownU8(this.flags, capacity);
    this.bits = grownU8(this.bits, capacity);
    this.keywordSet = grownU32(this.keywordSet, capacity);
    this.#late.grow(capacity);
    this.capacity = capacity;
  }
}

function grownU32(old: Uint32Array, capacity: number): Uint32Array<ArrayBuffer> {
  const grown = new Uint32Array(capacity);
  grown.set(old);
  return grown;
}

function grownU8(old: Uint8Array, capacity: number): Uint8Array<ArrayBuffer> {
  const grown = new Uint8Array(capacity);
  grown.set(old);
  return grown;
}
