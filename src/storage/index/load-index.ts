// Reading roost.index and roost.index.log when a mailbox is opened.
import { close, constants, fstat, open, read } from 'node:fs';
import { promisify } from 'node:util';
import type { Logger } from '#log/logger.js';
import { errnoOf } from '#util/coded-error.js';
import { takeDotLock } from '#util/dot-lock.js';
import type { IndexLimits, IndexState } from './index-state.js';
import { logHeaderBytes, nextRecord, parseLogHeader, recordAt } from './log-reader.js';
import { applyRecord, recordKind } from './log-record.js';
import { decodeSnapshot, parseSnapshotHeader, snapshotHeaderBytes } from './snapshot.js';

export interface LoadedIndex {
  readonly state: IndexState;
  /** The log, open for reading and appending; the caller's to close. */
  readonly fd: number;
  readonly logId: number;
  readonly inode: number;
  readonly position: number;
  readonly snapshotBytes: number;
  /** The log was sealed and must be continued in the one with this id. */
  readonly sealedTo: number | undefined;
  /** The last record of the log was cut off. */
  readonly isTorn: boolean;
  readonly bootId: Buffer;
}

const openFile = promisify(open);
const closeFile = promisify(close);
const statFile = promisify(fstat);
const readFile = promisify(read);

/** Largest log read at once; one this large was never compacted, so building anew is as fast. */
const maxLogBytes = 512 * 1024 * 1024;
/** Times that the files are opened again because they were replaced meanwhile. */
const mostReplacements = 100;
const replaced = 'the files are replaced all the time';
const missing = 'one of the two files is missing';
/** Writing both files takes milliseconds; a process that died over it gives its lock to the first who asks. */
const writtenWaitMs = 10_000;

/**
 * @param isLocked the caller holds roost.index.lock and is about to write the files: no log line when they are unusable
 * @returns undefined when there is no usable index
 */
export async function loadIndex(folder: string, limits: IndexLimits, log: Logger, isLocked = false): Promise<LoadedIndex | undefined> {
  let hasWaited = isLocked;
  for (let attempt = 1; ; attempt += 1) {
    const outcome = await loadOnce(folder, limits);
    if (typeof outcome !== 'string') return outcome;
    if (outcome === replaced && attempt < mostReplacements) continue;
    if (outcome === missing && !hasWaited) {
      hasWaited = true;
      await whenWritten(folder);
      continue;
    }
    if (!isLocked) log.warning('index.rebuilt', `Index in ${folder} is rebuilt: ${outcome}`, { folder, reason: outcome });
    return undefined;
  }
}

/** A peer that is first to open the mailbox gives the two files their names one after the other, under their lock; who opens it meanwhile sees one of them. */
async function whenWritten(folder: string): Promise<void> {
  try {
    const lock = await takeDotLock(`${folder}/roost.index`, { timeoutMs: writtenWaitMs });
    lock.release();
  } catch {
    // A folder that is gone, or not ours to write to: the files are judged as they are.
  }
}

async function loadOnce(folder: string, limits: IndexLimits): Promise<LoadedIndex | string | undefined> {
  const snapshotFd = await openIfThere(`${folder}/roost.index`, constants.O_RDONLY);
  const logFd = await openIfThere(`${folder}/roost.index.log`, constants.O_RDWR | constants.O_APPEND);
  let isKept = false;
  try {
    if (snapshotFd === undefined && logFd === undefined) return undefined;
    const outcome = snapshotFd === undefined || logFd === undefined ? missing : await readBoth(snapshotFd, logFd, limits);
    if (typeof outcome !== 'string') {
      isKept = true;
      return outcome;
    }
    // A peer compacts: one of the two may be the old file and the other the new one.
    for (const fd of [snapshotFd, logFd]) if (fd !== undefined && (await statFile(fd)).nlink === 0) return replaced;
    return outcome;
  } finally {
    if (snapshotFd !== undefined) await closeFile(snapshotFd);
    if (logFd !== undefined && !isKept) await closeFile(logFd);
  }
}

