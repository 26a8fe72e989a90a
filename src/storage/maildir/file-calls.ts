// File system calls of the store: stamps, folder listings, and system errors turned into storage errors.
import { closeSync, openSync, readdir, statSync } from 'node:fs';
import { opendir } from 'node:fs/promises';
import { errnoOf } from '#util/coded-error.js';
import type { DiskSyncs } from '#util/disk-syncs.js';
import { type NamedFile, statusOfOpen } from '#util/file-status.js';
import { type StorageCode, StorageError } from '../errors.js';
import type { FileStamp } from '../index/index-state.js';
import { NameList } from './name-list.js';

const codeOfErrno: Readonly<Record<string, StorageCode>> = {
  ENOSPC: 'no-space',
  EDQUOT: 'over-quota',
  EACCES: 'no-permission',
  EPERM: 'no-permission',
  EROFS: 'read-only',
};

/** A system error as StorageError; a StorageError stays, anything else is returned as it is. */
export function storageErrorOf(error: unknown, doing: string): unknown {
  if (error instanceof StorageError) return error;
  const errno = errnoOf(error);
  if (errno === undefined || !/^E[A-Z0-9]+$/.test(errno)) return error;
  return new StorageError(codeOfErrno[errno] ?? 'unavailable', `${doing}: ${error instanceof Error ? error.message : errno}`, {
    cause: error,
  });
}

/** Bounded: one stat of a name that is almost always in the kernel's cache. @returns undefined when it does not exist */
export function stampOf(file: NamedFile): FileStamp | undefined {
  const status = file.status();
  return status === undefined ? undefined : { inode: status.inode, size: status.size, mtimeMs: status.mtimeMs };
}

export function isSameStamp(a: FileStamp, b: FileStamp): boolean {
  return a.inode === b.inode && a.size === b.size && a.mtimeMs === b.mtimeMs;
}

export function stampOfOpen(fd: number): FileStamp {
  const { inode, size, mtimeMs } = statusOfOpen(fd);
  return { inode, size, mtimeMs };
}

/** A folder whose own size says that it holds more than some thousand names is read in pieces: half the time, a third of the memory. */
const largeFolderBytes = 256 * 1024;
/** Names read from a large folder with one trip to the thread pool. */
const namesAtOnce = 2048;

/** Names without `.` and `..`, in no order. */
export function listFolder(path: string): Promise<NameList> {
  if ((statSync(path, { throwIfNoEntry: false })?.size ?? 0) > largeFolderBytes) return listLargeFolder(path);
  return new Promise((resolve, reject) => {
    readdir(path, { encoding: 'latin1' }, (error, names) => {
      if (error === null) resolve(NameList.of(names));
      else reject(error);
    });
  });
}

async function listLargeFolder(path: string): Promise<NameList> {
  const names = new NameList();
  const folder = await opendir(path, { encoding: 'latin1', bufferSize: namesAtOnce });
  try {
    for (;;) {
      const first = await folder.read();
      if (first === null) return names;
      names.push(first.name);
      // What came with it is in memory; only behind the last name the folder is read once more.
      for (let more = 1; more < namesAtOnce; more += 1) {
        const entry = folder.readSync();
        if (entry === null) return names;
        names.push(entry.name);
      }
    }
  } finally {
    await folder.close();
  }
}

/** fdatasync of a file, by path. EINVAL means that the file system cannot. */
export async function syncPath(path: string, syncs: DiskSyncs): Promise<void> {
  // What is synced was written a moment ago: its name is in the kernel's memory.
  const fd = openSync(path, 'r');
  try {
    await syncs.data(fd);
  } catch (error) {
    if (errnoOf(error) !== 'EINVAL') throw error;
  } finally {
    closeSync(fd);
  }
}
