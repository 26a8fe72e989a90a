// The files of an index: opening a log, and writing a file anew.
import { closeSync, constants, fstatSync, openSync, statSync, unlinkSync, writeSync } from 'node:fs';
import type { Logger } from '#log/logger.js';
import { errnoOf } from '#util/coded-error.js';
import { type FilePermissions, givePermissions } from '#util/file-permissions.js';
import { logHeaderBytes, parseLogHeader, readRange } from './log-reader.js';

export interface OpenLog {
  readonly fd: number;
  readonly logId: number;
  readonly inode: number;
  /** Everything before it has been applied. */
  position: number;
}

/** @throws system errors; the file is gone then */
export function writeParts(path: string, parts: readonly Buffer[], permissions: FilePermissions): void {
  const fd = openSync(path, 'w', permissions.mode);
  try {
    givePermissions(fd, permissions);
    for (const part of parts) {
      let written = 0;
      while (written < part.length) written += writeSync(fd, part, written);
    }
  } catch (error) {
    unlinkSync(path);
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** Opens a log for reading and appending; undefined when there is none or it has no valid header. */
export function openLog(path: string): OpenLog | undefined {
  let fd: number;
  try {
    // Never made here: an empty log would look like a damaged one.
    fd = openSync(path, constants.O_RDWR | constants.O_APPEND);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  const header = parseLogHeader(readRange(fd, 0, logHeaderBytes));
  if (header === undefined) {
    closeSync(fd);
    return undefined;
  }
  return { fd, logId: header.logId, inode: fstatSync(fd).ino, position: logHeaderBytes };
}

export function openLogId(path: string): number | undefined {
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return undefined;
  const log = openLog(path);
  if (log === undefined) return undefined;
  closeSync(log.fd);
  return log.logId;
}

/** Whoever opens the mailbox next builds the index anew. Never fails: a log that stays is told. */
export function removeLog(path: string, log: Logger): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') log.debug('index.unlink', 'Could not remove the index log', { error });
  }
}

/** A millisecond, for what another process is in the middle of. */
export function pause(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
}

export function randomLogId(): number {
  return Math.floor(Math.random() * Number.MAX_SAFE_INTEGER) + 1;
}
