// Reading a small message file at once, in the event loop.
//
// Opening, reading and closing a file that the kernel has in memory takes some 20 microseconds; four trips through the thread pool take ten times
// that. How long it takes is watched: where a read was slow (a cold disk, a file server), all reads of this folder go through the thread pool again
// for a while, so that slow storage holds the event loop for one small read a second at most.
import { closeSync, openSync, readSync } from 'node:fs';

/** Two read-ahead windows of Linux: one disk access at most. */
export const maxQuickBytes = 64 * 1024;
/** A read from the page cache is far below this even on a busy machine. */
const slowMs = 2;
const pauseMs = 1000;

/** One for each folder: folders may be on different storage. */
export class QuickReads {
  #pausedUntil = 0;
  readonly #now: () => number;

  /** @param now milliseconds, never going back */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /**
   * The whole file, which is expected to have `size` octets.
   * @returns undefined when it is to be read the other way: it is large, has another size, or storage is slow
   * @throws system errors of open and read
   */
  read(path: string | Buffer, size: number): Buffer | undefined {
    if (size > maxQuickBytes) return undefined;
    const startedAt = this.#now();
    if (startedAt < this.#pausedUntil) return undefined;
    const fd = openSync(path, 'r');
    try {
      // One octet more, to see a file that has grown.
      const buffer = Buffer.allocUnsafeSlow(size + 1);
      return readSync(fd, buffer, 0, size + 1, 0) === size ? buffer.subarray(0, size) : undefined;
    } finally {
      closeSync(fd);
      const endedAt = this.#now();
      if (endedAt - startedAt > slowMs) this.#pausedUntil = endedAt + pauseMs;
    }
  }
}
