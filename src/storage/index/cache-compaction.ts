// Writing roost.cache anew with what it knows of the messages that are left.
//
// The new file is made beside the old one, message by message in the order of UIDs, and takes its place by a rename. Until then everybody works with
// the old one. Afterwards a peer sees at its next look that the file it has open is no longer there, opens the new one and goes through it once. What it
// adds to the old file in between is lost, and worked out again when somebody asks. A process that dies leaves a file that the next one overwrites, and a
// lock that the next one breaks.
import { randomInt } from 'node:crypto';
import { closeSync, openSync, renameSync, unlinkSync, write, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Logger } from '#log/logger.js';
import { Slicer } from '#util/deadline.js';
import { type DotLock, tryDotLock } from '#util/dot-lock.js';
import { type FilePermissions, givePermissions } from '#util/file-permissions.js';
import {
  type CachedMessage,
  cacheHeaderBytes,
  cacheUnit,
  encodeCacheHeader,
  encodeCacheRecord,
  encodeNamesRecord,
} from './cache-record.js';
import type { IndexState } from './index-state.js';

const writeFile = promisify(write);

/** Read and written at once; records are a few kilobytes, most of them. */
const messagesAtOnce = 64;
/** While one round copies, others add to the file. What is added in the last one is lost. */
const mostRounds = 3;
const sliceMs = 4;
/** See cache-file.ts. */
const largestId = 0x7fffffff;

export interface CompactionSource {
  readonly path: string;
  readonly permissions: FilePermissions;
  readonly log: Logger;
  /** All that is known of messages. */
  find(uids: readonly number[]): Promise<ReadonlyMap<number, CachedMessage>>;
  /** The file and the state are still those that it began with. */
  isCurrent(): boolean;
}

/** The new file, where each message's record lies in it. */
export class CompactedCache {
  readonly cacheId = randomInt(1, largestId);
  length = 0;
  readonly #uids: number[] = [];
  readonly #units: number[] = [];

  note(uid: number, offset: number): void {
    this.#uids.push(uid);
    this.#units.push(offset / cacheUnit);
  }

  noteIn({ columns }: IndexState): void {
    columns.cacheOffset.fill(0);
    let row = 0;
    for (let index = 0; index < this.#uids.length; index += 1) {
      const uid = this.#uids[index] as number;
      // Ascending in each round.
      if (row >= columns.length || (columns.uid[row] as number) > uid) row = columns.lowerBound(uid);
      while (row < columns.length && (columns.uid[row] as number) < uid) row += 1;
      if (row < columns.length && columns.uid[row] === uid) columns.cacheOffset[row] = this.#units[index] as number;
    }
  }
}

/**
 * @param takeOver called at once when the new file has taken the old one's place
 */
export async function compactCache(
  state: IndexState,
  source: CompactionSource,
  takeOver: (compacted: CompactedCache) => void,
): Promise<void> {
  const temporary = `${source.path}.tmp`;
  let lock: DotLock | undefined;
  let fd = -1;
  try {
    lock = tryDotLock(source.path);
    if (lock === undefined || !source.isCurrent()) return;
    fd = openSync(temporary, 'w', source.permissions.mode);
    givePermissions(fd, source.permissions);
    const before = state.cacheLength;
    const compacted = await writeRecords(fd, state, source);
    if (compacted === undefined) return;
    // From here on without a pause: what is in the file is what the state will know.
    closeSync(fd);
    fd = -1;
    renameSync(temporary, source.path);
    takeOver(compacted);
    source.log.debug('cache.compacted', `Cache ${source.path} was compacted`, { octets: before, left: compacted.length });
  } catch (error) {
    // A full disk, or the mailbox was renamed or deleted meanwhile: the old file stays.
    source.log.debug('cache.compact', `Cache ${source.path} could not be compacted`, { error });
  } finally {
    if (fd >= 0) {
      closeSync(fd);
      remove(temporary);
    }
    lock?.release();
  }
}

/** @returns undefined when it was given up */
async function writeRecords(fd: number, state: IndexState, source: CompactionSource): Promise<CompactedCache | undefined> {
  const compacted = new CompactedCache();
  const slicer = new Slicer(sliceMs);
  writeSync(fd, encodeCacheHeader({ cacheId: compacted.cacheId, uidValidity: state.uidValidity }));
  compacted.length = cacheHeaderBytes;
  let from = 0;
  for (let round = 1; round <= mostRounds; round += 1) {
    const end = state.cacheLength;
    const uids = cachedSince(state, from);
    for (let at = 0; at < uids.length; at += messagesAtOnce) {
      const found = await source.find([...uids.subarray(at, at + messagesAtOnce)]);
      if (!source.isCurrent()) return undefined;
      const records = recordsOf(state, found, compacted);
      if (records.length > 0 && (await writeFile(fd, records, 0, records.length)).bytesWritten !== records.length)
        throw new Error('short write');
      if (slicer.isDue) await slicer.pause();
      if (!source.isCurrent()) return undefined;
    }
    if (state.cacheLength === end) break;
    from = end;
  }
  const lists = namesOf(state);
  if (writeSync(fd, lists) !== lists.length) throw new Error('short write');
  compacted.length += lists.length;
  return compacted;
}

/** UIDs, ascending, of the messages whose last record lies at `from` or behind it. */
function cachedSince({ columns }: IndexState, from: number): Uint32Array {
  const uids = new Uint32Array(columns.length);
  let count = 0;
  for (let row = 0; row < columns.length; row += 1) {
    const offset = (columns.cacheOffset[row] as number) * cacheUnit;
    if (offset === 0 || offset < from || columns.isDead(row)) continue;
    uids[count] = columns.uid[row] as number;
    count += 1;
  }
  return uids.slice(0, count);
}

/** Each message in one record, however many it had. */
function recordsOf(state: IndexState, found: ReadonlyMap<number, CachedMessage>, compacted: CompactedCache): Buffer {
  const records: Buffer[] = [];
  for (const [uid, message] of [...found].sort(([a], [b]) => a - b)) {
    const row = state.columns.rowOf(uid);
    if (row < 0 || state.columns.isDead(row)) continue;
    // Fields of which nobody knows which they are.
    const isKnown = (state.cacheNames.get(message.header?.names ?? 0) ?? []).length > 0;
    const record = encodeCacheRecord(uid, 0, isKnown ? message : { ...message, header: undefined });
    if (record.length === 0) continue;
    compacted.note(uid, compacted.length);
    compacted.length += record.length;
    records.push(record);
  }
  return Buffer.concat(records);
}

/** The numbers of the lists stay: records that are being made refer to them. */
function namesOf({ cacheNames, cacheNameDays }: IndexState): Buffer {
  const records: Buffer[] = [];
  for (const [number, names] of [...cacheNames].sort(([a], [b]) => a - b)) {
    if (names.length === 0) continue;
    const days = names.map((name) => cacheNameDays.get(name) ?? 0);
    records.push(encodeNamesRecord(number, names, days));
  }
  return Buffer.concat(records);
}

function remove(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // The next compaction overwrites it.
  }
}
