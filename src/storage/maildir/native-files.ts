// Reading small files through the C library, for many in a row: open, statx, pread and close cost half of what they cost through node:fs, where each
// checks its arguments, makes a request object, and a Stats with four dates.
import { Buffer } from 'node:buffer';
import { type NativeFunction, openNativeLibraries } from '#util/native-calls.js';

/** Of a file that was read, ms since the epoch. */
export interface FileTimes {
  mtimeMs: number;
  ctimeMs: number;
}

const maxPathBytes = 4096;
/** `struct statx` (linux/stat.h), the same on every platform. */
const statBytes = 256;
const ctimeAt = 0x60;
const mtimeAt = 0x70;
const wantedTimes = 0x40 | 0x80;
/** AT_EMPTY_PATH: the descriptor itself. */
const emptyPath = 0x1000;
const closeOnExec = 0o2000000;
/** Little-endian, with 64 bits in a long: what is read of structures and given as arguments is right for these. */
const knowsLayouts = process.platform === 'linux' && (process.arch === 'x64' || process.arch === 'arm64');

/** One for a process: calls do not wait, so the path and the stat are never in use twice. */
export class NativeFiles {
  readonly #open: NativeFunction;
  readonly #statx: NativeFunction;
  readonly #pread: NativeFunction;
  readonly #close: NativeFunction;
  readonly #stat = Buffer.from(new ArrayBuffer(statBytes));
  readonly #noName = Buffer.from(new ArrayBuffer(1));
  /** The path of the next call, ended by a zero octet. */
  readonly path = Buffer.from(new ArrayBuffer(maxPathBytes));
  #folder = '';
  #folderBytes = 0;

  private constructor(func: (name: string, result: string, parameters: readonly string[]) => NativeFunction) {
    this.#open = func('open', 'int', ['void *', 'int']);
    this.#statx = func('statx', 'int', ['int', 'void *', 'int', 'uint', 'void *']);
    this.#pread = func('pread', 'long', ['int', 'void *', 'ulong', 'long']);
    this.#close = func('close', 'int', ['int']);
  }

  /** @returns undefined where that cannot be done: another platform, no koffi, a C library without statx */
  static load(): NativeFiles | undefined {
    if (!knowsLayouts) return undefined;
    try {
      const libc = openNativeLibraries()?.load(null);
      return libc === undefined ? undefined : new NativeFiles((name, result, parameters) => libc.func(name, result, parameters));
    } catch {
      return undefined;
    }
  }

  /** Writes the folder and a slash to `path`. @returns where a name of so many octets goes; 0 when that would be too long a path */
  beginPath(folder: string, nameBytes: number): number {
    if (folder !== this.#folder) {
      this.#folder = folder;
      this.#folderBytes = Math.min(Buffer.byteLength(folder) + 1, maxPathBytes);
      this.path.write(`${folder}/`, 0, 'utf8');
    }
    return this.#folderBytes + nameBytes >= maxPathBytes ? 0 : this.#folderBytes;
  }

  /**
   * Reads the first octets of the file `path`.
   * @param flags of open(2)
   * @param times filled in
   * @returns how many were read; -1 when it cannot be read
   */
  read(flags: number, into: Buffer, length: number, times?: FileTimes): number {
    const fd = this.#open(this.path, flags | closeOnExec);
    if (fd < 0) return -1;
    let hasTimes = true;
    if (times !== undefined) {
      hasTimes = this.#statx(fd, this.#noName, emptyPath, wantedTimes, this.#stat) === 0;
      times.ctimeMs = timeAt(this.#stat, ctimeAt);
      times.mtimeMs = timeAt(this.#stat, mtimeAt);
    }
    const count = this.#pread(fd, into, length, 0);
    this.#close(fd);
    return hasTimes ? count : -1;
  }
}

/** 64 bits of seconds, 32 of nanoseconds. */
function timeAt(stat: Buffer, at: number): number {
  return (stat.readUInt32LE(at) + stat.readInt32LE(at + 4) * 2 ** 32) * 1000 + stat.readUInt32LE(at + 8) / 1e6;
}
