import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writeFileAtomic } from '#util/atomic-file.js';
import { errnoOf } from '#util/coded-error.js';
import { DotLockError, takeDotLock } from '#util/dot-lock.js';
import { permissionsIn } from '#util/file-permissions.js';
import { StorageError } from '../errors.js';

/** How long the lock is waited for unless mail_max_lock_timeout says otherwise. */
export const defaultLockTimeoutMs = 30_000;

/**
 * Replaces a small file under its dotlock, as Dovecot does with its own.
 * @param produce reads the present contents and returns the new ones; undefined when nothing is to change
 * @param timeoutMs how long the lock is waited for
 * @throws StorageError `in-use` when the lock is not free in time, `no-space`, `no-permission`, `unavailable`
 */
export async function rewriteLocked(
  path: string,
  produce: () => Promise<string | undefined>,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  try {
    const lock = await takeLock(path, timeoutMs, signal);
    try {
      const contents = await produce();
      if (contents !== undefined) await writeFileAtomic(path, contents, { permissions: permissionsIn(dirname(path)) });
    } finally {
      lock.release();
    }
  } catch (error) {
    signal.throwIfAborted();
    throw asStorageError(error, path);
  }
}

async function takeLock(path: string, timeoutMs: number, signal: AbortSignal): ReturnType<typeof takeDotLock> {
  try {
    return await takeDotLock(path, { timeoutMs }, signal);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    return takeDotLock(path, { timeoutMs }, signal);
  }
}

/** A system error as what the session can tell its client. */
export function asStorageError(error: unknown, path: string): StorageError {
  if (error instanceof StorageError) return error;
  if (error instanceof DotLockError) return new StorageError('in-use', `${path} is locked`, { cause: error });
  switch (errnoOf(error)) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new StorageError('no-space', `no space for ${path}`, { cause: error, clientText: 'Not enough disk space' });
    case 'EACCES':
    case 'EPERM':
      return new StorageError('no-permission', `no permission for ${path}`, { cause: error, clientText: 'Permission denied' });
    case 'EROFS':
      return new StorageError('read-only', `${path} is on a read-only file system`, { cause: error });
    default:
      return new StorageError('unavailable', `failed at ${path}`, { cause: error });
  }
}
