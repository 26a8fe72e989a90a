// One Maildir folder in this process: paths, index, locks, and what sessions share. The operations on it are in the files beside this one.
//
// Everything that changes the folder, or reads it as a whole, runs under `mutex` (this process) and, where UIDs are given, under the dot lock of
// dovecot-uidlist (all processes, Dovecot included).
import type { Logger } from '#log/logger.js';
import { errnoOf } from '#util/coded-error.js';
import { LockOwner } from '#util/dot-lock.js';
import { type FilePermissions, permissionsIn } from '#util/file-permissions.js';
import type { NamedFile } from '#util/file-status.js';
import { Mutex } from '#util/keyed-mutex.js';
import { Roster } from '#util/roster.js';
import { SharedRun } from '#util/shared-run.js';
import { ChangeNotifier } from '../change-notifier.js';
import type { MailboxPaths } from '../driver.js';
import { StorageError } from '../errors.js';
import { HeaderKeys } from '../header-keys.js';
import { CacheFile } from '../index/cache-file.js';
import { rowBit } from '../index/columns.js';
import type { IndexOptions } from '../index/index-options.js';
import { type FileStamp, freshModSeq, type IndexState, type Stamps } from '../index/index-state.js';
import { KeyFile } from '../index/key-file.js';
import { modSeqRecord, stampsRecord } from '../index/log-record.js';
import { MailboxIndex } from '../index/mailbox-index.js';
import { firstCachedNames } from './cached-names.js';
import { catchUp } from './commit.js';
import { DiskOrder } from './disk-order.js';
import type { NameMaker } from './file-name.js';
import { type FolderTimes, stampsAfter } from './folder-times.js';
import { LateReading } from './late-reading.js';
import { ListDebt } from './list-debt.js';
import { UidListFile } from './list-file.js';
import { BoxFiles } from './mail-folder.js';
import type { Numbering } from './numbering.js';
import type { MaildirOptions } from './options.js';
import { findOutdated } from './outdated.js';
import { QuickReads } from './quick-read.js';
import { QuietTime } from './quiet-time.js';

/** After own changes the folder is looked at again when this many times the cost of a scan has passed: at most 1 % of the time. */
const recheckFactor = 100;
/** What a scan costs at least, where none has been timed. */
const scanRowsPerMs = 500;
/** And at most, on slow storage: a scan that took longer had to wait for a busy machine, and says nothing about the next one. */
const slowScanRowsPerMs = 50;
const slowScanMs = 10;
/** Cached octets the next opener would have to look through at most, or so great a part of all: the whole index is written to spare it that. */
const cachePositionsBytes = 4 * 1024 * 1024;
const cachePositionsPart = 1 / 4;
/** A change in the same second may have left the mtime as it was (MAILDIR_SYNC_SECS). */
export const dirtyWindowMs = 1000;

export class MaildirBox {
  paths: MailboxPaths;
  #files: BoxFiles;
  readonly options: MaildirOptions;
  readonly log: Logger;
  readonly names: NameMaker;
  readonly disk: DiskOrder;
  list: UidListFile;
  readonly mutex = new Mutex();
  readonly notifier = new ChangeNotifier();
  readonly quickReads = new QuickReads();
  readonly quiet = new QuietTime();
  readonly lateReading = new LateReading();
  readonly headerKeys = new HeaderKeys();
  readonly syncNew: SharedRun;
  readonly syncCur: SharedRun;
  readonly syncList: SharedRun;
  readonly listDebt = new ListDebt(this);
  index: MailboxIndex;
  /** Undefined with INDEX=MEMORY and while nothing is loaded. */
  cache: CacheFile | undefined;
  /** Where `headerKeys` outlive the process; the same. */
  keyFile: KeyFile | undefined;
  isLoaded = false;
  isDeleted = false;
  /** Records of the uidlist above our highest UID whose file has not been seen. */
  unclaimed = new Map<string, { readonly uid: number; readonly extension: string }>();
  /**
   * Stamp of the uidlist that has been read or written, until the index has rows for all it names. Only then is it logged: a peer that saw the stamp
   * earlier would not read the list, and give the files new UIDs.
   */
  listRead: FileStamp | undefined;
  lastScanMs = 1;
  watchers = 0;
  /** A delivery of this process has not been looked at yet. */
  hasArrivals = false;
  /** When the folder was last found to be, or brought, as the index says; ms since the epoch. */
  lookedAtMs = 0;
  readonly views = new Roster<{ readonly numbering: Numbering }>();
  readonly correcting = new Set<number>();
  readonly #lockOwner: LockOwner;
  #permissions: FilePermissions | undefined;
  /** While loaded: of cur/, which a rename of the mailbox does not change. */
  #curInode = 0;

