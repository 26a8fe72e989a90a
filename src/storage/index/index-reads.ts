// Opening and reading the files of an index: at once where the kernel has them in memory, which takes a tenth of a trip through the thread pool; in the
// thread pool where storage is slow (util/slow-watch.ts).
import { close, fstat, fstatSync, open, openSync, read, type Stats } from 'node:fs';
import { promisify } from 'node:util';
import { errnoOf } from '#util/coded-error.js';
import type { SlowWatch } from '#util/slow-watch.js';
import { readRange } from './log-reader.js';

const openFile = promisify(open);
const statFile = promisify(fstat);
const readFile = promisify(read);
export const closeFile = promisify(close);

/** Half a millisecond, memory to put it in included. */
const maxQuickBytes = 1024 * 1024;
/** A call that takes longer has waited for storage, or the processor is taken: what follows would, too. */
const quickMs = 1;

/** Less than asked for where the file ends. Memory of its own. */
export async function readFrom(fd: number, from: number, length: number): Promise<Buffer<ArrayBuffer>> {
  const bytes = Buffer.allocUnsafeSlow(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await readFile(fd, bytes, filled, length - filled, from + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}

/** Of one opening of a mailbox. */
export class IndexReads {
  readonly #storage: SlowWatch | undefined;
  #isQuick = true;

  /** @param storage undefined: always in the thread pool */
  constructor(storage: SlowWatch | undefined) {
    this.#storage = storage;
  }

  /** @returns undefined when it is not there, or not ours to open. @throws system errors */
  async open(path: string, flags: number): Promise<number | undefined> {
    try {
      return await this.#quickly(
        () => openSync(path, flags),
        () => openFile(path, flags),
      );
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === 'ENOENT' || errno === 'EACCES' || errno === 'EROFS' || errno === 'ENOTDIR') return undefined;
      throw error;
    }
  }

  async stat(fd: number): Promise<Stats> {
    return this.#quickly(
      () => fstatSync(fd),
      () => statFile(fd),
    );
  }

  /** Less than asked for where the file ends. Memory of its own. */
  async range(fd: number, from: number, to: number): Promise<Buffer<ArrayBuffer>> {
    const slowly = (): Promise<Buffer<ArrayBuffer>> => readFrom(fd, from, Math.max(0, to - from));
    return to - from > maxQuickBytes ? slowly() : this.#quickly(() => readRange(fd, from, to), slowly);
  }

  #quickly<T>(atOnce: () => T, otherwise: () => Promise<T>): Promise<T> | T {
    if (this.#storage === undefined || !this.#isQuick || this.#storage.isPaused) return otherwise();
    const startedAt = performance.now();
    try {
      return this.#storage.run(atOnce);
    } finally {
      this.#isQuick = performance.now() - startedAt <= quickMs;
    }
  }
}
