import { statSync } from 'node:fs';
import { StorageError } from '../errors.js';

/**
 * Changes with each rewrite, which makes a new inode. Bounded: one stat of a name that is almost always in the kernel's cache.
 * @returns undefined when there is no such file
 * @throws StorageError `corrupt` when it is larger than `maxBytes`; system errors
 */
export function fileStamp(path: string, maxBytes: number): string | undefined {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  if (stats === undefined) return undefined;
  if (stats.size > maxBytes) throw new StorageError('corrupt', `${path} has ${stats.size} octets`);
  return `${stats.ino}.${stats.size}.${stats.mtimeNs}`;
}
