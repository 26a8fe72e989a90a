// Reading roost.index and roost.index.log when a mailbox is opened.
import { constants } from 'node:fs';
import type { Logger } from '#log/logger.js';
import { takeDotLock } from '#util/dot-lock.js';
import type { SlowWatch } from '#util/slow-watch.js';
import { applyRecord, needsWholeColumns } from './apply-record.js';
import { closeFile, IndexReads } from './index-reads.js';
import type { IndexLimits, IndexState } from './index-state.js';
import { LateFile } from './late-file.js';
import { logHeaderBytes, nextRecord, parseLogHeader, recordAt } from './log-reader.js';
import { recordKind } from './log-record.js';
import {
  decodeSnapshot,
  decodeWithoutColumns,
  parseSnapshotHeader,
  placesOf,
  type SnapshotHeader,
  snapshotHeaderBytes,
  takeEarlyColumns,
} from './snapshot.js';

export interface LoadedIndex {
  /** Its columns may not be whole where the caller has allowed that. */
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

/** Largest log read at once; one this large was never compacted, so building anew is as fast. */
const maxLogBytes = 512 * 1024 * 1024;
/** Times that the files are opened again because they were replaced meanwhile. */
const mostReplacements = 100;
/** Snapshots up to this size are read in one go: most of the time goes into asking for it. */
export const wholeBelowBytes = 256 * 1024;
/** Octets with the header that hold most text sections as well. */
const headBytes = 16 * 1024;
/** Changes of columns that have not been read are kept one by one. */
const mostUnreadLogBytes = 256 * 1024;
const replaced = 'the files are replaced all the time';
const corrupt = 'the snapshot is corrupt';
const missing = 'one of the two files is missing';
/** Writing both files takes milliseconds; a process that died over it gives its lock to the first who asks. */
const writtenWaitMs = 10_000;

export interface LoadOptions {
  /** The caller holds roost.index.lock and is about to write the files: no log line when they are unusable. */
  readonly isLocked?: boolean;
  /** Late columns of a snapshot that has more octets are left for later; all are read unless told. */
  readonly lateAboveBytes?: number;
  /** Where the files are; unless told, nothing is read in the event loop. */
  readonly storage?: SlowWatch;
}

/** @returns undefined when there is no usable index */
export async function loadIndex(
  folder: string,
  limits: IndexLimits,
  log: Logger,
  { isLocked = false, lateAboveBytes = Number.POSITIVE_INFINITY, storage }: LoadOptions = {},
): Promise<LoadedIndex | undefined> {
  let hasWaited = isLocked;
  for (let attempt = 1; ; attempt += 1) {
    const outcome = await loadOnce(folder, limits, lateAboveBytes, new IndexReads(storage));
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

async function loadOnce(
  folder: string,
  limits: IndexLimits,
  lateAboveBytes: number,
  reads: IndexReads,
): Promise<LoadedIndex | string | undefined> {
  const snapshotFd = await reads.open(`${folder}/roost.index`, constants.O_RDONLY);
  const logFd = await reads.open(`${folder}/roost.index.log`, constants.O_RDWR | constants.O_APPEND);
  let late: LateFile | undefined;
  const laterOf = (header: SnapshotHeader, fd: number): LateFile => {
    late = new LateFile(fd, header);
    return late;
  };
  let isKept = false;
  try {
    if (snapshotFd === undefined && logFd === undefined) return undefined;
    const files = { snapshotFd, logFd, laterOf, lateAboveBytes, reads };
    const outcome = isBoth(files) ? await readBoth(files, limits) : missing;
    if (typeof outcome !== 'string') {
      isKept = true;
      return outcome;
    }
    // A peer compacts: one of the two may be the old file and the other the new one.
    // A snapshot that has been read to its end is that of the log: which of them is wrong, time will not tell.
    const fds = late?.isClosed === true ? [logFd] : [snapshotFd, logFd];
    for (const fd of fds) if (fd !== undefined && (await reads.stat(fd)).nlink === 0) return replaced;
    return outcome;
  } finally {
    if (late !== undefined && !isKept) late.close();
    if (snapshotFd !== undefined && late === undefined) await closeFile(snapshotFd);
    if (logFd !== undefined && !isKept) await closeFile(logFd);
  }
}

interface OpenFiles {
  readonly snapshotFd: number | undefined;
  readonly logFd: number | undefined;
  /** Takes over the snapshot. */
  readonly laterOf: (header: SnapshotHeader, snapshotFd: number) => LateFile;
  readonly lateAboveBytes: number;
  readonly reads: IndexReads;
}

type BothFiles = OpenFiles & { readonly snapshotFd: number; readonly logFd: number };

function isBoth(files: OpenFiles): files is BothFiles {
  return files.snapshotFd !== undefined && files.logFd !== undefined;
}

/** @returns why the files cannot be used, or the index */
async function readBoth(files: BothFiles, limits: IndexLimits): Promise<LoadedIndex | string> {
  const { snapshotFd, logFd, reads } = files;
  const snapshotBytes = (await reads.stat(snapshotFd)).size;
  const head = await reads.range(snapshotFd, 0, snapshotBytes > wholeBelowBytes ? headBytes : snapshotBytes);
  const header = parseSnapshotHeader(head.subarray(0, snapshotHeaderBytes), snapshotBytes);
  if (header === undefined) return 'the snapshot has no valid header';
  const state = await readState(files, header, head, limits);
  if (state === undefined) return corrupt;
  const logStat = await reads.stat(logFd);
  if (logStat.size > maxLogBytes) return 'the log is too large';
  const bytes = await reads.range(logFd, 0, logStat.size);
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
  if (!Number.isInteger(header.offset)) return corrupt;
  if (header.offset < logHeaderBytes || header.offset > bytes.length) return 'the log is shorter than the snapshot says';
  if (bytes.length - header.offset > mostUnreadLogBytes && !(await state.columns.complete())) return corrupt;
  const applied = await applyAll(state, bytes, header.offset);
  if (typeof applied === 'string') return applied;
  return { state, fd: logFd, logId: logHeader.logId, inode: logStat.ino, snapshotBytes, bootId: Buffer.from(logHeader.bootId), ...applied };
}

/** @param head the beginning of the file, or all of it */
async function readState(
  { snapshotFd, laterOf, lateAboveBytes, reads }: BothFiles,
  header: SnapshotHeader,
  head: Buffer,
  limits: IndexLimits,
): Promise<IndexState | undefined> {
  const rangeOf = async (from: number, to: number): Promise<Buffer<ArrayBuffer>> =>
    // Octets of a larger buffer are copied: typed arrays want memory of their own, which is freed when the columns grow.
    to <= head.length ? Buffer.from(new Uint8Array(head.subarray(from, to)).buffer) : reads.range(snapshotFd, from, to);
  const columnsAt = snapshotHeaderBytes + header.textBytes;
  const heapAt = columnsAt + header.columnBytes;
  const end = heapAt + header.heapBytes;
  const text = await rangeOf(snapshotHeaderBytes, columnsAt);
  if (header.partCrcs === undefined || end <= lateAboveBytes) {
    return decodeSnapshot(header, text, await rangeOf(columnsAt, heapAt), await rangeOf(heapAt, end), limits);
  }
  const state = decodeWithoutColumns(header, text, limits);
  if (state === undefined) return undefined;
  const { uids, keywordSets, files, flags } = placesOf(header.rows);
  const parts = {
    uids: await rangeOf(columnsAt + uids, columnsAt + keywordSets),
    keywordSets: state.keywordSetCount === 1 ? undefined : await rangeOf(columnsAt + keywordSets, columnsAt + files),
    flags: await rangeOf(columnsAt + flags, heapAt),
  };
  return takeEarlyColumns(state, header, parts, laterOf(header, snapshotFd)) ? state : undefined;
}

async function applyAll(
  state: IndexState,
  bytes: Buffer,
  from: number,
): Promise<{ readonly position: number; readonly sealedTo: number | undefined; readonly isTorn: boolean } | string> {
  let position = from;
  while (position < bytes.length) {
    const found = recordAt(bytes, position);
    if (found.kind === 'record') {
      if (needsWholeColumns(found.bytes) && !(await state.columns.complete())) return corrupt;
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
