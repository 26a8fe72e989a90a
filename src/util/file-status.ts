// What is looked at of a file that is asked for again and again: whether it is still the same, how long it is, when it was changed.
//
// stat(2) through node:fs costs four times what it costs the kernel: it checks its arguments, copies the path, and makes a Stats with four dates. Through
// the C library it is statx(2), for the fields that are wanted, into memory that is always the same. Numbers are those of node:fs, to the last bit: who
// compares them with ones that were written down does not know where they came from.
import { fstatSync, type Stats, statSync } from 'node:fs';
import { constants } from 'node:os';
import { arch, platform } from 'node:process';
import { type NativeFunction, openNativeLibraries } from './native-calls.js';

export interface FileStatus {
  readonly inode: number;
  /** Octets. */
  readonly size: number;
  /** ms since the epoch, with what the file system has of fractions. */
  readonly mtimeMs: number;
  /** Names; 0: it was removed, and somebody has it open. */
  readonly links: number;
}

/** Fields of `struct statx` (linux/stat.h), in words of 32 bits, the lower one first. */
const words = { mask: 0, links: 4, inode: 8, size: 10, mtime: 28, mtimeNanoseconds: 30 } as const;
const structBytes = 256;
const wanted = 0x4 | 0x40 | 0x100 | 0x200;
const atWorkingFolder = -100;
const atDescriptorItself = 0x1000;
/** Looks of a process before it loads the C library for them, which takes a millisecond: many processes serve one client. */
const looksBefore = 100;

/** Asks the C library. One for a process: calls do not wait, so the memory is never in use twice. */
class NativeStatus {
  readonly #statx: NativeFunction;
  readonly #errno: () => number;
  readonly #struct = Buffer.from(new ArrayBuffer(structBytes));
  readonly #words = new Uint32Array(this.#struct.buffer);
  readonly #noName = Buffer.from(new ArrayBuffer(1));

  constructor(statx: NativeFunction, errno: () => number) {
    this.#statx = statx;
    this.#errno = errno;
  }

  /** @returns undefined where there is no such call, or where structures look otherwise */
  static load(): NativeStatus | undefined {
    if (platform !== 'linux' || (arch !== 'x64' && arch !== 'arm64')) return undefined;
    try {
      const native = openNativeLibraries();
      if (native === undefined) return undefined;
      const statx = native.load(null).func('statx', 'int', ['int', 'void *', 'int', 'uint', 'void *']);
      return new NativeStatus(statx, () => native.errno());
    } catch {
      return undefined;
    }
  }

  /** @returns 'none' when there is no such file, undefined when another way has to be found to say */
  named(path: Buffer): FileStatus | 'none' | undefined {
    if (this.#statx(atWorkingFolder, path, 0, wanted, this.#struct) === 0) return this.#found();
    const errno = this.#errno();
    return errno === constants.errno.ENOENT || errno === constants.errno.ENOTDIR ? 'none' : undefined;
  }

  open(fd: number): FileStatus | undefined {
    return this.#statx(fd, this.#noName, atDescriptorItself, wanted, this.#struct) === 0 ? this.#found() : undefined;
  }

  #found(): FileStatus | undefined {
    const at = this.#words;
    if (((at[words.mask] as number) & wanted) !== wanted) return undefined;
    return {
      inode: this.#unsigned(words.inode),
      size: this.#unsigned(words.size),
      mtimeMs:
        ((at[words.mtime] as number) + ((at[words.mtime + 1] as number) | 0) * 2 ** 32) * 1000 +
        (at[words.mtimeNanoseconds] as number) / 1e6,
      links: at[words.links] as number,
    };
  }

  #unsigned(word: number): number {
    return (this.#words[word] as number) + (this.#words[word + 1] as number) * 2 ** 32;
  }
}

let native: NativeStatus | undefined;
let looksLeft = looksBefore;

function nativeStatus(): NativeStatus | undefined {
  if (looksLeft > 0) {
    looksLeft -= 1;
    if (looksLeft === 0) native = NativeStatus.load();
  }
  return native;
}

/** Asks the C library from now on, where it can. @returns whether it can; for tests and figures */
export function useNativeStatus(): boolean {
  if (looksLeft > 0) native = NativeStatus.load();
  looksLeft = 0;
  return native !== undefined;
}

/** A path that is looked at again and again: its octets are made once. */
export class NamedFile {
  readonly path: string;
  #octets: Buffer | undefined;

  constructor(path: string) {
    this.path = path;
  }

  /** Bounded: a name that is almost always in the kernel's cache. @returns undefined when it does not exist @throws system errors */
  status(): FileStatus | undefined {
    const asked = nativeStatus();
    if (asked !== undefined) {
      this.#octets ??= octetsOf(this.path);
      const status = asked.named(this.#octets);
      if (status !== undefined) return status === 'none' ? undefined : status;
    }
    const stats = statSync(this.path, { throwIfNoEntry: false });
    return stats === undefined ? undefined : statusOf(stats);
  }
}

/** Of an open file. @throws system errors */
export function statusOfOpen(fd: number): FileStatus {
  return nativeStatus()?.open(fd) ?? statusOf(fstatSync(fd));
}

function statusOf({ ino, size, mtimeMs, nlink }: Stats): FileStatus {
  return { inode: ino, size, mtimeMs, links: nlink };
}

/** Ended by a zero octet, as the C library takes it. */
function octetsOf(path: string): Buffer {
  if (path.includes('\0')) throw new RangeError('a path with a zero octet');
  const length = Buffer.byteLength(path);
  const octets = Buffer.from(new ArrayBuffer(length + 1));
  octets.write(path, 'utf8');
  return octets;
}
