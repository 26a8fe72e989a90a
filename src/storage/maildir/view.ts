import type { MimePart } from '#mail/mime-part.js';
import { intersectRanges, type NumberRange, normalizeRanges, numbersOf, rangesOf, subtractRanges } from '#util/number-set.js';
import { StorageError } from '../errors.js';
import type { FieldKeys } from '../header-keys.js';
import { unknown32 } from '../index/columns.js';
import { MailboxIndex } from '../index/mailbox-index.js';
import type {
  CopyResult,
  KeptFlags,
  Mailbox,
  MailboxView,
  MessageReader,
  StoreChange,
  StoreResult,
  SuspendedView,
  SyncOptions,
  ViewChanges,
} from '../mailbox.js';
import type { SearchQuery } from '../search.js';
import { isOfFlags } from '../search-flags.js';
import { evaluateSearch } from '../search-run.js';
import type { HeaderKeyFound, HeaderWanted, MessageFact } from '../search-source.js';
import { flagBit, type MessageNeeds, type ModSeq, type Uid } from '../types.js';
import type { FlagColumns, WireForm, WireRoom, WireRun } from '../wire-run.js';
import type { MaildirBox } from './box.js';
import { cachedStructure, cacheStructure, fieldsOf, loadContents, needsContents } from './contents.js';
import { copyWithinQuota } from './copy-within-quota.js';
import { expungeMessages } from './expunge.js';
import { flagColumns } from './flag-columns.js';
import { flagMatches } from './flag-search.js';
import { storeFlags } from './flag-store.js';
import { guidOf } from './guid.js';
import { findHeaderKeys } from './header-search.js';
import { headerOutcomes } from './key-scan.js';
import { MaildirMailboxBase } from './mailbox-base.js';
import { expungedError, learnFacts, openReader, peekMessage } from './message-files.js';
import { Numbering } from './numbering.js';
import { readRestSoon, refresh, wholeIndex } from './reconcile.js';
import type { Contents } from './summaries.js';
import { claimRecent, takeNew } from './take-new.js';
import { ViewNews } from './view-news.js';
import { findWireRun } from './wire-run.js';

/** Shared by the views at rest, which are many. */
const nothingPrepared: ReadonlyMap<number, Contents | undefined> = new Map();

/** One session's view of a Maildir. Between syncs only the numbering is frozen; everything else is read from the shared columns. */
export class MaildirView implements MailboxView {
  readonly mailbox: MaildirMailboxBase;
  readonly isReadOnly: boolean;
  readonly numbering: Numbering;
  readonly #box: MaildirBox;
  readonly #news: ViewNews;
  #prepared = nothingPrepared;
  #needs: MessageNeeds = {};
  readonly #watches = new Set<() => void>();
  #isClosed = false;

  private constructor(mailbox: MaildirMailboxBase, isReadOnly: boolean) {
    this.mailbox = mailbox;
    this.isReadOnly = isReadOnly;
    this.#box = mailbox.box;
    this.numbering = new Numbering(mailbox.box.state);
    this.#news = new ViewNews(mailbox.box.state);
  }

  static async open(mailbox: MaildirMailboxBase, isReadOnly: boolean, signal: AbortSignal): Promise<MaildirView> {
    const { box } = mailbox;
    await mailbox.ready(signal);
    if (!isReadOnly || box.options.emptyNew) await takeNew(box, signal);
    // While others were waited for, the memory may have been given to other mailboxes.
    while (!box.isLoaded) await mailbox.ready(signal);
    if (box.state.uidValidity === 0) throw new StorageError('unavailable', `${box.paths.mailDir} has no UIDVALIDITY yet`);
    const firstRecent = box.state.firstRecentUid;
    if (!isReadOnly) claimRecent(box);
    const view = new MaildirView(mailbox, isReadOnly);
    box.views.add(view);
    view.#news.noteRecent(firstRecent, box.state.highestUid);
    view.#news.start(view.recentCount);
    box.compactIfPossible();
    readRestSoon(box);
    return view;
  }

