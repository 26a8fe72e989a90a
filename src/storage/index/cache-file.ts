// roost.cache of one mailbox: appended by every process without a lock (one write(2) with O_APPEND), read in large pieces.
//
// The index keeps the position of each message's last record, and how far it knows the file; what lies behind is looked through once. A file of
// another UIDVALIDITY, with a broken header or a wrong checksum is thrown away: everything in it can be worked out again. One that is mostly about
// messages long gone is written anew with what is left (cache-compaction.ts).

import { randomInt } from 'node:crypto';
import { closeSync, fstatSync, openSync, read, readSync, renameSync, unlinkSync, writeFileSync, writevSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Logger } from '#log/logger.js';
import { errnoOf } from '#util/coded-error.js';
import { type FilePermissions, givePermissions, privatePermissions } from '#util/file-permissions.js';
import { SlowWatch } from '#util/slow-watch.js';
import { type CompactedCache, compactCache } from './cache-compaction.js';
import { CachedHeaders } from './cache-headers.js';
import { findPlaces } from './cache-places.js';
import {
  allSections,
  type CachedMessage,
  cacheHeaderBytes,
  cacheRecordLength,
  cacheUnit,
  emptyCachedMessage,
  encodeCacheHeader,
  encodeCacheRecord,
  encodeNamesRecord,
  isIntactCacheRecord,
  parseCacheHeader,
  readCacheRecord,
} from './cache-record.js';
import { type Position, spansOf } from './cache-spans.js';
import { cacheRecordMinimum, walkRecords } from './cache-walk.js';
import { CacheWaste } from './cache-waste.js';
import { currentList, type FieldList, nextList } from './cached-fields.js';
import type { IndexState } from './index-state.js';
import { IntactRange } from './intact-range.js';

const readFile = promisify(read);

/** Read behind the start of the last record of a span; most records are smaller. */
const recordGuessBytes = 8 * 1024;
/** Read in the event loop while storage is quick. */
const maxQuickBytes = 512 * 1024;
const maxCacheBytes = 4 * 1024 * 1024 * 1024;
const msPerDay = 86_400_000;
/** What V8 keeps as a small integer: a larger one would make it give up code that is compiled for index states without one. */
const largestId = 0x7fffffff;

export interface CacheOptions {
  readonly permissions?: FilePermissions;
  readonly now?: () => number;
}

export class CacheFile {
  #path: string;
  readonly #log: Logger;
  #fd = -1;
  #isUnusable = false;
  readonly #storage = new SlowWatch();
  readonly #permissions: FilePermissions;
  readonly #firstNames: readonly string[];
  readonly #now: () => number;
  /** Undefined while nobody has asked for anything: the state says what the snapshot does. */
  #lengthInSnapshot: number | undefined;
  #intact = new IntactRange();
  readonly #waste = new CacheWaste();
  #isCompacting = false;
  #mayCompact = true;
  /** Counts the files that have been open: what was begun with an earlier one says nothing about this one. */
  #generation = 0;

  /** @param firstNames header fields cached from the start, lower-case */
  constructor(path: string, firstNames: readonly string[], log: Logger, { permissions, now }: CacheOptions = {}) {
    this.#permissions = permissions ?? privatePermissions;
    this.#now = now ?? Date.now;
    this.#path = path;
    this.#firstNames = firstNames;
    this.#log = log;
  }

  /** The mailbox was renamed, and its files with it. */
  moveTo(path: string): void {
    this.#path = path;
  }

  /** Octets that the next opener would have to look through. */
  unindexedBytes(state: IndexState): number {
    return this.#lengthInSnapshot === undefined ? 0 : state.cacheLength - this.#lengthInSnapshot;
  }

  /** The state is that of the snapshot. */
  indexed(state: IndexState): void {
    this.#lengthInSnapshot = state.cacheLength;
  }

  /** It is worth the while of `compact` to look how much of the file is about messages that are gone. Costs next to nothing. */
  isSuspicious(state: IndexState): boolean {
    return this.#fd >= 0 && this.#mayCompact && !this.#isCompacting && this.#waste.isSuspicious(state.cacheLength, state.liveCount);
  }

