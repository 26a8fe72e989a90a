// Reading a small message file at once, in the event loop: some 20 microseconds when the kernel has it in memory, where four trips through the thread
// pool take ten times that.
//
// A read leaves the file's access time as it is where the kernel allows that (the file is this process's own): writing it down would change the
// inode of each message that is read for the first time, which costs as much as the reading, and waits while the journal is busy.
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { errnoOf } from '#util/coded-error.js';
import { SlowWatch } from '#util/slow-watch.js';
import { type FileTimes, NativeFiles } from './native-files.js';

/** Two read-ahead windows of Linux: one disk access at most. */
export const maxQuickBytes = 64 * 1024;
/** The C library is worth loading when a process has read so many. */
const fewReads = 50;
const plainFlags = constants.O_RDONLY;
/** Only Linux has O_NOATIME. */
const quietFlags = plainFlags | ((constants as { readonly O_NOATIME?: number }).O_NOATIME ?? 0);

/** Shared by all folders: nobody keeps what was read beyond one turn of the event loop. */
let peeked: Buffer | undefined;
let peeks = 0;
let native: NativeFiles | undefined;

/** One for each folder: folders may be on different storage, and belong to others. */
export class QuickReads {
  readonly storage: SlowWatch;
  #flags = quietFlags;

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
    return this.storage.run(() => this.#readWhole(path, size, Buffer.allocUnsafe(size + 1)));
  }

  /** The same for a moment: the octets are good until the next call. @param times filled in */
  peek(path: string | Buffer, size: number, times?: FileTimes): Buffer | undefined {
    if (size > maxQuickBytes || this.storage.isPaused) return undefined;
    return this.storage.run(() => this.#readWhole(path, size, peekBuffer(), times));
  }

  /** What makes many peeks cheaper, once there are many: write a path to it, then call `peekNative`. */
  get native(): NativeFiles | undefined {
    peeks += 1;
    if (peeks === fewReads) native = NativeFiles.load();
    return native;
  }

  /** The same at once, for who knows that there are many. */
  get nativeForMany(): NativeFiles | undefined {
    if (peeks < fewReads) {
      peeks = fewReads;
      native = NativeFiles.load();
    }
    return native;
  }

  /** `peek` of the file that `files.path` names. @returns undefined also when it cannot be opened or read */
  peekNative(files: NativeFiles, size: number, times?: FileTimes): Buffer | undefined {
    if (size > maxQuickBytes || this.storage.isPaused) return undefined;
    const buffer = peekBuffer();
    return this.readNative(files, buffer, size + 1, times) === size ? buffer.subarray(0, size) : undefined;
  }

  /** The first octets of the file that `files.path` names; not while storage is slow. @returns how many; -1 when it cannot be opened or read */
  readNative(files: NativeFiles, into: Buffer, length: number, times?: FileTimes): number {
    const { storage } = this;
    const startedAt = storage.begin();
    let count = files.read(this.#flags, into, length, times);
    if (count < 0 && this.#flags !== plainFlags) {
      count = files.read(plainFlags, into, length, times);
      if (count >= 0) this.#flags = plainFlags;
    }
    storage.end(startedAt);
    return count;
  }

  /** @param buffer one octet more than `size`, to see a file that has grown */
  #readWhole(path: string | Buffer, size: number, buffer: Buffer, times?: FileTimes): Buffer | undefined {
    const fd = this.#open(path);
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

  #open(path: string | Buffer): number {
    try {
      return openSync(path, this.#flags);
    } catch (error) {
      // The file is somebody else's, who lets us read it.
      if (errnoOf(error) !== 'EPERM' || this.#flags === plainFlags) throw error;
      const fd = openSync(path, plainFlags);
      this.#flags = plainFlags;
      return fd;
    }
  }
}

function peekBuffer(): Buffer {
  peeked ??= Buffer.allocUnsafeSlow(maxQuickBytes + 1);
  return peeked;
}
