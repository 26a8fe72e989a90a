// Replacing a small file so that readers and crashes see either the old or the new contents.
// Order: write a temporary file beside it, fsync, rename, fsync the folder. A crash leaves at most the temporary file, which the next
// writer truncates.
import { open, rename, unlink, utimes } from 'node:fs/promises';
import { dirname } from 'node:path';
import { errnoOf } from './coded-error.js';
import { type FilePermissions, givePermissions, privatePermissions } from './file-permissions.js';

export interface AtomicWriteOptions {
  /** Private unless told. */
  readonly permissions?: FilePermissions;
  /** Durable when resolved; true unless said otherwise. */
  readonly sync?: boolean;
  /** Name of the temporary file; `<path>.<pid>.tmp` when undefined. */
  readonly temporaryPath?: string;
  /** Whole seconds that the file's mtime must be past, for readers that only compare seconds. */
  readonly newerThanSeconds?: number;
}

export async function writeFileAtomic(path: string, contents: string | Uint8Array, options: AtomicWriteOptions = {}): Promise<void> {
  const sync = options.sync ?? true;
  const temporaryPath = options.temporaryPath ?? `${path}.${process.pid}.tmp`;
  const permissions = options.permissions ?? privatePermissions;
  const file = await open(temporaryPath, 'w', permissions.mode);
  try {
    givePermissions(file.fd, permissions);
    await file.writeFile(contents);
    if (sync) await file.sync();
    await file.close();
    const now = Date.now() / 1000;
    const floor = options.newerThanSeconds;
    if (floor !== undefined && Math.floor(now) <= floor) await utimes(temporaryPath, floor + 1, floor + 1);
    await rename(temporaryPath, path);
  } catch (error) {
    await file.close().catch(() => undefined);
    await unlink(temporaryPath).catch(() => undefined);
    throw error;
  }
  if (sync) await syncFolder(dirname(path));
}

/** Makes renames and links in a folder durable. File systems that cannot do this (EINVAL) are left to their own devices. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } catch (error) {
    if (errnoOf(error) !== 'EINVAL') throw error;
  } finally {
    await folder.close();
  }
}