  /** Writes the file anew, without messages that are gone, if these take most of it; in slices, beside everything else. Never fails. */
  async compact(state: IndexState, isCurrent: () => boolean): Promise<void> {
    this.#isCompacting = true;
    // A peer may have done it.
    await this.catchUp(state);
    const generation = this.#generation;
    const isInPlace = (): boolean => this.#generation === generation && this.#fd >= 0 && fstatSync(this.#fd).nlink > 0;
    const source = {
      path: this.#path,
      permissions: this.#permissions,
      find: (uids: readonly number[]) => this.find(state, uids),
      isCurrent: () => this.#mayCompact && isInPlace() && isCurrent(),
      log: this.#log,
    };
    try {
      if (source.isCurrent() && (await this.#waste.isMostOf(state, source)))
        await compactCache(state, source, (compacted) => this.#takeOver(state, compacted));
    } finally {
      this.#isCompacting = false;
    }
  }

  /** The process ends, or the mailbox is given up: what is being written is thrown away. */
  stopCompacting(): void {
    this.#mayCompact = false;
  }

  /** Our own new file has taken the place of the old one. */
  #takeOver(state: IndexState, compacted: CompactedCache): void {
    this.close();
    const header = this.#tryOpen();
    if (header?.cacheId !== compacted.cacheId) {
      // A peer has thrown it away already.
      this.close();
      return;
    }
    compacted.noteIn(state);
    state.cacheId = compacted.cacheId;
    state.cacheLength = compacted.length;
    this.#lengthInSnapshot = 0;
  }

  /** Brings the positions in `state` up to what is in the file. */
  async catchUp(state: IndexState): Promise<void> {
    if (this.#isUnusable) return;
    try {
      if (this.#fd < 0) await this.#open(state);
      const stat = fstatSync(this.#fd);
      if (stat.nlink === 0) {
        // Somebody threw it away, by right or not.
        this.close();
        await this.#open(state);
        return;
      }
      if (stat.size > state.cacheLength) await this.#scan(state, stat.size);
    } catch (error) {
      this.#giveUp(error);
    }
  }

  /**
   * What is known about these messages. Broken records count as nothing and end the file.
   * @param sections those to read, see `allSections`
   */
  async find(state: IndexState, uids: readonly number[], sections = allSections): Promise<Map<number, CachedMessage>> {
    const found = new Map<number, CachedMessage>();
    const generation = this.#generation;
    let wanted = this.#positionsOf(state, uids);
    // A message has a few records at most; each round reads one more of each.
    for (let round = 0; round < 8 && wanted.length > 0 && this.#fd >= 0; round += 1) {
      const next: Position[] = [];
      try {
        for (const span of spansOf(wanted)) await this.#readSpan(state, span, { sections, found, next });
      } catch (error) {
        // Positions in a file that is another one by now.
        if (generation !== this.#generation) return new Map();
        if (error instanceof BrokenCache) this.#throwAway(state, error.message);
        else this.#giveUp(error);
        return new Map();
      }
      if (generation !== this.#generation) break;
      wanted = next.sort((a, b) => a.offset - b.offset);
    }
    return found;
  }

  /** For searches; undefined when the file cannot be read at once. */
  headers(): CachedHeaders | undefined {
    if (this.#fd < 0 || this.#storage.isPaused) return undefined;
    return new CachedHeaders((into, offset) => {
      if (this.#fd < 0 || this.#storage.isPaused) return 0;
      try {
        return this.#storage.run(() => readSync(this.#fd, into, 0, into.length, offset));
      } catch (error) {
        this.#giveUp(error);
        return 0;
      }
    }, this.#intact);
  }

  /**
   * Finds sections in the records of messages that follow each other, as far as these lie together; see `findPlaces`.
   * @param octets receives a piece of the file, at once
   * @returns how many messages, from the first on
   */
  locate(
    state: IndexState,
    { rows, sections }: { readonly rows: readonly [number, number]; readonly sections: Uint8Array },
    octets: Buffer,
    places: Uint32Array,
  ): number {
    const from = (state.columns.cacheOffset[rows[0]] as number) * cacheUnit;
    if (from === 0 || this.#fd < 0 || this.#storage.isPaused) return 0;
    const wanted = Math.min(octets.length, state.cacheLength - from);
    try {
      const length = this.#storage.run(() => readSync(this.#fd, octets, 0, wanted, from));
      return findPlaces({ octets, length, from, intact: this.#intact }, state.columns, rows, sections, places);
    } catch (error) {
      this.#giveUp(error);
      return 0;
    }
  }

  /** True when the record's fields include all of these names. */
  covers(state: IndexState, list: number, names: readonly string[]): boolean {
    const known = state.cacheNames.get(list);
    return known !== undefined && names.every((name) => known.includes(name));
  }

  /** Makes further names part of what is cached, and forgets those long not asked for. @returns the number of the list to use */
  learn(state: IndexState, names: readonly string[]): number | undefined {
    if (this.#fd < 0) return undefined;
    const today = this.#today();
    const current = currentList(state, this.#firstNames);
    this.#noteDays(state, current.names, today, false);
    const next = nextList(state, { firstNames: this.#firstNames, wanted: names, today });
    if (next === undefined || next.number === current.number) return next?.number;
    this.#noteDays(state, names, today, true);
    for (const name of state.cacheNameDays.keys()) if (!next.names.includes(name)) state.cacheNameDays.delete(name);
    state.cacheNames.set(next.number, next.names);
    this.#writeNames(state, next);
    return next.number;
  }

  /** These names have been asked for: they are not forgotten for some time. */
  used(state: IndexState, names: readonly string[]): void {
    if (this.#fd < 0 || names.length === 0) return;
    const today = this.#today();
    const { number, names: known } = currentList(state, this.#firstNames);
    const learned = names.filter((name) => known.includes(name));
    if (number !== 0 && this.#noteDays(state, learned, today, true)) this.#writeNames(state, { number, names: known });
  }

  /** @param isUse false: only those without a day get one. @returns true when some day has changed */
  #noteDays({ cacheNameDays }: IndexState, names: readonly string[], today: number, isUse: boolean): boolean {
    let isChanged = false;
    for (const name of names) {
      const day = cacheNameDays.get(name);
      if (this.#firstNames.includes(name) || day === today || (day !== undefined && !isUse)) continue;
      cacheNameDays.set(name, today);
      isChanged = true;
    }
    return isChanged;
  }

  /** Peers learn of the list and of the days from the file. */
  #writeNames(state: IndexState, { number, names }: FieldList): void {
    const record = encodeNamesRecord(
      number,
      names,
      names.map((name) => state.cacheNameDays.get(name) ?? 0),
    );
    this.#write(state, [record], { uids: [], lengths: [record.length] });
  }

  #today(): number {
    return Math.floor(this.#now() / msPerDay);
  }

  /** Adds to what is known about messages. */
  add(state: IndexState, messages: ReadonlyMap<number, CachedMessage>): void {
    if (this.#fd < 0 || messages.size === 0 || state.cacheLength > maxCacheBytes) return;
    const records: Buffer[] = [];
    const uids: number[] = [];
    for (const [uid, message] of messages) {
      const row = state.columns.rowOf(uid);
      if (row < 0) continue;
      const record = encodeCacheRecord(uid, state.columns.cacheOffset[row] as number, message);
      if (record.length === 0) continue;
      records.push(record);
      uids.push(uid);
    }
    this.#write(state, records, { uids, lengths: records.map(({ length }) => length) });
  }

  /** The same for records that are written already. */
  addRecords(state: IndexState, records: CacheRecords): void {
    if (this.#fd < 0 || records.uids.length === 0 || state.cacheLength > maxCacheBytes) return;
    this.#write(state, records.blocks, records);
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
    this.#generation += 1;
    this.#intact = new IntactRange();
  }

  async #open(state: IndexState): Promise<void> {
    let header = this.#tryOpen();
    if (header === undefined || header.uidValidity !== state.uidValidity) {
      if (this.#fd >= 0) {
        closeSync(this.#fd);
        this.#fd = -1;
        this.#log.warning('cache.rebuilt', `Cache ${this.#path} is begun anew: it belongs to something else or has no valid header`);
      }
      this.#make(state.uidValidity);
      header = this.#tryOpen();
      if (header === undefined) throw new Error(`${this.#path} cannot be read back`);
    }
    const size = fstatSync(this.#fd).size;
    if (state.cacheId !== header.cacheId || state.cacheLength > size || state.cacheLength < cacheHeaderBytes) {
      state.columns.cacheOffset.fill(0);
      state.cacheId = header.cacheId;
      state.cacheLength = cacheHeaderBytes;
      state.cacheNames.clear();
      state.cacheNameDays.clear();
    }
    this.#lengthInSnapshot = state.cacheLength;
    if (size > state.cacheLength) await this.#scan(state, size);
  }

  #tryOpen(): ReturnType<typeof parseCacheHeader> {
    try {
      closeSync(openSync(this.#path, 'r+'));
      this.#fd = openSync(this.#path, 'a+');
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    }
    const bytes = Buffer.alloc(cacheHeaderBytes);
    readSync(this.#fd, bytes, 0, cacheHeaderBytes, 0);
    return parseCacheHeader(bytes);
  }

  #make(uidValidity: number): void {
    const temporary = `${this.#path}.${process.pid}.tmp`;
    const first = encodeNamesRecord(1, this.#firstNames);
    const fd = openSync(temporary, 'w', this.#permissions.mode);
    try {
      givePermissions(fd, this.#permissions);
      writeFileSync(fd, Buffer.concat([encodeCacheHeader({ cacheId: randomInt(1, largestId), uidValidity }), first]));
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, this.#path);
  }

  async #scan(state: IndexState, end: number): Promise<void> {
    const length = await walkRecords(state, [state.cacheLength, end], (offset, octets) => this.#readAt(offset, octets));
    if (length === undefined) this.#throwAway(state, 'a torn record left it misaligned');
    else state.cacheLength = length;
  }

  #positionsOf(state: IndexState, uids: readonly number[]): Position[] {
    const positions: Position[] = [];
    for (const uid of uids) {
      const row = state.columns.rowOf(uid);
      const unit = row < 0 ? 0 : (state.columns.cacheOffset[row] as number);
      if (unit > 0) positions.push({ uid, offset: unit * cacheUnit });
    }
    return positions.sort((a, b) => a.offset - b.offset);
  }

  async #readSpan(state: IndexState, span: readonly Position[], { sections, found, next }: RecordReading): Promise<void> {
    const first = (span[0] as Position).offset;
    const last = (span.at(-1) as Position).offset;
    // Nothing that the state knows of lies behind its end of the file.
    const guess = Math.min(recordGuessBytes, Math.max(cacheRecordMinimum, state.cacheLength - last));
    const generation = this.#generation;
    const bytes = await this.#readAt(first, last - first + guess);
    for (const { uid, offset } of span) {
      const length = cacheRecordLength(bytes, offset - first);
      if (length === 0) throw new BrokenCache(`no record at ${offset}`);
      let record = bytes;
      let start = offset - first;
      if (start + length > bytes.length) {
        record = await this.#readAt(offset, length);
        start = 0;
      }
      if (generation !== this.#generation) throw new BrokenCache('the file is another one');
      const end = start + length;
      const isTrusted = offset >= this.#intact.from && offset + length <= this.#intact.to;
      const isWhole = end <= record.length && (isTrusted || isIntactCacheRecord(record.subarray(start, end)));
      if (!isWhole || record.readUInt32LE(start + 8) !== uid) throw new BrokenCache(`wrong record at ${offset}`);
      const message = found.get(uid) ?? emptyCachedMessage();
      found.set(uid, message);
      const previous = readCacheRecord(record, start, end, message, sections) * cacheUnit;
      if (previous > 0 && previous < offset) next.push({ uid, offset: previous });
    }
  }

  async #readAt(offset: number, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafeSlow(length);
    let filled = 0;
    if (length <= maxQuickBytes && !this.#storage.isPaused) filled = this.#storage.run(() => readSync(this.#fd, bytes, 0, length, offset));
    while (filled < length) {
      const { bytesRead } = await readFile(this.#fd, bytes, filled, length - filled, offset + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return bytes.subarray(0, filled);
  }

  #write(state: IndexState, blocks: readonly Buffer[], { uids, lengths }: RecordOrder): void {
    if (blocks.length === 0) return;
    let total = 0;
    for (const block of blocks) total += block.length;
    try {
      for (let at = 0; at < blocks.length; at += 512) writevSync(this.#fd, blocks.slice(at, at + 512));
      const end = fstatSync(this.#fd).size;
      // When a peer has written in between, the next catchUp finds both.
      if (end !== state.cacheLength + total) return;
    } catch (error) {
      this.#giveUp(error);
      return;
    }
    let offset = state.cacheLength;
    this.#intact.add(offset, offset + total);
    for (let index = 0; index < lengths.length; index += 1) {
      const uid = uids[index];
      const row = uid === undefined ? -1 : state.columns.rowOf(uid);
      if (row >= 0) state.columns.cacheOffset[row] = offset / cacheUnit;
      offset += lengths[index] as number;
    }
    state.cacheLength = offset;
  }

  #throwAway(state: IndexState, broken: string): void {
    this.#log.warning('cache.rebuilt', `Cache ${this.#path} is broken and begun anew: ${broken}`, { reason: broken });
    this.close();
    state.columns.cacheOffset.fill(0);
    state.cacheId = 0;
    state.cacheLength = 0;
    state.cacheNames.clear();
    state.cacheNameDays.clear();
    try {
      unlinkSync(this.#path);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') this.#giveUp(error);
    }
  }

  #giveUp(error: unknown): void {
    this.#isUnusable = true;
    this.#log.warning('cache.unusable', `Cache ${this.#path} cannot be used`, { error });
    this.close();
  }
}

/** Which message each record is about, and its octets, in the order of writing. */
interface RecordOrder {
  readonly uids: readonly number[];
  readonly lengths: readonly number[];
}

/** Records as `CacheRecordWriter` makes them, each whole. */
export interface CacheRecords extends RecordOrder {
  readonly blocks: readonly Buffer[];
}

/** A round of reading records. */
interface RecordReading {
  readonly sections: number;
  readonly found: Map<number, CachedMessage>;
  /** Receives records that those read point to. */
  readonly next: Position[];
}

class BrokenCache extends Error {}
