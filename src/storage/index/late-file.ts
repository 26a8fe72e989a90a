// Reading the late columns (late-columns.ts) out of a snapshot that has been opened.
import { closeSync } from 'node:fs';
import { crc32 } from '#util/crc32.js';
import { Slicer } from '#util/deadline.js';
import { StorageError } from '../errors.js';
import { readFrom } from './index-reads.js';
import type { LateColumns, LateSource } from './late-columns.js';
import { readRange } from './log-reader.js';
import { lateColumnsOf, placesOf, type SnapshotHeader, snapshotHeaderBytes } from './snapshot.js';

/** Octets whose checksum is worked out between two looks at the clock. */
const crcSlice = 1024 * 1024;
const sliceMs = 4;

/** Three ranges of the file. */
type Parts<T> = readonly [modSeqs: T, others: T, heap: T];

export class LateFile implements LateSource {
  readonly rows: number;
  readonly heapBytes: number;
  readonly #fd: number;
  readonly #ranges: Parts<readonly [from: number, to: number]>;
  readonly #crcs: { readonly late: number; readonly heap: number };
  #isClosed = false;
  #isReading = false;

  /** @param fd of the snapshot; closed by `close` */
  constructor(fd: number, header: SnapshotHeader) {
    const { rows, heapBytes } = header;
    this.#fd = fd;
    this.rows = rows;
    this.heapBytes = heapBytes;
    const columnsAt = snapshotHeaderBytes + header.textBytes;
    const { uids, keywordSets, flags, end } = placesOf(rows);
    this.#ranges = [
      [columnsAt, columnsAt + uids],
      [columnsAt + keywordSets, columnsAt + flags],
      [columnsAt + end, columnsAt + end + heapBytes],
    ];
    this.#crcs = { late: header.partCrcs?.late ?? 0, heap: header.heapCrc };
  }

  async read(): Promise<LateColumns | undefined> {
    if (this.#isClosed) return undefined;
    this.#isReading = true;
    try {
      const [modSeqs, others, heap] = this.#ranges;
      const parts = [await this.#part(modSeqs), await this.#part(others), await this.#part(heap)] as const;
      const slicer = new Slicer(sliceMs);
      const late = await slicedCrc32(parts[1], await slicedCrc32(parts[0], 0, slicer), slicer);
      return this.#checked(parts, late, await slicedCrc32(parts[2], 0, slicer));
    } catch {
      // Whoever reads the file anew is told what is wrong with it.
      return undefined;
    } finally {
      this.#isReading = false;
      if (this.#isClosed) closeSync(this.#fd);
    }
  }

  readNow(): LateColumns {
    const read = this.#isClosed ? undefined : this.#readNow();
    if (read === undefined) throw new StorageError('unavailable', 'part of the index cannot be read');
    return read;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // The number of a descriptor that the thread pool is at work on must not become that of another file.
    if (!this.#isReading) closeSync(this.#fd);
  }

  async #part([from, to]: readonly [number, number]): Promise<Buffer<ArrayBuffer>> {
    return this.#isClosed ? Buffer.alloc(0) : readFrom(this.#fd, from, to - from);
  }

  #readNow(): LateColumns | undefined {
    const [modSeqs, others, heap] = this.#ranges;
    const parts = [readRange(this.#fd, ...modSeqs), readRange(this.#fd, ...others), readRange(this.#fd, ...heap)] as const;
    return this.#checked(parts, crc32(parts[1], crc32(parts[0])), crc32(parts[2]));
  }

  #checked(parts: Parts<Buffer<ArrayBuffer>>, lateCrc: number, heapCrc: number): LateColumns | undefined {
    const isWhole = parts.every((part, index) => part.length === lengthOf(this.#ranges[index]));
    if (!isWhole || lateCrc !== this.#crcs.late || heapCrc !== this.#crcs.heap) return undefined;
    return lateColumnsOf(this.rows, ...parts);
  }
}

function lengthOf(range: readonly [number, number] | undefined): number {
  return range === undefined ? 0 : range[1] - range[0];
}

async function slicedCrc32(bytes: Buffer, seed: number, slicer: Slicer): Promise<number> {
  let crc = seed;
  for (let at = 0; at < bytes.length; at += crcSlice) {
    if (slicer.isDue) await slicer.pause();
    crc = crc32(bytes.subarray(at, at + crcSlice), crc);
  }
  return crc;
}
