// Reading folders no more often than they change.

import { type Dirent, readdirSync, statSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '#util/coded-error.js';
import { SlowWatch } from '#util/slow-watch.js';
import { asStorageError } from './locked-rewrite.js';

/**
 * A folder changed less than this before it was read may change again without its time stamp showing it (one second on old file systems,
 * one kernel tick on the others), so it is read again next time.
 */
const doubtMs = 1100;

/** A folder that had no more names than this is read again in the event loop while storage is quick. */
const maxQuickNames = 200;

interface Remembered {
  readonly stamp: string;
  readonly names: number;
  readonly isDoubtful: boolean;
  readonly entries: readonly Dirent[];
}

/** Keeps what was in each folder until its mtime changes. */
export class FolderReader {
  readonly #folders = new Map<string, Remembered>();
  readonly #storage = new SlowWatch();

  /** Folders and links to folders in `path`, by name, the same object while they are the same; undefined when there is no such folder. */
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
      const isQuick = known !== undefined && known.names <= maxQuickNames && !this.#storage.isPaused;
      const all = isQuick
        ? this.#storage.run(() => readdirSync(path, { withFileTypes: true }))
        : await readdir(path, { withFileTypes: true });
      const found: Dirent[] = [];
      for (const entry of all)
        if (entry.isDirectory() || (entry.isSymbolicLink() && (await isFolder(join(path, entry.name))))) found.push(entry);
      // Lock files come and go in a Maildir; what is made from the list of folders can stay.
      const entries = known !== undefined && isSame(known.entries, found) ? known.entries : found;
      this.#folders.set(path, { stamp, names: all.length, isDoubtful: readAtMs - Number(stats.mtimeMs) < doubtMs, entries });
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

function isSame(a: readonly Dirent[], b: readonly Dirent[]): boolean {
  return (
    a.length === b.length && a.every((entry, index) => entry.name === b[index]?.name && entry.isDirectory() === b[index]?.isDirectory())
  );
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
