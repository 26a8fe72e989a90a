// Reading folders no more often than they change.

import { type Dirent, statSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { errnoOf } from '#util/coded-error.js';
import { asStorageError } from './locked-rewrite.js';

/**
 * A folder changed less than this before it was read may change again without its time stamp showing it (one second on old file systems,
 * one kernel tick on the others), so it is read again next time.
 */
const doubtMs = 1100;

interface Remembered {
  readonly stamp: string;
  readonly isDoubtful: boolean;
  readonly entries: readonly Dirent[];
}

/** Keeps what was in each folder until its mtime changes. */
export class FolderReader {
  readonly #folders = new Map<string, Remembered>();

  /** Folders and links to folders in `path`, by name; undefined when there is no such folder. */
  async read(path: string): Promise<readonly Dirent[] | undefined> {
    try {
      // Bounded: one stat of a name that is almost always in the kernel's cache.
      const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
      if (stats === undefined) {
        this.#folders.delete(path);
        return undefined;
      }
      const stamp = `${stats.dev}.${stats.ino}.${stats.mtimeNs}`;
      const known = this.#folders.get(path);
      if (known !== undefined && known.stamp === stamp && !known.isDoubtful) return known.entries;
      const readAtMs = Date.now();
      const entries = (await readdir(path, { withFileTypes: true })).filter((entry) => entry.isDirectory() || entry.isSymbolicLink());
      this.#folders.set(path, { stamp, isDoubtful: readAtMs - Number(stats.mtimeMs) < doubtMs, entries });
      return entries;
    } catch (error) {
      const errno = errnoOf(error);
      if (errno !== 'ENOENT' && errno !== 'ENOTDIR') throw asStorageError(error, path);
      this.#folders.delete(path);
      return undefined;
    }
  }

  /** After a change of our own. */
  forget(): void {
    this.#folders.clear();
  }
}

/** @returns undefined when there is nothing */
export async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return false;
    throw asStorageError(error, path);
  }
}
