// Reading a small message file at once, in the event loop: some 20 microseconds when the kernel has it in memory, where four trips through the thread
// pool take ten times that.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { SlowWatch } from '#util/slow-watch.js';

/** Two read-ahead windows of Linux: one disk access at most. */
export const maxQuickBytes = 64 * 1024;

/** Of a file that was read, ms since the epoch. */
export interface FileTimes {
  mtimeMs: number;
  ctimeMs: number;
}

/** One for each folder: folders may be on different storage. */
export class QuickReads {
  readonly storage: SlowWatch;

  constructor(storage = new SlowWatch()) {
    this.storage = storage;
  }

  /**
   * The whole file, which is expected to have `size` octets.
   * @returns undefined when it is to be read the other way: it is large, has another size, or storage is slow
   * @throws system errors of open and read
   */
  read(path: string | Buffer, size: number): Buffer | undefined {
    if (size > maxQuickBytes || this.storage.isPaused) return undefined;
    return this.storage.run(() => readWhole(path, size, Buffer.allocUnsafe(size + 1)));
  }

  /** The same for a moment: the octets are good until the next call. @param times filled in */
  peek(path: string | Buffer, size: number, times?: FileTimes): Buffer | undefined {
    if (size > maxQuickBytes || this.storage.isPaused) return undefined;
    peeked ??= Buffer.allocUnsafeSlow(maxQuickBytes + 1);
    const buffer = peeked;
    return this.storage.run(() => readWhole(path, size, buffer, times));
  }
}

/** Shared by all folders: nobody keeps it beyond one turn of the event loop. */
let peeked: Buffer | undefined;

/** @param buffer one octet more than `size`, to see a file that has grown */
function readWhole(path: string | Buffer, size: number, buffer: Buffer, times?: FileTimes): Buffer | undefined {
  const fd = openSync(path, 'r');
  try {
    if (times !== undefined) {
      const stat = fstatSync(fd);
      times.mtimeMs = stat.mtimeMs;
      times.ctimeMs = stat.ctimeMs;
    }
    return readSync(fd, buffer, 0, size + 1, 0) === size ? buffer.subarray(0, size) : undefined;
  } finally {
    closeSync(fd);
  }
}
