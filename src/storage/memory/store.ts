// The messages of one mailbox in memory: what changes them, and the history of what went.
import { randomBytes } from 'node:crypto';
import { ChangeNotifier } from '../change-notifier.js';
import type { QuotaGuard } from '../driver.js';
import { StorageError } from '../errors.js';
import { type KeywordLimits, KeywordTable } from '../keyword-table.js';
import type { AppendResult } from '../mailbox.js';
import { flagBit, type ModSeq, type Uid } from '../types.js';
import type { MemoryMessage } from './message.js';

export interface MemoryStoreOptions extends KeywordLimits {
  readonly name: string;
  readonly uidValidity: number;
  readonly quota: QuotaGuard;
  readonly isReadOnly: boolean;
  /** Expunges remembered for `vanishedSince`. */
  readonly maxExpungeHistory: number;
  readonly now: () => number;
}

/** A message about to get a UID. */
export interface NewMessage {
  readonly content: Buffer;
  readonly flags: number;
  readonly keywords: readonly string[];
  readonly internalDateMs: number | undefined;
  /** Of the original, for copies. */
  readonly guid: string | undefined;
}

const maxUid = 0xffff_ffff;

export class MemoryStore {
  readonly guid = randomBytes(16).toString('hex');
  readonly uidValidity: number;
  readonly keywordTable: KeywordTable;
  readonly notifier = new ChangeNotifier();
  /** Ascending by UID. */
  readonly messages: MemoryMessage[] = [];
  /** Not taken by a read-write view yet. */
  readonly unclaimedRecent = new Set<Uid>();
  name: string;
  quota: QuotaGuard;
  isReadOnly: boolean;
  readonly #options: MemoryStoreOptions;
  #expunges: { readonly uid: Uid; readonly modSeq: ModSeq }[] = [];
  /** Expunges up to this modseq may have been forgotten. */
  #historyFloor = 0;
  #nextUid = 1;
  #modSeq = 1;
  #isDeleted = false;

  constructor(options: MemoryStoreOptions) {
    this.#options = options;
    this.name = options.name;
    this.uidValidity = options.uidValidity;
    this.quota = options.quota;
    this.isReadOnly = options.isReadOnly;
    this.keywordTable = new KeywordTable(options);
  }

  get uidNext(): Uid {
    return this.#nextUid as Uid;
  }
  get highestModSeq(): ModSeq {
    return this.#modSeq;
  }
  get keywords(): readonly string[] {
    return [...this.keywordTable.names];
  }
  get canCreateKeywords(): boolean {
    return this.keywordTable.canCreate;
  }

  /** @throws StorageError `not-found` once deleted; the signal's reason when aborted */
  check(signal: AbortSignal): void {
    signal.throwIfAborted();
    if (this.#isDeleted) {
      throw new StorageError('not-found', `mailbox ${this.name} was deleted`, { clientText: `Mailbox doesn't exist: ${this.name}` });
    }
  }

  /** The mailbox is gone for all who have it open. */
  markDeleted(): void {
    this.#isDeleted = true;
    this.notifier.changed();
  }

  /** All of them at once, with contiguous UIDs and one modseq. Keywords must be creatable. */
  insert(added: readonly NewMessage[]): AppendResult {
    if (this.#nextUid + added.length - 1 >= maxUid) throw new StorageError('limit', `mailbox ${this.name} has no UIDs left`);
    if (added.length === 0) return { uidValidity: this.uidValidity, uids: [] };
    const now = this.#options.now();
    const modSeq = this.advanceModSeq();
    const uids = added.map((message): Uid => {
      const uid = this.uidNext;
      this.#nextUid += 1;
      this.messages.push({
        uid,
        guid: message.guid ?? randomBytes(16).toString('hex'),
        content: message.content,
        internalDateMs: message.internalDateMs ?? now,
        saveDateMs: now,
        flags: message.flags & ~flagBit.recent,
        keywords: this.keywordTable.intern(message.keywords),
        modSeq,
        expungedAt: 0,
        parts: undefined,
        structure: undefined,
      });
      this.unclaimedRecent.add(uid);
      return uid;
    });
    this.notifier.changed();
    return { uidValidity: this.uidValidity, uids };
  }

  advanceModSeq(): ModSeq {
    this.#modSeq += 1;
    return this.#modSeq;
  }

  /** Those of the messages that are still there go, with one modseq. */
  remove(gone: readonly MemoryMessage[]): void {
    const present = gone.filter((message) => message.expungedAt === 0);
    if (present.length === 0) return;
    const modSeq = this.advanceModSeq();
    let bytes = 0;
    for (const message of present) {
      message.expungedAt = modSeq;
      bytes += message.content.length;
      this.unclaimedRecent.delete(message.uid);
      this.#expunges.push({ uid: message.uid, modSeq });
    }
    const kept = this.messages.filter((message) => message.expungedAt === 0);
    this.messages.splice(0, this.messages.length, ...kept);
    const excess = this.#expunges.length - this.#options.maxExpungeHistory;
    if (excess > 0) this.#historyFloor = this.#expunges.splice(0, excess).at(-1)?.modSeq ?? this.#historyFloor;
    this.quota.changed(-bytes, -present.length);
    this.notifier.changed();
  }

  /** UIDs expunged after `since`, ascending; undefined when the history does not reach back so far. */
  expungedSince(since: ModSeq): readonly Uid[] | undefined {
    if (since < this.#historyFloor) return undefined;
    return this.#expunges
      .filter((expunge) => expunge.modSeq > since)
      .map((expunge) => expunge.uid)
      .sort((a, b) => a - b);
  }
}