  readonly #isKept = (): boolean => this.isLoaded && !this.isDeleted;

  constructor(paths: MailboxPaths, options: MaildirOptions, names: NameMaker, log: Logger) {
    this.paths = paths;
    this.#files = new BoxFiles(paths.mailDir, paths.controlDir);
    this.options = options;
    this.names = names;
    this.log = log;
    this.disk = new DiskOrder(options, () => this.paths, names);
    this.#lockOwner = new LockOwner(
      () => this.tmpDir,
      () => `${names.next()}.lock`,
    );
    this.list = new UidListFile(paths.controlDir, this.#lockOwner, options.lockTimeoutMs, log);
    this.syncNew = new SharedRun(() => this.#files.new.sync(this.disk.folderSyncs, this.#isKept));
    this.syncCur = new SharedRun(() => this.#files.cur.sync(this.disk.folderSyncs, this.#isKept));
    this.syncList = new SharedRun(() => this.list.sync(this.disk.syncs));
    this.index = MailboxIndex.empty(this.#indexOptions());
  }

  get newDir(): string {
    return this.#files.new.path;
  }
  get curDir(): string {
    return this.#files.cur.path;
  }
  get tmpDir(): string {
    return this.#files.tmpDir;
  }

  /** The mailbox was renamed; open views go on. */
  moveTo(paths: MailboxPaths): void {
    this.quiet.stop();
    this.paths = paths;
    this.disk.moved();
    this.closeFiles();
    this.#files = new BoxFiles(paths.mailDir, paths.controlDir);
    this.list = new UidListFile(paths.controlDir, this.#lockOwner, this.options.lockTimeoutMs, this.log);
    if (paths.indexDir === undefined) return;
    this.cache?.moveTo(cachePath(paths.indexDir));
    this.keyFile?.moveTo(keysPath(paths.indexDir));
  }

  /** Gives back the descriptors of list and folders; who needs them next opens them again. */
  closeFiles(): void {
    this.list.close();
    this.#files.close();
  }

  /** Brings in what peers wrote to the index, new files included. The caller holds the mutex. @returns undefined when that has been done at once */
  catchUp(): Promise<void> | undefined {
    return catchUp(this);
  }

  /**
   * Reads the index from disk, as much of it as a mailbox is opened with (late-columns.ts); where there is none, `build` makes its first state from
   * the folder.
   */
  async load(build: () => Promise<void>, signal: AbortSignal): Promise<void> {
    await this.mutex.run(() => (this.isLoaded ? undefined : this.#readIndex(build)), signal);
  }

  /** The same, and all of it, for a caller that holds the mutex: the memory may have been given to others while it waited. */
  async loadHeld(build: () => Promise<void>): Promise<void> {
    if (!this.isLoaded) await this.#readIndex(build);
    if (await this.index.complete()) return;
    // Views go on in the new state. What is damaged is found, and told, when the files are read as at a first opening.
    this.checkExists();
    this.#giveUpMemory();
    await this.#readIndex(build, true);
    this.changed();
  }

  /** Waits for the columns that a mailbox can be opened without. @returns false when they are damaged: `loadHeld` makes them anew */
  async complete(): Promise<boolean> {
    const { index } = this;
    if (index.isWhole) return true;
    const isWhole = await index.complete();
    // Expunged rows that were there from the start.
    if (isWhole && this.index === index) this.compactIfPossible();
    return isWhole;
  }

  async #readIndex(build: () => Promise<void>, isWhole = false): Promise<void> {
    this.#permissions = undefined;
    this.#curInode = this.#files.cur.status()?.inode ?? 0;
    this.index = await MailboxIndex.open(this.#indexOptions(), isWhole);
    if (this.index.isBuilding) {
      await build();
      await this.index.publish();
    } else if (findOutdated(this, 0) !== undefined) {
      // Perhaps the end of the log was lost with modseqs that clients have seen. That it is time to look again for what a change may hide says nothing.
      await this.index.commit([modSeqRecord(freshModSeq())]);
    }
    const { indexDir } = this.paths;
    this.cache =
      indexDir === undefined
        ? undefined
        : new CacheFile(cachePath(indexDir), firstCachedNames, this.log, { permissions: this.permissions });
    this.keyFile = indexDir === undefined ? undefined : new KeyFile(keysPath(indexDir), this.log, this.permissions);
    this.isLoaded = true;
  }

  /** Lets the next opener find what was cached without looking through it. */
  saveCachePositions(minimumBytes = Math.max(cachePositionsBytes, this.state.cacheLength * cachePositionsPart)): void {
    const { cache, index } = this;
    if (cache === undefined || !index.isWhole || cache.unindexedBytes(index.state) < minimumBytes) return;
    index.compact();
    cache.indexed(index.state);
  }

  /** Most of what the cache holds may be about messages that are gone. */
  tidyCache(): void {
    const { cache } = this;
    const { state } = this.index;
    if (cache === undefined || !this.isLoaded || !this.index.isWhole || !cache.isSuspicious(state)) return;
    const isCurrent = (): boolean => this.isLoaded && !this.isDeleted && this.cache === cache && this.index.state === state;
    this.background(
      cache.compact(state, isCurrent).then(() => {
        if (isCurrent()) this.saveCachePositions();
      }),
      'compact the cache',
    );
  }

  /** Nothing uses it now. */
  get isIdle(): boolean {
    return this.views.size === 0 && this.watchers === 0 && !this.mutex.isHeld && this.#background.size === 0;
  }

  /** Frees the memory of a mailbox whose sessions are all parked. Its watches stay. */
  unloadIfParked(): void {
    if (!this.isLoaded || this.views.size > 0 || this.mutex.isHeld) return;
    if (this.#background.size === 0) this.unload();
    else this.#isUnloadedAfterwards = true;
  }

  /** Gives up what can be read again; the last scalars stay for who still asks. */
  unload(): void {
    this.saveCachePositions(cachePositionsBytes / 16);
    if (this.isLoaded) this.index.compactBeforeClosing();
    this.#giveUpMemory();
  }

  #giveUpMemory(): void {
    this.quiet.stop();
    this.lateReading.stop();
    this.#lockOwner[Symbol.dispose]();
    this.closeFiles();
    this.cache?.close();
    this.cache = undefined;
    this.keyFile?.close();
    this.keyFile = undefined;
    this.headerKeys.clear();
    this.#curInode = 0;
    this.index.close();
    const { guid, uidValidity, uidNext, highestModSeq } = this.index.state;
    this.index = MailboxIndex.empty(this.#indexOptions());
    Object.assign(this.index.state, { guid, uidValidity, uidNext, highestModSeq });
    this.isLoaded = false;
  }

  #indexOptions(): IndexOptions {
    const now = (): MailboxPaths => this.paths;
    return {
      maxKeywordLength: this.options.maxKeywordLength,
      maxHistoryRanges: this.options.maxExpungeHistory,
      // Asked each time: the mailbox may be renamed while its index is open, or being made.
      get folder() {
        return now().indexDir;
      },
      get isFolderGiven() {
        return now().indexDir === now().mailDir;
      },
      permissions: () => this.permissions,
      storage: this.quickReads.storage,
      ...(this.options.compactLogBytes === undefined ? {} : { compactLogBytes: this.options.compactLogBytes }),
      ...(this.options.lateAboveBytes === undefined ? {} : { lateAboveBytes: this.options.lateAboveBytes }),
      log: this.log,
    };
  }

  get state(): IndexState {
    return this.index.state;
  }

  /** All in which something changes when the mailbox does. */
  get watchedFolders(): readonly string[] {
    const { mailDir, controlDir, indexDir } = this.paths;
    return [...new Set([this.newDir, this.curDir, mailDir, controlDir, ...(indexDir === undefined ? [] : [indexDir])])];
  }

  get keywordsFile(): NamedFile {
    return this.#files.keywords;
  }

  /** For files we make. */
  get permissions(): FilePermissions {
    this.#permissions ??= permissionsIn(this.paths.mailDir);
    return this.#permissions;
  }

  /** @throws StorageError `unavailable` while nothing, or not everything, is known of the messages */
  checkLoaded(): void {
    this.index.checkLoaded();
    if (!this.isLoaded) throw new StorageError('unavailable', `${this.paths.mailDir} is being read`);
  }

  checkExists(): void {
    if (this.isDeleted) throw this.#gone();
  }

  /** What a save that failed says: when its mailbox is not there any more, because another process has deleted it, that and nothing else. */
  orGone(error: unknown): unknown {
    const isMissing = [error, error instanceof Error ? error.cause : undefined].some((one) => errnoOf(one) === 'ENOENT');
    return isMissing && this.#files.cur.status() === undefined ? this.#gone(error) : error;
  }

  #gone(cause?: unknown): StorageError {
    return new StorageError('not-found', `${this.paths.mailDir} was deleted`, { clientText: 'Mailbox was deleted', cause });
  }

  /** It is loaded, and its folder cur/ is still at our path. */
  get isInPlace(): boolean {
    return this.isLoaded && !this.isDeleted && this.#files.cur.status()?.inode === this.#curInode;
  }

  /** Nothing of it is in memory, as after deliveries only, and there is a folder cur/ at our path. */
  get takesMail(): boolean {
    return !this.isLoaded && !this.isDeleted && this.#files.cur.status() !== undefined;
  }

  /** @param curInode of the folder cur/ that is at our path now. @returns true when it is not the one we have loaded */
  isReplacedBy(curInode: number): boolean {
    return this.#curInode !== 0 && curInode !== this.#curInode;
  }

  /**
   * Another mailbox lies where ours was, which was renamed or removed by another process. What its files say must never get into our index: the log
   * that we hold open may still be that of our mailbox under its new name.
   */
  replaced(): void {
    this.quiet.stop();
    this.isDeleted = true;
    this.index.close();
    this.closeFiles();
    this.changed();
  }

  /** @throws StorageError `not-found` when the Maildir is gone */
  folderTimes(): FolderTimes {
    return { curMtimeMs: this.#curTime(), newMtimeMs: this.#newTime() };
  }

  #newTime(): number {
    return this.#files.new.status()?.mtimeMs ?? 0;
  }

  #curTime(): number {
    const cur = this.#files.cur.status();
    if (cur !== undefined && this.isReplacedBy(cur.inode)) {
      this.replaced();
      throw new StorageError('not-found', `another mailbox is at ${this.paths.mailDir} now`, { clientText: 'Mailbox was deleted' });
    }
    if (cur === undefined) throw new StorageError('not-found', `${this.curDir} is gone`, { clientText: 'Mailbox was deleted' });
    return cur.mtimeMs;
  }

  /**
   * Messages have gone from new/ to cur/. Where each folder is written to the disk for itself, cur/ has to be first: a message that was safe in new/
   * would otherwise be in neither. What is saved meanwhile waits for it (`taken`).
   */
  namesTaken(): void {
    if (this.options.fsync === 'never' || this.disk.listCoversNames) return;
    const taken = this.#syncTaken.request();
    this.#taken = taken;
    const ended = (): void => {
      if (this.#taken === taken) this.#taken = undefined;
    };
    this.background(taken.finally(ended), 'sync cur/');
  }

  /** Resolves when what has gone from new/ to cur/ is durable there, or cannot be; undefined: it is. */
  get taken(): Promise<void> | undefined {
    return this.#taken?.catch(() => undefined);
  }
  #taken: Promise<void> | undefined;
  /** Waits for nobody: who saves waits for it. */
  readonly #syncTaken = new SharedRun(() => this.#files.cur.sync(this.disk.syncs, this.#isKept));

  /** Tells all views that something may have changed. */
  changed(): void {
    this.notifier.changed();
  }

  /**
   * Runs a short synchronous change of cur/ and new/ and returns the stamps after it. Where somebody else had changed a folder before, its old
   * stamp stays, so that the next sync looks.
   * @param isOfNewOnly cur/ stays as it is
   */
  trackedChange(stamps: Stamps, change: () => void, isOfNewOnly = false): Stamps {
    const before = this.folderTimes();
    change();
    const after = isOfNewOnly ? { ...before, newMtimeMs: this.#newTime() } : this.folderTimes();
    return stampsAfter(stamps, before, after, this.#recheckAtMs());
  }

  /** The same for a change of messages that are here: where none of them is in new/, that folder stays as it is. */
  trackedChangeOfKnown(stamps: Stamps, change: () => void): Stamps {
    if (this.hasNewFiles()) return this.trackedChange(stamps, change);
    const before = this.#curTime();
    change();
    const after = this.#curTime();
    if (before !== stamps.curMtimeMs || after === before) return stamps;
    return { ...stamps, curMtimeMs: after, curRecheckAtMs: this.#recheckAtMs() };
  }

  #recheckAtMs(): number {
    const rows = this.state.columns.length;
    const scanMs = Math.max(Math.min(this.lastScanMs, slowScanMs + rows / slowScanRowsPerMs), rows / scanRowsPerMs);
    return Date.now() + Math.max(dirtyWindowMs + 100, scanMs * recheckFactor);
  }

  /** Some live message's file is in new/. */
  hasNewFiles(): boolean {
    const { columns, highestModSeq } = this.index.state;
    // Files come to new/ only with new rows, which take a modseq.
    if (this.#noNewFiles.state === this.index.state && this.#noNewFiles.modSeq === highestModSeq) return false;
    // The first session of a process asks, in which no loop is compiled yet: native calls tell it in a hundredth of the time.
    const bits = Buffer.from(columns.bits.buffer, columns.bits.byteOffset, columns.length);
    if (bits.includes(rowBit.inNew) || bits.includes(rowBit.inNew | rowBit.asStored)) return true;
    this.#noNewFiles = { state: this.index.state, modSeq: highestModSeq };
    return false;
  }
  #noNewFiles: { readonly state: IndexState | undefined; readonly modSeq: number } = { state: undefined, modSeq: 0 };

  /** Drops expunged rows once no view counts them. */
  compactIfPossible(): void {
    this.tidyCache();
    const { state } = this.index;
    if (!state.hasDeadRows || !this.index.isWhole) return;
    for (const { numbering } of this.views) if (numbering.state !== state || !numbering.allowsCompaction) return;
    state.columns.compact();
    for (const { numbering } of this.views) numbering.compacted();
  }

  stampsRecordFor(stamps: Stamps): Buffer {
    return stampsRecord(stamps);
  }

  /** What it does with the messages needs them in memory; who waits for it is told of its failure. */
  keepWhile(work: Promise<unknown>): void {
    const nothing = (): void => undefined;
    this.background(work.then(nothing, nothing), 'go on');
  }

  /** Work that nobody waits for: its failure is logged, `close` waits for it. */
  background(work: Promise<void>, doing: string): void {
    const guarded = work
      .catch((error: unknown) => this.log.error('maildir.background', `Could not ${doing} in ${this.paths.mailDir}`, { error }))
      .finally(() => {
        this.#background.delete(guarded);
        if (this.#background.size > 0 || !this.#isUnloadedAfterwards) return;
        this.#isUnloadedAfterwards = false;
        this.unloadIfParked();
      });
    this.#background.add(guarded);
  }
  /** It was to be given up while there was work. */
  #isUnloadedAfterwards = false;
  readonly #background = new Set<Promise<void>>();

  async settled(): Promise<void> {
    while (this.#background.size > 0) await Promise.all(this.#background);
  }

  /** A message came without a UID: views learn of it when they sync. */
  arrived(): void {
    this.hasArrivals = true;
    this.notifier.changed();
  }

  warnOnce(key: string, event: string, text: string, fields: Record<string, unknown>): void {
    if (this.#warned.has(key)) return;
    this.#warned.add(key);
    this.log.warning(event, text, { mailDir: this.paths.mailDir, ...fields });
  }
  readonly #warned = new Set<string>();
}

function cachePath(indexDir: string): string {
  return `${indexDir}/roost.cache`;
}

function keysPath(indexDir: string): string {
  return `${indexDir}/roost.keys`;
}