  /** @throws StorageError `corrupt` when the UIDs mean other messages now */
  static async resume(mailbox: MaildirMailboxBase, suspended: SuspendedView, signal: AbortSignal): Promise<MaildirView> {
    const { box } = mailbox;
    while (!box.isLoaded) await mailbox.ready(signal);
    if (box.state.uidValidity !== suspended.uidValidity) {
      throw new StorageError('corrupt', `UIDVALIDITY of ${mailbox.name} changed while its session was suspended`);
    }
    const view = new MaildirView(mailbox, suspended.isReadOnly || mailbox.isReadOnly);
    view.numbering.takeOver([...numbersOf(suspended.uids)], suspended.uidNext);
    view.#news.resume(suspended);
    box.views.add(view);
    readRestSoon(box);
    return view;
  }

  get count(): number {
    return this.numbering.count;
  }

  get recentCount(): number {
    let count = 0;
    for (const [first, last] of this.#news.recentRanges) count += this.numbering.lowerBound(last + 1) - this.numbering.lowerBound(first);
    return count;
  }

  get highestModSeq(): ModSeq {
    return this.#news.highestTold(this.numbering);
  }

  firstUnseen(): number {
    return this.numbering.firstWithout(flagBit.seen);
  }

  uidAt(seq: number): Uid {
    return this.numbering.uidAt(seq) as Uid;
  }

  seqOf(uid: Uid | number): number {
    const seq = this.numbering.lowerBound(uid);
    return seq <= this.count && this.numbering.uidAt(seq) === uid ? seq : 0;
  }

  lowerBound(uid: number): number {
    return this.numbering.lowerBound(uid);
  }

  systemFlagsAt(seq: number): number {
    const row = this.numbering.rowAt(seq);
    if (row < 0) return this.numbering.ghostAt(seq)?.flags ?? 0;
    const { columns } = this.numbering.state;
    const flags = columns.flags[row] as number;
    return this.#news.isRecent(columns.uid[row] as number) ? flags | flagBit.recent : flags;
  }

  keywordsAt(seq: number): readonly string[] {
    const row = this.numbering.rowAt(seq);
    return row < 0 ? (this.numbering.ghostAt(seq)?.keywords ?? []) : this.numbering.state.keywordsOf(row);
  }

  modSeqAt(seq: number): ModSeq {
    const row = this.numbering.rowAt(seq);
    return row < 0
      ? (this.numbering.ghostAt(seq)?.modSeq ?? this.#news.syncedModSeq)
      : (this.numbering.state.columns.modSeq[row] as number);
  }

  flagColumns(first: number, last: number): FlagColumns | undefined {
    return flagColumns(this.numbering, this.#news, first, last);
  }

  async wireRun(
    seqs: readonly [number, number],
    forms: readonly WireForm[],
    room: WireRoom,
    signal: AbortSignal,
  ): Promise<WireRun | undefined> {
    await this.#ready(signal);
    return findWireRun(this.#box, () => this.flagColumns(...seqs), { seqs, forms }, room);
  }

  isExpunged(seq: number): boolean {
    return this.numbering.isGone(seq);
  }

  guidAt(seq: number): string {
    const row = this.numbering.rowAt(seq);
    return row < 0 ? '' : guidOf(this.numbering.state, row);
  }

  async complete(signal: AbortSignal): Promise<void> {
    await this.#ready(signal);
  }

  async prepare(seqs: readonly number[], needs: MessageNeeds, signal: AbortSignal): Promise<readonly number[]> {
    await this.#ready(signal);
    this.#prepared = nothingPrepared;
    this.#needs = needs;
    const gone = new Set<number>();
    const present: number[] = [];
    const uids: number[] = [];
    for (const seq of seqs) {
      if (this.numbering.isGone(seq)) gone.add(seq);
      else {
        present.push(seq);
        uids.push(this.numbering.uidAt(seq));
      }
    }
    const facts = { size: needs.size === true, internalDate: needs.internalDate === true, saveDate: needs.saveDate === true };
    const prepared = new Map<number, Contents | undefined>();
    // First: messages that are opened for their contents tell their dates, too.
    const contents = needsContents(needs) ? await loadContents(this.#box, uids, needs, signal) : undefined;
    for (;;) {
      const { state } = this.#box;
      if (facts.size || facts.internalDate || facts.saveDate) {
        for (const uid of await learnFacts(this.#box, uids, facts, signal)) gone.add(this.seqOf(uid));
      }
      // A peer's new index may have come meanwhile: the numbering is the same, but what file names tell is not in its columns yet.
      this.#checkState();
      if (this.#box.state === state) break;
      signal.throwIfAborted();
    }
    for (let index = 0; index < present.length; index += 1) {
      const seq = present[index] as number;
      const found = contents?.get(uids[index] as number);
      if (contents !== undefined && found === undefined) gone.add(seq);
      else if (!gone.has(seq)) prepared.set(seq, found);
    }
    this.#prepared = prepared;
    return [...gone].sort((a, b) => a - b);
  }

  sizeAt(seq: number): number {
    this.#checkPrepared(seq, this.#needs.size);
    return this.numbering.state.columns.virtualSize[this.numbering.rowAt(seq)] as number;
  }
  internalDateAt(seq: number): number {
    this.#checkPrepared(seq, this.#needs.internalDate);
    return (this.numbering.state.columns.internalDate[this.numbering.rowAt(seq)] as number) * 1000;
  }
  saveDateAt(seq: number): number {
    this.#checkPrepared(seq, this.#needs.saveDate);
    return (this.numbering.state.columns.saveDate[this.numbering.rowAt(seq)] as number) * 1000;
  }
  envelopeAt(seq: number): Buffer {
    return this.#contentAt(seq, this.#needs.envelope, 'envelope');
  }
  bodyAt(seq: number): Buffer {
    return this.#contentAt(seq, this.#needs.body, 'body');
  }
  bodyStructureAt(seq: number): Buffer {
    return this.#contentAt(seq, this.#needs.bodyStructure, 'bodyStructure');
  }
  headerFieldsAt(seq: number, names: readonly string[]): Buffer {
    const prepared = this.#needs.headers ?? [];
    const isPrepared = names.every((name) => prepared.includes(name));
    return fieldsOf(this.#contentAt(seq, isPrepared, 'header'), names);
  }
  previewAt(seq: number): string {
    this.#checkPrepared(seq, this.#needs.preview);
    return this.#prepared.get(seq)?.preview ?? '';
  }

  async openMessage(seq: number, signal: AbortSignal): Promise<MessageReader> {
    await this.#ready(signal);
    const uid = this.numbering.uidAt(seq);
    if (this.numbering.isGone(seq)) throw expungedError(uid);
    const box = this.#box;
    const structures = { find: () => cachedStructure(box, uid), keep: (structure: MimePart) => cacheStructure(box, uid, structure) };
    return openReader(box, uid, signal, structures);
  }

  headerKeys(field: string): FieldKeys {
    return this.#box.headerKeys.of(field, this.#box.state.uidValidity);
  }

  headerOutcomes(wanted: HeaderWanted, signal: AbortSignal): Promise<Uint8Array | undefined> {
    return headerOutcomes(this.#box, this.numbering, wanted, this.headerKeys(wanted.field), signal);
  }

  async findHeaderKeys(fields: readonly string[], seqs: readonly number[], found: HeaderKeyFound): Promise<void> {
    this.#checkState();
    await findHeaderKeys(this.#box, this.numbering, { fields, seqs }, found);
  }

  peekMessage(seq: number): Buffer | undefined {
    if (!this.#box.isLoaded || this.#box.isDeleted) return undefined;
    this.#checkState();
    const row = this.numbering.rowAt(seq);
    return row < 0 || this.numbering.isGone(seq) ? undefined : peekMessage(this.#box, row);
  }

  flagMatches(query: SearchQuery, ranges: readonly NumberRange[]): number[] | undefined {
    return flagMatches(this.numbering, this.#news, query, ranges);
  }

  knownFact(seq: number, fact: MessageFact): number | undefined {
    const row = this.numbering.rowAt(seq);
    const { columns } = this.numbering.state;
    const value = row < 0 ? unknown32 : (columns[fact === 'size' ? 'virtualSize' : fact][row] as number);
    if (value === unknown32) return undefined;
    return fact === 'size' ? value : value * 1000;
  }

  async search(query: SearchQuery, signal: AbortSignal): Promise<number[]> {
    await (isOfFlags(query) ? this.#loaded(signal) : this.#ready(signal));
    return evaluateSearch(query, this, signal);
  }

  async store(
    seqs: readonly number[],
    change: StoreChange,
    options: { readonly silent: boolean },
    signal: AbortSignal,
  ): Promise<StoreResult> {
    await this.#writable(signal);
    const gone: number[] = [];
    const uids: number[] = [];
    for (const seq of seqs) {
      if (this.numbering.isGone(seq)) gone.push(seq);
      else uids.push(this.numbering.uidAt(seq));
    }
    const note = (row: number): void => {
      if (this.numbering.state === this.#box.state) this.#news.aboutToChange(row, options.silent);
    };
    const outcome = await storeFlags(this.#box, uids, change, note, signal);
    if (options.silent && outcome.modSeq !== undefined) this.#news.addSilent(outcome.modSeq);
    const seqsOf = (found: readonly number[]): number[] => found.map((uid) => this.seqOf(uid));
    return { modified: seqsOf(outcome.modified), expunged: [...gone, ...seqsOf(outcome.expunged)].sort((a, b) => a - b) };
  }

  async expunge(uids: readonly Uid[] | undefined, signal: AbortSignal, mark: 'marked' | 'any' = 'marked'): Promise<number> {
    await this.#writable(signal);
    // Marks that other processes have set or taken off count, too (RFC 9051 6.4.3: all messages with \Deleted).
    await refresh(this.#box, signal);
    this.#checkState();
    const { state } = this.numbering;
    const wanted: number[] = [];
    const isMarked = (row: number): boolean => ((state.columns.flags[row] as number) & flagBit.deleted) !== 0;
    if (uids === undefined) {
      for (let seq = 1; seq <= this.count; seq += 1) {
        const row = this.numbering.rowAt(seq);
        if (row >= 0 && isMarked(row)) wanted.push(state.columns.uid[row] as number);
      }
    } else for (const uid of [...uids].sort((a, b) => a - b)) if (this.seqOf(uid) > 0) wanted.push(uid);
    const isWanted = (row: number): boolean => mark === 'any' || ((this.#box.state.columns.flags[row] as number) & flagBit.deleted) !== 0;
    const freed = await expungeMessages(this.#box, wanted, isWanted, signal);
    if (freed.messages > 0) this.mailbox.quota.changed(-freed.octets, -freed.messages);
    return freed.messages;
  }

  async copy(seqs: readonly number[], target: Mailbox, signal: AbortSignal, kept?: KeptFlags): Promise<CopyResult> {
    await this.#ready(signal);
    return this.#copyTo(seqs, target, { isMove: false, kept }, signal);
  }

  async move(seqs: readonly number[], target: Mailbox, signal: AbortSignal, kept?: KeptFlags): Promise<CopyResult> {
    await this.#writable(signal);
    return this.#copyTo(seqs, target, { isMove: true, kept }, signal);
  }

  async sync(options: SyncOptions, signal: AbortSignal): Promise<ViewChanges> {
    await this.#loaded(signal);
    const box = this.#box;
    await refresh(box, signal, options.mayLag);
    if (!this.isReadOnly || box.options.emptyNew) await takeNew(box, signal);
    // Which messages have changed, their modseqs tell.
    if (!box.index.isWhole && box.state.highestModSeq > this.#news.syncedModSeq) await wholeIndex(box, signal);
    // Given up while others were waited for: all messages would be told as gone.
    box.checkLoaded();
    this.#checkState();
    // From here on without a pause: what is reported is one moment's state.
    this.#prepared = nothingPrepared;
    const { numbering } = this;
    // First of all: it writes to the log, and so brings in what peers have written there meanwhile.
    const firstRecent = box.state.firstRecentUid;
    if (!this.isReadOnly) claimRecent(box);
    const expunged = options.allowExpunge ? numbering.dropGone<Uid>() : [];
    const flagsChanged = this.#news.flagsChanged(numbering);
    const arrived = numbering.appendArrivals();
    this.#news.noteRecent(firstRecent, box.state.highestUid);
    const { newKeywords, recent } = this.#news.synced(this.recentCount);
    box.compactIfPossible();
    return { expunged, flagsChanged, exists: arrived > 0 ? this.count : undefined, recent, newKeywords };
  }

  async vanishedSince(
    since: ModSeq,
    known: readonly (readonly [number, number])[] | undefined,
    signal: AbortSignal,
  ): Promise<readonly (readonly [number, number])[]> {
    await this.#ready(signal);
    const lastUid = this.#news.uidNext - 1;
    const counted = this.numbering.uids();
    const history = this.numbering.state.history.since(since);
    const missing = lastUid === 0 ? [] : subtractRanges([[1, lastUid]], rangesOf(counted));
    const vanished = history === undefined ? missing : intersectRanges(missing, normalizeRanges(history));
    return known === undefined ? vanished : intersectRanges(vanished, normalizeRanges(known));
  }

  watch(onChange: () => void): () => void {
    const stop = this.mailbox.watchFolder(() => {
      if (this.#hasNews()) onChange();
    });
    this.#watches.add(stop);
    return () => {
      this.#watches.delete(stop);
      stop();
    };
  }

  park(): void {
    this.#prepared = nothingPrepared;
    if (this.#isClosed || this.numbering.isParked) return;
    const box = this.#box;
    const placeholder = MailboxIndex.placeholder();
    this.numbering.park(placeholder);
    this.#news.park(placeholder);
    box.views.delete(this);
    box.unloadIfParked();
  }

  suspend(): SuspendedView | undefined {
    if (this.#isClosed || this.#news.hasSilent) return undefined;
    return {
      uidValidity: this.mailbox.uidValidity,
      isReadOnly: this.isReadOnly,
      uids: rangesOf(this.numbering.uids()),
      uidNext: this.#news.uidNext,
      highestModSeq: this.highestModSeq,
      recent: this.#news.recentRanges,
      recentCount: this.#news.reportedRecent,
      keywordCount: this.#news.announcedKeywords,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const stop of this.#watches) stop();
    this.#watches.clear();
    this.#box.views.delete(this);
    this.#box.compactIfPossible();
    this.mailbox.viewClosed();
  }

  /** The index may have been replaced by a newer one: the same messages are found in it again. */
  #checkState(): void {
    const { state } = this.#box;
    if (this.numbering.isParked) {
      this.numbering.resume(state);
      if (!this.#isClosed) this.#box.views.add(this);
    } else if (this.numbering.state === state) return;
    else this.numbering.moveTo(state, this.numbering.uids());
    this.#news.moveTo(state);
  }

  /** What a view is opened with is in memory: UIDs, flags, keywords. */
  async #loaded(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#box.checkExists();
    while (!this.#box.isLoaded) await this.mailbox.ready(signal);
    this.#checkState();
  }

  /** Everything is. */
  async #ready(signal: AbortSignal): Promise<void> {
    await this.#loaded(signal);
    while (!this.#box.isLoaded || !this.#box.index.isWhole) await wholeIndex(this.#box, signal);
    this.#checkState();
  }

  async #writable(signal: AbortSignal): Promise<void> {
    await this.#ready(signal);
    if (this.isReadOnly || this.mailbox.isReadOnly) throw new StorageError('read-only', `mailbox ${this.mailbox.name} is open read-only`);
  }

  #hasNews(): boolean {
    const box = this.#box;
    if (box.isDeleted || box.hasArrivals) return true;
    if (this.numbering.isParked) return box.state.highestModSeq > this.#news.syncedModSeq;
    if (this.numbering.state !== box.state) return true;
    return this.numbering.hasArrivals || this.numbering.hasUntold || this.#news.hasNews(this.numbering);
  }

  #checkPrepared(seq: number, isNeeded: boolean | undefined): void {
    this.numbering.rowAt(seq);
    if (isNeeded !== true || !this.#prepared.has(seq)) throw new Error(`message ${seq} was not prepared for this accessor`);
  }

  #contentAt(seq: number, isNeeded: boolean | undefined, field: 'envelope' | 'body' | 'bodyStructure' | 'header'): Buffer {
    this.#checkPrepared(seq, isNeeded);
    return this.#prepared.get(seq)?.[field] ?? Buffer.alloc(0);
  }

  async #copyTo(
    seqs: readonly number[],
    target: Mailbox,
    { isMove, kept }: { readonly isMove: boolean; readonly kept: KeptFlags | undefined },
    signal: AbortSignal,
  ): Promise<CopyResult> {
    if (!(target instanceof MaildirMailboxBase)) throw new StorageError('cannot', 'copy between mailbox formats');
    target.box.checkExists();
    if (target.isReadOnly) throw new StorageError('read-only', `mailbox ${target.name} is read-only`);
    await target.ready(signal);
    const uids = seqs.map((seq) => {
      if (this.numbering.isGone(seq)) throw expungedError(this.numbering.uidAt(seq));
      return this.numbering.uidAt(seq) as Uid;
    });
    if (uids.length === 0) return { uidValidity: target.uidValidity, sourceUids: [], targetUids: [] };
    return copyWithinQuota({ mailbox: this.mailbox, uids, kept, isMove }, target, signal);
  }
}
