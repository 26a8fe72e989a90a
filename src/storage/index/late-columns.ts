// The columns, and the file names, that a mailbox can be opened and listed by flags without. They are four fifths of a snapshot.

/** In the order in which they lie in the file. */
export const lateNames = [
  'modSeq',
  'suffix',
  'nameStart',
  'size',
  'virtualSize',
  'internalDate',
  'saveDate',
  'cacheOffset',
  'nameLength',
  'extensionLength',
] as const;

/** What they mean is told in columns.ts. */
export class LateColumns {
  modSeq = new Float64Array(0);
  suffix = new Uint32Array(0);
  nameStart = new Uint32Array(0);
  nameLength = new Uint16Array(0);
  extensionLength = new Uint16Array(0);
  size = new Uint32Array(0);
  virtualSize = new Uint32Array(0);
  internalDate = new Uint32Array(0);
  saveDate = new Uint32Array(0);
  cacheOffset = new Uint32Array(0);
  heap: Buffer<ArrayBuffer> = Buffer.alloc(0);

  /** What is there stays; memory that has not been written to is not touched by it, and costs nothing. */
  grow(rows: number): void {
    this.modSeq = grown(this.modSeq, new Float64Array(rows));
    this.suffix = grown(this.suffix, new Uint32Array(rows));
    this.nameStart = grown(this.nameStart, new Uint32Array(rows));
    this.nameLength = grown(this.nameLength, new Uint16Array(rows));
    this.extensionLength = grown(this.extensionLength, new Uint16Array(rows));
    this.size = grown(this.size, new Uint32Array(rows));
    this.virtualSize = grown(this.virtualSize, new Uint32Array(rows));
    this.internalDate = grown(this.internalDate, new Uint32Array(rows));
    this.saveDate = grown(this.saveDate, new Uint32Array(rows));
    this.cacheOffset = grown(this.cacheOffset, new Uint32Array(rows));
  }
}

function grown<T extends { set(from: T): void }>(old: T, fresh: T): T {
  fresh.set(old);
  return fresh;
}

/** Where late columns can be read: one and the same file for all of them, whatever takes its name meanwhile. */
export interface LateSource {
  readonly rows: number;
  readonly heapBytes: number;
  /** @returns undefined when they cannot be read or their checksum is wrong, or after `close`. Never fails. */
  read(): Promise<LateColumns | undefined>;
  /**
   * The same at once.
   * @throws StorageError `unavailable`
   */
  readNow(): LateColumns;
  close(): void;
}
