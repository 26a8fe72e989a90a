// Reading a small message file at once, in the event loop: some 20 microseconds when the kernel has it in memory, where four trips through the thread
// pool take ten times that.
import { closeSync, openSync, readSync } from 'node:fs';
import { SlowWatch } from '#util/slow-watch.js';

/** Two read-ahead windows of Linux: one disk access at most. */
export const maxQuickBytes = 64 * 1024;

/** One for each folder: folders may be on different storage. */
export class QuickReads {
  readonly storage: SlowWatch;

  /** @param now milliseconds, never going back */
  constructor(now?: () => number) {
    this.storage = new SlowWatch(now);
  }

  /**
   * The whole file, which is expected to have `size` octets.
   * @returns undefined when it is to be read the other way: it is large, has another size, or storage is slow
   * @throws system errors of open and read
   */
  read(path: string | Buffer, size: number): Buffer | undefined {
    if (size > maxQuickBytes || this.storage.isPaused) return undefined;
    return this.storage.run(() => readWhole(path, size));
  }
}

function readWhole(path: string | Buffer, size: number): Buffer | undefined {
  const fd = openSync(path, 'r');
  try {
    // One octet more, to see a file that has grown.
    const buffer = Buffer.allocUnsafeSlow(size + 1);
    return readSync(fd, buffer, 0, size + 1, 0) === size ? buffer.subarray(0, size) : undefined;
  } finally {
    closeSync(fd);
  }
}
