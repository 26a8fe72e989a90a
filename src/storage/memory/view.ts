import type { MimePart } from '#mail/mime-part.js';
import { previewOf } from '#mail/preview.js';
import { bufferSource } from '#mail/text.js';
import { intersectRanges, normalizeRanges, rangesOf } from '#util/number-set.js';
import { StorageError } from '../errors.js';
import type {
  CopyResult,
  KeptFlags,
  Mailbox,
  MailboxView,
  MessageReader,
  StoreChange,
  StoreResult,
  SuspendedView,
  ViewChanges,
} from '../mailbox.js';
import type { SearchQuery } from '../search.js';
import { evaluateSearch } from '../search-run.js';
import { flagBit, type MessageNeeds, type ModSeq, type Uid } from '../types.js';
import { missingRanges } from '../uid-ranges.js';
import type { MemoryMessage } from './message.js';
import { headerFieldsOf, type MessageParts, partsOf, structureOf } from './parts.js';
import { MemoryStore, type NewMessage } from './store.js';

export class MemoryView implements MailboxView {
  readonly mailbox: MemoryStore & Mailbox;
  readonly isReadOnly: boolean;
  /** In the client's numbering; expunged ones stay until a sync may report them. */
  #known: MemoryMessage[];
  readonly #recent = new Set<Uid>();
  /** Own silent changes: the modseq they gave the message. */
  readonly #silent = new Map<Uid, ModSeq>();
  #syncedModSeq: ModSeq;
  /** Messages from this UID on have not been announced. */
  #uidNext: Uid;
  #announcedKeywords: number;
  #reportedRecent: number;
  #prepared = new Set<MemoryMessage>();
  #needs: MessageNeeds = {};
  readonly #watches = new Set<() => void>();

  constructor(mailbox: MemoryStore & Mailbox, isReadOnly: boolean) {
    this.mailbox = mailbox;
    this.isReadOnly = isReadOnly;
    this.#known = [...mailbox.messages];
    this.#syncedModSeq = mailbox.highestModSeq;
    this.#uidNext = mailbox.uidNext;
    this.#announcedKeywords = mailbox.keywordTable.names.length;
    this.#takeRecent(this.#known);
    this.#reportedRecent = this.recentCount;
  }

  get count(): number {
    return this.#known.length;
  }

  get recentCount(): number {
    return this.#recent.size;
  }

  get highestModSeq(): ModSeq {
    let highest = this.#syncedModSeq;
    for (const message of this.#known) if (message.expungedAt !== 0 && message.expungedAt <= highest) highest = message.expungedAt - 1;
    return highest;
  }

  firstUnseen(): number {
    return this.#known.findIndex((message) => message.expungedAt === 0 && (message.flags & flagBit.seen) === 0) + 1;
  }

  uidAt(seq: number): Uid {
    return this.#at(seq).uid;
  }

  seqOf(uid: Uid | number): number {
    const seq = this.lowerBound(uid);
    return this.#known[seq - 1]?.uid === uid ? seq : 0;
  }

  lowerBound(uid: number): number {
    let low = 0;
    let high = this.#known.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#known[middle]?.uid ?? 0) < uid) low = middle + 1;
      else high = middle;
    }
    return low + 1;
  }

  systemFlagsAt(seq: number): number {
    const message = this.#at(seq);
    return this.#recent.has(message.uid) ? message.flags | flagBit.recent : message.flags;
  }

  keywordsAt(seq: number): readonly string[] {
    return this.#at(seq).keywords;
  }

  modSeqAt(seq: number): ModSeq {
    return this.#at(seq).modSeq;
  }

  isExpunged(seq: number): boolean {
    return this.#at(seq).expungedAt !== 0;
  }

  guidAt(seq: number): string {
    return this.#at(seq).guid;
  }

  async prepare(seqs: readonly number[], needs: MessageNeeds, signal: AbortSignal): Promise<readonly number[]> {
    this.mailbox.check(signal);
    this.#prepared = new Set();
    this.#needs = needs;
    const gone: number[] = [];
    for (const seq of seqs) {
      const message = this.#at(seq);
      if (message.expungedAt !== 0) gone.push(seq);
      else this.#prepared.add(message);
      if (needs.preview === true && message.expungedAt === 0 && message.preview === undefined) {
        message.structure ??= structureOf(message.content);
        message.preview = await previewOf(bufferSource(message.content), message.structure);
      }
    }
    return gone;
  }