async function openIfThere(path: string, flags: number): Promise<number | undefined> {
  try {
    return await openFile(path, flags);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT' || errno === 'EACCES' || errno === 'EROFS' || errno === 'ENOTDIR') return undefined;
    throw error;
  }
}

/** @returns why the files cannot be used, or the index */
async function readBoth(snapshotFd: number, logFd: number, limits: IndexLimits): Promise<LoadedIndex | string> {
  const snapshotBytes = (await statFile(snapshotFd)).size;
  const header = parseSnapshotHeader(await readRange(snapshotFd, 0, snapshotHeaderBytes), snapshotBytes);
  if (header === undefined) return 'the snapshot has no valid header';
  const columnsAt = snapshotHeaderBytes + header.textBytes;
  const [text, columns, heap] = await Promise.all([
    readRange(snapshotFd, snapshotHeaderBytes, header.textBytes),
    readRange(snapshotFd, columnsAt, header.columnBytes),
    readRange(snapshotFd, columnsAt + header.columnBytes, header.heapBytes),
  ]);
  const state = decodeSnapshot(header, text, columns, heap, limits);
  if (state === undefined) return 'the snapshot is corrupt';
  const logStat = await statFile(logFd);
  if (logStat.size > maxLogBytes) return 'the log is too large';
  const bytes = await readRange(logFd, 0, logStat.size);
  const logHeader = parseLogHeader(bytes);
  if (logHeader === undefined) return 'the log has no valid header';
  if (logHeader.logId !== header.logId) {
    // Between the two renames of a compaction: the old log ends with a seal that names the new one.
    const sealed = logHeader.logId === 0 ? undefined : sealOf(bytes);
    if (sealed !== header.logId) return 'the log does not belong to the snapshot';
    return {
      state,
      fd: logFd,
      logId: logHeader.logId,
      inode: logStat.ino,
      position: bytes.length,
      snapshotBytes,
      sealedTo: sealed,
      isTorn: false,
      bootId: Buffer.from(logHeader.bootId),
    };
  }
  if (header.offset < logHeaderBytes || header.offset > bytes.length) return 'the log is shorter than the snapshot says';
  const applied = applyAll(state, bytes, header.offset);
  if (typeof applied === 'string') return applied;
  return { state, fd: logFd, logId: logHeader.logId, inode: logStat.ino, snapshotBytes, bootId: Buffer.from(logHeader.bootId), ...applied };
}

function applyAll(
  state: IndexState,
  bytes: Buffer,
  from: number,
): { readonly position: number; readonly sealedTo: number | undefined; readonly isTorn: boolean } | string {
  let position = from;
  while (position < bytes.length) {
    const found = recordAt(bytes, position);
    if (found.kind === 'record') {
      try {
        const applied = applyRecord(state, found.bytes);
        position += found.bytes.length;
        if (applied.kind === 'sealed') return { position, sealedTo: applied.nextLogId, isTorn: false };
      } catch (error) {
        if (error instanceof RangeError) return `the log has a record that contradicts itself at ${position}`;
        throw error;
      }
      continue;
    }
    if (nextRecord(bytes, position + 1) >= 0) return `the log is broken at ${position}`;
    return { position, sealedTo: undefined, isTorn: true };
  }
  return { position, sealedTo: undefined, isTorn: false };
}

/** The id that the last record, a seal, names. */
function sealOf(bytes: Buffer): number | undefined {
  let position = logHeaderBytes;
  for (;;) {
    const found = recordAt(bytes, position);
    if (found.kind !== 'record') return undefined;
    if (found.bytes.readUInt32LE(8) === recordKind.seal) return found.bytes.readDoubleLE(16);
    position += found.bytes.length;
  }
}

async function readRange(fd: number, from: number, length: number): Promise<Buffer<ArrayBuffer>> {
  const bytes = Buffer.allocUnsafeSlow(length);
  let filled = 0;
  while (filled < length) {
    const { bytesRead } = await readFile(fd, bytes, filled, length - filled, from + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
}
