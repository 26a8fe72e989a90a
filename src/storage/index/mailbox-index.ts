// The index of one mailbox: state in memory, continued by every process through roost.index.log.
//
// Appending takes no lock. A record is one write(2) to a file opened with O_APPEND, which the kernel puts behind whatever others have written; after
// it, a process applies what lies between its position and the end of its own record, in file order, so all processes reach the same
// state. What cannot be merged this way (UIDs) happens under the dot lock of dovecot-uidlist anyway.
//
// The state is what the log says up to a position, and nothing else: clients are told modseqs of it, which must be the same for all and for ever. So who
// finds the log replaced more often than he can follow applies nothing, neither of the old log nor of his own, until `reload` has read the new
// files; what cannot wait for that is written to the new log all the same, and comes into the state with it.
//
// Compaction, under roost.index.lock: append a seal, apply up to it, write a new snapshot and a new empty log, rename both into place. A record
// behind a seal does not count; its writer finds the seal when it applies, changes over to the new log and appends once more. A process
// that dies between seal and renames leaves a sealed log: whoever meets it writes the same snapshot and the log the seal names.
//
// A record that was cut off (crash, full disk) is skipped; the state before it is right, so whoever meets it compacts. When a process starts and
// finds valid records behind a broken one, it cannot know what was lost, and the index is built anew from the Maildir.
import { closeSync, mkdirSync, writeSync, writevSync } from 'node:fs';
import { errnoOf } from '#util/coded-error.js';
import { type DotLock, takeDotLock, tryDotLock } from '#util/dot-lock.js';
import { privatePermissions } from '#util/file-permissions.js';
import { statusOfOpen } from '#util/file-status.js';
import { StorageError } from '../errors.js';
import { appendBehind } from './append-behind.js';
import { type Applied, applyRecord, isFact } from './apply-record.js';
import { bootId } from './boot-id.js';
import { type OpenLog, openLog, openLogId, pause, randomLogId, removeLog } from './index-files.js';
import type { IndexOptions } from './index-options.js';
import { freshModSeq, IndexState } from './index-state.js';
import { type LoadedIndex, loadIndex, wholeBelowBytes } from './load-index.js';
import { type LogRange, readLogRange } from './log-range.js';
import { logHeaderBytes, readRange } from './log-reader.js';
import { modSeqRecord, sealRecord } from './log-record.js';
import { applyNewRows, type NewRows, newRowsRecords } from './new-rows.js';
import { writeIndex } from './write-index.js';

const defaultCompactLogBytes = 128 * 1024;
/** A log that is so small a part of its snapshot is left as it is. */
const closingPart = 32;
/** Between seal and renames a process writes one snapshot; on a busy machine it may have to wait for its turn. */
const sealWaitMs = 10_000;
/** Logs in a row that are replaced before a record gets into them: something is wrong. */
const mostAppends = 1000;
const neverIn = 'every log is replaced before a record gets into it';
/** Publishing takes as long as writing a snapshot. */
const publishWaitMs = 10_000;

let placeholder: IndexState | undefined;

export class MailboxIndex {
  state: IndexState;
  /** Another process has made the files anew: the state stays as it is until `reload`. */
  needsReload = false;
  readonly #options: IndexOptions;
  #log: OpenLog | undefined;
  #snapshotBytes = 0;
  /** No files are written until `publish`: the first state is made as a whole. */
  #isBuilding: boolean;
  #sealedTo: number | undefined;
  #hasBrokenRecord = false;
  /** The log was deleted, not replaced, and nobody has made another one yet. */
  #isRemoved = false;
  #isUnloaded = false;

  private constructor(options: IndexOptions, loaded: LoadedIndex | undefined) {
    this.#options = options;
    this.state = loaded?.state ?? new IndexState(options, freshModSeq());
    this.#isBuilding = loaded === undefined;
    if (loaded !== undefined) this.#use(loaded);
  }

  /** The state of a mailbox that has not been loaded, or was given up: nothing may be added to it, as it knows no message. */
  static empty(options: IndexOptions): MailboxIndex {
    const index = new MailboxIndex({ ...options, folder: undefined }, undefined);
    index.#isUnloaded = true;
    return index;
  }