  sizeAt(seq: number): number {
    return this.#preparedAt(seq, this.#needs.size).content.length;
  }
  internalDateAt(seq: number): number {
    return this.#preparedAt(seq, this.#needs.internalDate).internalDateMs;
  }
  saveDateAt(seq: number): number {
    return this.#preparedAt(seq, this.#needs.saveDate).saveDateMs;
  }
  envelopeAt(seq: number): Buffer {
    return this.#partsAt(seq, this.#needs.envelope).envelope;
  }
  bodyAt(seq: number): Buffer {
    return this.#partsAt(seq, this.#needs.body).body;
  }
  bodyStructureAt(seq: number): Buffer {
    return this.#partsAt(seq, this.#needs.bodyStructure).bodyStructure;
  }
  headerFieldsAt(seq: number, names: readonly string[]): Buffer {
    const prepared = this.#needs.headers ?? [];
    return headerFieldsOf(
      this.#preparedAt(
        seq,
        names.every((name) => prepared.includes(name)),
      ).content,
      names,
    );
  }
  previewAt(seq: number): string {
    return this.#preparedAt(seq, this.#needs.preview).preview ?? '';
  }

  async openMessage(seq: number, signal: AbortSignal): Promise<MessageReader> {
    this.mailbox.check(signal);
    const message = this.#at(seq);
    if (message.expungedAt !== 0) throw expungedError(message.uid);
    return new MemoryReader(message);
  }

  async search(query: SearchQuery, signal: AbortSignal): Promise<number[]> {
    this.mailbox.check(signal);
    return evaluateSearch(query, this, signal);
  }

  async store(
    seqs: readonly number[],
    change: StoreChange,
    options: { readonly silent: boolean },
    signal: AbortSignal,
  ): Promise<StoreResult> {
    this.#checkWritable(signal);
    const table = this.mailbox.keywordTable;
    if (change.mode !== 'remove') table.checkCreatable(change.flags.keywords);
    const modified: number[] = [];
    const expunged: number[] = [];
    const changing: { message: MemoryMessage; flags: number; keywords: readonly string[] }[] = [];
    for (const seq of seqs) {
      const message = this.#at(seq);
      if (message.expungedAt !== 0) expunged.push(seq);
      else if (change.unchangedSince !== undefined && message.modSeq > change.unchangedSince) modified.push(seq);
      else {
        const flags = changedFlags(message.flags, change);
        const keywords = this.#changedKeywords(message.keywords, change);
        if (flags !== message.flags || keywords !== message.keywords) changing.push({ message, flags, keywords });
      }
    }
    if (changing.length > 0) {
      const modSeq = this.mailbox.advanceModSeq();
      for (const { message, flags, keywords } of changing) {
        this.#noteSilence(message, modSeq, options.silent);
        message.flags = flags;
        message.keywords = keywords;
        message.modSeq = modSeq;
      }
      this.mailbox.notifier.changed();
    }
    return { modified, expunged };
  }

  async expunge(uids: readonly Uid[] | undefined, signal: AbortSignal, mark: 'marked' | 'any' = 'marked'): Promise<number> {
    this.#checkWritable(signal);
    const wanted = uids === undefined ? undefined : new Set(uids);
    const isMarked = ({ flags }: MemoryMessage): boolean => mark === 'any' || (flags & flagBit.deleted) !== 0;
    const gone = this.#known.filter(
      (message) => message.expungedAt === 0 && isMarked(message) && (wanted === undefined || wanted.has(message.uid)),
    );
    this.mailbox.remove(gone);
    return gone.length;
  }

  async copy(seqs: readonly number[], target: Mailbox, signal: AbortSignal, kept?: KeptFlags): Promise<CopyResult> {
    this.mailbox.check(signal);
    return this.#copyTo(seqs, target, { isMove: false, kept }, signal);
  }

  async move(seqs: readonly number[], target: Mailbox, signal: AbortSignal, kept?: KeptFlags): Promise<CopyResult> {
    this.#checkWritable(signal);
    return this.#copyTo(seqs, target, { isMove: true, kept }, signal);
  }

  async sync(options: { readonly allowExpunge: boolean }, signal: AbortSignal): Promise<ViewChanges> {
    this.mailbox.check(signal);
    this.#prepared = new Set();
    const expunged = options.allowExpunge ? this.#dropExpunged() : [];
    const flagsChanged: number[] = [];
    this.#known.forEach((message, index) => {
      if (this.#hasNewsOf(message)) flagsChanged.push(index + 1);
    });
    const arrived = this.mailbox.messages.filter((message) => message.uid >= this.#uidNext);
    for (const message of arrived) this.#known.push(message);
    this.#takeRecent(arrived);
    const newKeywords = this.mailbox.keywordTable.names.length > this.#announcedKeywords;
    const recent = this.recentCount === this.#reportedRecent ? undefined : this.recentCount;
    this.#announcedKeywords = this.mailbox.keywordTable.names.length;
    this.#reportedRecent = this.recentCount;
    this.#syncedModSeq = this.mailbox.highestModSeq;
    this.#uidNext = this.mailbox.uidNext;
    this.#silent.clear();
    return { expunged, flagsChanged, exists: arrived.length > 0 ? this.count : undefined, recent, newKeywords };
  }

  async vanishedSince(
    since: ModSeq,
    known: readonly (readonly [number, number])[] | undefined,
    signal: AbortSignal,
  ): Promise<readonly (readonly [number, number])[]> {
    this.mailbox.check(signal);
    const lastUid = this.#uidNext - 1;
    const history = this.mailbox.expungedSince(since);
    const vanished =
      history === undefined
        ? missingRanges(
            this.#known.map((message) => message.uid),
            1,
            lastUid,
          )
        : rangesOf(history.filter((uid) => uid <= lastUid && this.seqOf(uid) === 0));
    return known === undefined ? vanished : intersectRanges(vanished, normalizeRanges(known));
  }

  watch(onChange: () => void): () => void {
    const stop = this.mailbox.notifier.watch(() => {
      if (this.#hasNews()) onChange();
    });
    this.#watches.add(stop);
    return () => {
      this.#watches.delete(stop);
      stop();
    };
  }

  /** Nothing to give up: the messages themselves are what costs. */
  park(): void {
    this.#prepared = new Set();
  }

  /** There is no other process that has this mailbox. */
  suspend(): SuspendedView | undefined {
    return undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const stop of this.#watches) stop();
    this.#watches.clear();
  }

  #at(seq: number): MemoryMessage {
    const message = this.#known[seq - 1];
    if (message === undefined) throw new RangeError(`sequence number ${seq} outside 1..${this.count}`);
    return message;
  }

  #preparedAt(seq: number, isPrepared: boolean | undefined): MemoryMessage {
    const message = this.#at(seq);
    if (isPrepared !== true || !this.#prepared.has(message)) throw new Error(`message ${seq} was not prepared for this accessor`);
    return message;
  }

  #partsAt(seq: number, isPrepared: boolean | undefined): MessageParts {
    const message = this.#preparedAt(seq, isPrepared);
    message.structure ??= structureOf(message.content);
    message.parts ??= partsOf(message.content, message.structure);
    return message.parts;
  }

  #checkWritable(signal: AbortSignal): void {
    this.mailbox.check(signal);
    if (this.isReadOnly) throw new StorageError('read-only', `mailbox ${this.mailbox.name} is open read-only`);
  }

  #changedKeywords(current: readonly string[], change: StoreChange): readonly string[] {
    const table = this.mailbox.keywordTable;
    switch (change.mode) {
      case 'add':
        return table.add(current, change.flags.keywords);
      case 'remove':
        return table.remove(current, change.flags.keywords);
      case 'replace':
        return change.within?.keywords === false ? current : table.intern(change.flags.keywords);
    }
  }

  /** A silent change hides only itself: not what someone else did to the message before or after it. */
  #noteSilence(message: MemoryMessage, modSeq: ModSeq, isSilent: boolean): void {
    const hadNews = this.#hasNewsOf(message);
    if (isSilent && !hadNews) this.#silent.set(message.uid, modSeq);
    else this.#silent.delete(message.uid);
  }

  #hasNewsOf(message: MemoryMessage): boolean {
    return message.expungedAt === 0 && message.modSeq > this.#syncedModSeq && this.#silent.get(message.uid) !== message.modSeq;
  }

  #hasNews(): boolean {
    return (
      this.mailbox.messages.some((message) => message.uid >= this.#uidNext) ||
      this.mailbox.keywordTable.names.length > this.#announcedKeywords ||
      this.#known.some((message) => message.expungedAt !== 0 || this.#hasNewsOf(message))
    );
  }

  #takeRecent(seen: readonly MemoryMessage[]): void {
    const unclaimed = this.mailbox.unclaimedRecent;
    for (const message of seen) {
      if (!unclaimed.has(message.uid)) continue;
      this.#recent.add(message.uid);
      if (!this.isReadOnly) unclaimed.delete(message.uid);
    }
  }

  #dropExpunged(): { seq: number; uid: Uid }[] {
    const expunged: { seq: number; uid: Uid }[] = [];
    const kept: MemoryMessage[] = [];
    for (const message of this.#known) {
      if (message.expungedAt === 0) kept.push(message);
      else {
        expunged.push({ seq: kept.length + 1, uid: message.uid });
        this.#recent.delete(message.uid);
      }
    }
    this.#known = kept;
    return expunged;
  }

  async #copyTo(
    seqs: readonly number[],
    target: Mailbox,
    { isMove, kept }: { readonly isMove: boolean; readonly kept: KeptFlags | undefined },
    signal: AbortSignal,
  ): Promise<CopyResult> {
    if (!(target instanceof MemoryStore)) throw new StorageError('cannot', 'copy between mailbox formats');
    target.check(signal);
    if (target.isReadOnly) throw new StorageError('read-only', `mailbox ${target.name} is read-only`);
    const source = seqs.map((seq) => this.#at(seq));
    const bytes = source.reduce((sum, message) => sum + message.content.length, 0);
    const isSameUsage = target.quota === this.mailbox.quota || target.quota.sharesUsageWith?.(this.mailbox.quota) === true;
    using room = target.quota.beginSave();
    if (!(isMove && isSameUsage)) {
      await room.reserve(bytes, source.length);
      await room.settle(signal);
    }
    // After the wait, so that nothing can come between the check and the copy.
    this.mailbox.check(signal);
    target.check(signal);
    const gone = source.find((message) => message.expungedAt !== 0);
    if (gone !== undefined) throw expungedError(gone.uid);
    const copies = source.map(
      (message): NewMessage => ({
        content: message.content,
        flags: kept === undefined ? message.flags : message.flags & kept.system,
        keywords: kept?.keywords === false ? [] : target.keywordTable.creatable(message.keywords),
        internalDateMs: message.internalDateMs,
        guid: message.guid,
      }),
    );
    const { uidValidity, uids } = target.insert(copies);
    room.commit(bytes, source.length);
    if (isMove) this.mailbox.remove(source);
    return { uidValidity, sourceUids: source.map((message) => message.uid), targetUids: uids };
  }
}

function changedFlags(current: number, change: StoreChange): number {
  const named = change.flags.system & ~flagBit.recent;
  switch (change.mode) {
    case 'add':
      return current | named;
    case 'remove':
      return current & ~named;
    case 'replace':
      return change.within === undefined ? named : (current & ~change.within.system) | (named & change.within.system);
  }
}

function expungedError(uid: Uid): StorageError {
  return new StorageError('expunged', `message ${uid} was expunged`, { clientText: 'Some of the requested messages no longer exist.' });
}

class MemoryReader implements MessageReader {
  readonly size: number;
  readonly #message: MemoryMessage;

  constructor(message: MemoryMessage) {
    this.#message = message;
    this.size = message.content.length;
  }

  async structure(): Promise<MimePart> {
    this.#message.structure ??= structureOf(this.#message.content);
    return this.#message.structure;
  }

  async read(offset: number, length: number): Promise<Buffer> {
    return Buffer.from(this.#message.content.subarray(offset, offset + length));
  }

  async close(): Promise<void> {
    return;
  }
}
