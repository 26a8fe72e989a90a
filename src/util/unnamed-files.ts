// Files that have no name until they are whole (O_TMPFILE, open(2); linkat(2)).
//
// A file that is made in tmp/ and renamed changes three things on the disk besides itself: tmp/, which gets a name and loses it, and the folder it goes to. One
// without a name changes the last alone, and a process that dies leaves nothing behind.
//
// Only on ext4: of others it has not been shown that they are faster, or keep what was promised. Without a journal an fsync of the file makes its name
// durable; with one, whatever makes the journal durable does.
import { closeSync, constants as fileFlags, open, openSync, unlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname } from 'node:path';
import { getSystemErrorName } from 'node:util';
import { errnoOf } from './coded-error.js';
import { openNativeLibraries } from './native-calls.js';
import { deviceOf, isExt4 } from './write-out.js';

export interface UnnamedFiles {
  /** Opens a new file for writing, which goes with its last descriptor. @param mode as of open(2) @throws system errors */
  open(folder: string, mode: number): number;
  /** The same, off the event loop. */
  openLater(folder: string, mode: number): Promise<number>;
  /** Gives it a name in the folder that it was made in. @throws system errors, EEXIST among them */
  link(fd: number, path: string | Buffer): void;
}

/** `__O_TMPFILE` is the same number on x64 and arm64, O_DIRECTORY is not. */
const unnamedFlags = 0o20000000 | fileFlags.O_DIRECTORY | fileFlags.O_WRONLY;
const currentFolder = -100;
const followLinks = 0x400;
const emptyPath = 0x1000;
const maxPathBytes = 4096;

/** @returns the errno; 0: it has the name. `path` ends with a zero octet */
type Link = (fd: number, path: Buffer) => number;

/** Since Linux 6.10 by the descriptor itself, unless it is of a time when the process had other rights; else through /proc. */
function load(): Link | undefined {
  if (process.platform !== 'linux' || (process.arch !== 'x64' && process.arch !== 'arm64')) return undefined;
  const libraries = openNativeLibraries();
  const linkat = libraries?.load(null).func('linkat', 'int', ['int', 'void *', 'int', 'void *', 'int']);
  if (libraries === undefined || linkat === undefined) return undefined;
  const noName = Buffer.from(new ArrayBuffer(1));
  return (fd, path) => {
    if (linkat(fd, noName, currentFolder, path, emptyPath) === 0) return 0;
    const errno = libraries.errno();
    if (errno !== constants.errno.ENOENT && errno !== constants.errno.EINVAL) return errno;
    return linkat(currentFolder, Buffer.from(`/proc/self/fd/${fd}\0`), currentFolder, path, followLinks) === 0 ? 0 : libraries.errno();
  };
}

class LinkedFiles implements UnnamedFiles {
  readonly #link: Link;
  readonly #path = Buffer.from(new ArrayBuffer(maxPathBytes));

  constructor(link: Link) {
    this.#link = link;
  }

  open(folder: string, mode: number): number {
    return openSync(folder, unnamedFlags, mode);
  }

  openLater(folder: string, mode: number): Promise<number> {
    return new Promise((resolve, reject) => {
      open(folder, unnamedFlags, mode, (error, fd) => {
        if (error === null) resolve(fd);
        else reject(error);
      });
    });
  }

  link(fd: number, path: string | Buffer): void {
    const length = typeof path === 'string' ? Buffer.byteLength(path) : path.length;
    if (length >= maxPathBytes) throw linkError('ENAMETOOLONG', path);
    if (typeof path === 'string') this.#path.write(path);
    else path.copy(this.#path);
    this.#path[length] = 0;
    const errno = this.#link(fd, this.#path);
    if (errno !== 0) throw linkError(getSystemErrorName(-errno), path);
  }
}

function linkError(code: string, path: string | Buffer): Error {
  return Object.assign(new Error(`${code}: link '${path.toString('latin1')}'`), { code, syscall: 'link', path });
}

/** @throws system errors: a file in this folder cannot be made, or not be named */
function tryOut(files: UnnamedFiles, path: string): void {
  const fd = files.open(dirname(path), 0o600);
  try {
    files.link(fd, path);
    unlinkSync(path);
  } finally {
    closeSync(fd);
  }
}

/** Says nothing about what the system can do. */
function isPassing(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT', 'EIO', 'EMFILE', 'ENFILE', 'EEXIST', 'EROFS', 'EACCES'].includes(errnoOf(error) ?? '');
}

/** By device number. */
const known = new Map<number, UnnamedFiles | undefined>();
let files: UnnamedFiles | undefined;
let isLoaded = false;

/** Loads the calls at the first use; whether a file system has such files is not asked. @returns undefined where there are no such calls */
export function nativeUnnamedFiles(): UnnamedFiles | undefined {
  const link = isLoaded ? undefined : load();
  isLoaded = true;
  if (link !== undefined) files = new LinkedFiles(link);
  return files;
}

/**
 * A short synchronous look, which makes and removes a file, once for each file system.
 * @param path of a file that nobody else uses, on the file system of the files
 * @returns undefined where there is no such thing, or where it is not better than a file with a name
 */
export function unnamedFilesAt(path: string): UnnamedFiles | undefined {
  const device = deviceOf(dirname(path));
  if (device === undefined) return undefined;
  if (known.has(device)) return known.get(device);
  const native = isExt4(device) ? nativeUnnamedFiles() : undefined;
  try {
    if (native !== undefined) tryOut(native, path);
    known.set(device, native);
    return native;
  } catch (error) {
    if (!isPassing(error)) known.set(device, undefined);
    return undefined;
  }
}