  /** @throws StorageError `unavailable` while nothing is known of the mailbox */
  checkLoaded(): void {
    if (this.#isUnloaded) throw new StorageError('unavailable', 'the mailbox is not in memory any more');
  }

  /** An empty state for views that have given up theirs; nobody changes it. */
  static placeholder(): IndexState {
    placeholder ??= new IndexState({ maxKeywordLength: 0, maxHistoryRanges: 1 }, 0);
    return placeholder;
  }

  /**
   * Reads the files; where they are missing or unusable, the index is empty and `isBuilding`.
   * @param isWhole nothing is left for later
   */
  static async open(options: IndexOptions, isWhole = false): Promise<MailboxIndex> {
    if (options.folder === undefined) return new MailboxIndex(options, undefined);
    const { lateAboveBytes = wholeBelowBytes, storage } = options;
    const loading = isWhole ? {} : { lateAboveBytes, ...(storage === undefined ? {} : { storage }) };
    const loaded = await loadIndex(options.folder, options, options.log, loading);
    const index = new MailboxIndex(options, loaded);
    if (loaded !== undefined && (loaded.isTorn || !loaded.bootId.equals(bootId()))) {
      if (!(await index.complete())) {
        index.close();
        return MailboxIndex.open(options, true);
      }
      // What the kernel had not written, or what was cut off, may have told clients about higher modseqs.
      await index.commit([modSeqRecord(freshModSeq())]);
      index.compact();
    } else index.#compactIfLarge();
    return index;
  }

  /** All columns of the state have been read. */
  get isWhole(): boolean {
    return this.state.columns.isWhole;
  }

  /** Reads the columns that were left for later. @returns false when they are damaged: the index has to be read, or made, anew */
  async complete(): Promise<boolean> {
    const { columns } = this.state;
    if (columns.isWhole) return true;
    if (!(await columns.complete())) return this.state.columns !== columns && this.complete();
    if (columns === this.state.columns) this.#compactIfLarge();
    return true;
  }

  /** The state has to be made from the Maildir, then published. */
  get isBuilding(): boolean {
    return this.#isBuilding;
  }

  /** Applies what peers wrote. @returns true when anything may have changed */
  catchUp(): boolean {
    const log = this.#log;
    if (log === undefined || this.needsReload) return false;
    const stat = statusOfOpen(log.fd);
    if (stat.size === log.position && stat.links > 0) return false;
    const before = this.state.highestModSeq;
    const range = readLogRange(readRange(log.fd, log.position, stat.size), false);
    if (stat.links === 0 && range.sealedTo === undefined) this.#replaceRemoved(log);
    else this.#take(log, range);
    if (this.#sealedTo !== undefined) this.#changeOver();
    if (this.#hasBrokenRecord) this.compact();
    return this.state.highestModSeq !== before;
  }

  /**
   * Adds records to the log at once and applies them, behind those of peers. Where the log has been replaced and `reload` must come first they are
   * only written: for who does not need to know what became of them.
   *
   * Once loaded never fails: when the files cannot be written (disk full), the index goes on in memory, and the next process builds it anew.
   */
  append(records: readonly Buffer[]): void {
    this.checkLoaded();
    for (let attempt = 1; this.#log !== undefined; attempt += 1) {
      if (attempt > mostAppends) this.#giveUpFiles(new Error(neverIn));
      else if (this.#tryAppend(this.#log, records) !== undefined) return;
      else if (this.needsReload && this.#appendBehind(records)) break;
    }
    // What is numbered waits for its turn.
    for (const record of records) if (this.#log === undefined || isFact(record)) applyRecord(this.state, record);
  }

  /**
   * The same after the files have been read anew, where that is needed: `state` may be another object afterwards, unless it was done at once. One at a time.
   * @returns one entry a record
   */
  commit(records: readonly Buffer[]): Applied[] | Promise<Applied[]> {
    this.checkLoaded();
    // Which is what it comes to, almost always.
    const applied = this.#log === undefined ? undefined : this.#tryAppend(this.#log, records);
    return applied ?? this.#commitLater(records);
  }

  async #commitLater(records: readonly Buffer[]): Promise<Applied[]> {
    for (let attempt = 1; this.#log !== undefined; attempt += 1) {
      if (attempt > mostAppends) this.#giveUpFiles(new Error(neverIn));
      else if (this.needsReload) await this.reload();
      else {
        const applied = this.#tryAppend(this.#log, records);
        if (applied !== undefined) return applied;
      }
    }
    return records.map((record) => applyRecord(this.state, record));
  }

  /** Adds messages as records of the log; a state that is being built takes them as they are. */
  async addRows(rows: NewRows): Promise<void> {
    this.checkLoaded();
    if (this.#log === undefined) applyNewRows(this.state, rows);
    else for (const record of newRowsRecords(this.state, rows)) await this.commit([record]);
  }

  /** Writes the state that was built. When a peer was faster, its files are taken instead. */
  async publish(): Promise<void> {
    const { folder } = this.#options;
    if (!this.#isBuilding || folder === undefined) return;
    try {
      if (this.#options.isFolderGiven !== true) mkdirSync(folder, { recursive: true, mode: 0o700 });
      // A peer that opened the mailbox at the same moment is publishing: two states side by side would give out different modseqs.
      const lock = await takeDotLock(`${folder}/roost.index`, { timeoutMs: publishWaitMs });
      try {
        const theirs = await loadIndex(folder, this.#options, this.#options.log, { isLocked: true });
        if (theirs !== undefined && theirs.state.uidValidity === this.state.uidValidity) {
          this.#takeState(theirs.state);
          this.#use(theirs);
          // A peer is just adding a record, or its last one was cut off: either way its clients have heard of modseqs that ours must not fall behind.
          if (theirs.isTorn) await this.commit([modSeqRecord(freshModSeq())]);
        } else this.#writeFiles(randomLogId());
      } finally {
        lock.release();
      }
      if (this.#hasBrokenRecord) this.compact();
    } catch (error) {
      this.#giveUpFiles(error);
    }
    this.#isBuilding = false;
  }

  /** Writes a new snapshot and starts a new log. Does nothing when another process is doing it. */
  compact(): void {
    const { folder } = this.#options;
    const log = this.#log;
    if (log === undefined || folder === undefined || this.needsReload) return;
    let lock: DotLock | undefined;
    try {
      lock = tryDotLock(`${folder}/roost.index`);
      if (lock === undefined || statusOfOpen(log.fd).links === 0) return;
      const next = randomLogId();
      writeSync(log.fd, sealRecord(next));
      this.#readTo(log, true);
      this.#writeFiles(this.#sealedTo ?? next);
    } catch (error) {
      this.#giveUpFiles(error);
    } finally {
      lock?.release();
    }
  }

  /**
   * Before a mailbox is given up: what the next opener would have to apply before a client has its answer becomes part of the snapshot. Sooner than while
   * it is open, and not so soon that each short session writes a large snapshot.
   */
  compactBeforeClosing(): void {
    const log = this.#log;
    if (log === undefined || !this.isWhole) return;
    if (log.position > Math.max(this.#options.compactLogBytes ?? defaultCompactLogBytes, this.#snapshotBytes / closingPart)) this.compact();
  }

  close(): void {
    this.state.columns.giveUp();
    if (this.#log !== undefined) closeSync(this.#log.fd);
    this.#log = undefined;
  }

  /** Octets of the log that the next opener has to apply. */
  get logBytes(): number {
    return this.#log === undefined ? 0 : this.#log.position - logHeaderBytes;
  }

  #use(loaded: LoadedIndex): void {
    if (this.#log !== undefined) closeSync(this.#log.fd);
    this.#log = { fd: loaded.fd, logId: loaded.logId, inode: loaded.inode, position: loaded.position };
    this.#snapshotBytes = loaded.snapshotBytes;
    this.#sealedTo = loaded.sealedTo;
    this.#hasBrokenRecord = false;
    this.#isRemoved = false;
    if (this.#sealedTo !== undefined) this.#changeOver();
  }

  /** @returns undefined when the records have to be appended again, to another log, perhaps after `reload` */
  #tryAppend(log: OpenLog, records: readonly Buffer[]): Applied[] | undefined {
    if (this.needsReload) return undefined;
    if (this.#isRemoved) {
      this.#replaceRemoved(log);
      return undefined;
    }
    let total = 0;
    for (const record of records) total += record.length;
    try {
      const written = records.length === 1 ? writeSync(log.fd, records[0] as Buffer) : writevSync(log.fd, records);
      if (written !== total) throw new Error(`short write of ${written} of ${total} octets to the index log`);
    } catch (error) {
      this.#giveUpFiles(error);
      return undefined;
    }
    const stat = statusOfOpen(log.fd);
    let applied: Applied[];
    if (stat.size === log.position + total && stat.links > 0) {
      log.position = stat.size;
      applied = records.map((record) => applyRecord(this.state, record));
    } else {
      const range = readLogRange(readRange(log.fd, log.position, stat.size), true);
      if (stat.links === 0 && range.sealedTo === undefined) {
        this.#replaceRemoved(log);
        return undefined;
      }
      applied = this.#take(log, range, records);
      if (this.#sealedTo !== undefined) {
        this.#changeOver();
        return applied.length < records.length ? undefined : applied;
      }
      // Cut short or overwritten by something else than us: what we know is written anew.
      const isLost = applied.length < records.length;
      for (const record of records.slice(applied.length)) applied.push(applyRecord(this.state, record));
      if (this.#hasBrokenRecord || isLost) this.compact();
    }
    this.#compactIfLarge();
    return applied;
  }

  /**
   * The log has no name any more and no seal: it was deleted. Who is first writes the files anew, with all that is in it; who finds others there has to
   * read those. Records that were written to it meanwhile are added once more, which changes nothing where they were seen.
   */
  #replaceRemoved(log: OpenLog): void {
    const { folder } = this.#options;
    if (folder === undefined) return;
    this.#isRemoved = true;
    const path = `${folder}/roost.index.log`;
    let lock: DotLock | undefined;
    try {
      if (openLogId(path) === undefined) {
        lock = tryDotLock(`${folder}/roost.index`);
        if (lock === undefined) {
          pause();
          return;
        }
      }
      if (openLogId(path) === undefined) {
        this.#readTo(log, true);
        this.#writeFiles(randomLogId());
      } else this.needsReload = true;
      this.#isRemoved = false;
    } catch (error) {
      this.#giveUpFiles(error);
    } finally {
      lock?.release();
    }
  }

  /** @returns false to be called again: the log is being replaced once more */
  #appendBehind(records: readonly Buffer[]): boolean {
    const { folder } = this.#options;
    try {
      if (folder === undefined || appendBehind(folder, this.state.uidValidity, records)) return true;
      pause();
      return false;
    } catch (error) {
      this.#giveUpFiles(error);
      return true;
    }
  }

  #readTo(log: OpenLog, isWhole: boolean): void {
    this.#take(log, readLogRange(readRange(log.fd, log.position, statusOfOpen(log.fd).size), isWhole));
  }

  /** Applies what lies behind the position. @returns what became of `own`, as far as they were found */
  #take(log: OpenLog, { records, length, sealedTo, torn }: LogRange, own: readonly Buffer[] = []): Applied[] {
    const results: Applied[] = [];
    for (const record of records) {
      const applied = applyRecord(this.state, record);
      if (own[results.length]?.equals(record) === true) results.push(applied);
    }
    for (const { at, octets } of torn) {
      const offset = log.position + at;
      this.#options.log.warning('index.torn-record', `Skipped a torn record in ${this.#options.folder}/roost.index.log`, {
        offset,
        octets,
      });
      this.#hasBrokenRecord = true;
    }
    log.position += length;
    this.#sealedTo = sealedTo;
    return results;
  }

  /** The log was sealed: go on in the one the seal names, and if that is sealed as well in the next one. */
  #changeOver(): void {
    // A record behind a seal does not count: nobody may go on with a log that has one.
    for (let count = 1; this.#sealedTo !== undefined; count += 1) {
      const next = this.#sealedTo;
      this.#sealedTo = undefined;
      if (count <= mostAppends) this.#changeOverTo(next);
      else this.#giveUpFiles(new Error('every log is sealed before it can be used'));
    }
  }

  /** @param next a log whose snapshot is the state we have */
  #changeOverTo(next: number): void {
    const { folder } = this.#options;
    if (folder === undefined) return;
    const deadline = Date.now() + sealWaitMs;
    for (;;) {
      const log = openLog(`${folder}/roost.index.log`);
      if (log !== undefined && log.logId === next) {
        this.#replaceLog(log);
        this.#readTo(log, false);
        return;
      }
      if (log !== undefined) closeSync(log.fd);
      if (log !== undefined && log.logId !== this.#log?.logId) {
        this.needsReload = true;
        return;
      }
      // The sealing process is between its two renames, or dead: then its lock is stale and the work is ours.
      const lock = tryDotLock(`${folder}/roost.index`);
      if (lock !== undefined) {
        try {
          const current = openLogId(`${folder}/roost.index.log`);
          // While the lock was taken a peer has made the successor, and perhaps the successor of that: what is in it must not be put back.
          if (current !== undefined && current !== this.#log?.logId) continue;
          this.#writeFiles(next);
          return;
        } catch (error) {
          this.#giveUpFiles(error);
          return;
        } finally {
          lock.release();
        }
      }
      if (Date.now() > deadline) {
        this.#giveUpFiles(new StorageError('in-use', `${folder}/roost.index.lock is held`));
        return;
      }
      pause();
    }
  }

  /** Takes files that another process has made anew. @returns true when the state object was replaced */
  async reload(): Promise<boolean> {
    const { folder } = this.#options;
    if (!this.needsReload || folder === undefined) return false;
    const loaded = await loadIndex(folder, this.#options, this.#options.log);
    // Not before: until then nothing may be read from the old log, which has records behind its seal that count in no state.
    this.needsReload = false;
    if (this.#log === undefined) {
      if (loaded !== undefined) closeSync(loaded.fd);
      return false;
    }
    if (loaded === undefined) {
      this.#giveUpFiles(new Error('the index was replaced by an unusable one'));
      return false;
    }
    if (loaded.state.uidValidity !== this.state.uidValidity) {
      closeSync(loaded.fd);
      this.#leaveFiles();
      return false;
    }
    this.#takeState(loaded.state);
    this.#use(loaded);
    return true;
  }

  #takeState(state: IndexState): void {
    this.state.columns.giveUp();
    this.state = state;
  }

  #replaceLog(log: OpenLog): void {
    if (this.#log !== undefined) closeSync(this.#log.fd);
    this.#log = log;
  }

  /** The caller holds roost.index.lock. */
  #writeFiles(logId: number): void {
    const { folder } = this.#options;
    if (folder === undefined) return;
    const { log, snapshotBytes } = writeIndex(folder, this.state, logId, this.#options.permissions?.() ?? privatePermissions);
    this.#replaceLog(log);
    this.#snapshotBytes = snapshotBytes;
    this.#sealedTo = undefined;
    this.#hasBrokenRecord = false;
  }

  #compactIfLarge(): void {
    const log = this.#log;
    // What has not been read is not worth waiting for: `complete` asks again.
    if (!this.isWhole) return;
    if (log !== undefined && log.position > Math.max(this.#options.compactLogBytes ?? defaultCompactLogBytes, this.#snapshotBytes / 4))
      this.compact();
  }

  /** They are those of another mailbox, which was made in the place of this one: whoever has this one open is told so. */
  #leaveFiles(): void {
    if (this.#log !== undefined) closeSync(this.#log.fd);
    this.#log = undefined;
  }

  #giveUpFiles(error: unknown): void {
    const { folder, log } = this.#options;
    // A mailbox that a peer has just renamed or deleted; whoever has it open is told so.
    const isGone = this.#options.isFolderGiven === true && errnoOf(error) === 'ENOENT';
    log[isGone ? 'debug' : 'warning']('index.unwritable', `Index files in ${folder} cannot be written; going on in memory`, { error });
    if (this.#log === undefined) return;
    closeSync(this.#log.fd);
    this.#log = undefined;
    // Others must not believe a log that lacks our changes. They look for themselves when the stamps differ; this only makes sure.
    removeLog(`${folder}/roost.index.log`, log);
  }
}
