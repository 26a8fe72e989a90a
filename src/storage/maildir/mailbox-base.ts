import type { Logger } from '#log/logger.js';
import type { OpenMailboxOptions, QuotaGuard } from '../driver.js';
import { rowBit } from '../index/columns.js';
import type { IndexState } from '../index/index-state.js';
import { modSeqRecord } from '../index/log-record.js';
import type { AppendTransaction, Mailbox, MailboxView, ReplacedMessage, SuspendedView } from '../mailbox.js';
import { flagBit, type MailboxStatus, type ModSeq, type Uid } from '../types.js';
import { MaildirAppend } from './append.js';
import type { MaildirBox } from './box.js';
import { commit } from './commit.js';
import { learnFacts } from './message-files.js';
import { inMemory, refresh, wholeIndex } from './reconcile.js';

/** What the driver does for its mailboxes. */
export interface MailboxHost {
  /** Loads the index of a box that was given up. */
  load(box: MaildirBox, signal: AbortSignal): Promise<void>;
  /** Nobody uses the box any more: it may be given up later. */
  released(box: MaildirBox): void;
  /** Watches the folder for changes of other processes. @returns stop */
  watch(box: MaildirBox): () => void;
}

/** One Maildir as one account sees it: name, quota and rights over a box that several may share. */
export abstract class MaildirMailboxBase implements Mailbox {
  readonly box: MaildirBox;
  readonly #host: MailboxHost;
  name: string;
  quota: QuotaGuard;
  isReadOnly: boolean;
  log: Logger;

  constructor(box: MaildirBox, host: MailboxHost, options: OpenMailboxOptions) {
    this.box = box;
    this.#host = host;
    this.name = options.name;
    this.quota = options.quota;
    this.isReadOnly = options.isReadOnly;
    this.log = options.log;
  }

  get guid(): string {
    return this.box.state.guid;
  }
  get uidValidity(): number {
    return this.box.state.uidValidity;
  }
  get uidNext(): Uid {
    return this.box.state.uidNext as Uid;
  }
  get highestModSeq(): ModSeq {
    return this.box.state.highestModSeq;
  }
  get keywords(): readonly string[] {
    return this.box.state.keywords.names;
  }
  get canCreateKeywords(): boolean {
    return this.box.state.keywords.canCreate;
  }

  abstract openView(options: { readonly readOnly: boolean }, signal: AbortSignal): Promise<MailboxView>;
  abstract resumeView(suspended: SuspendedView, signal: AbortSignal): Promise<MailboxView>;

  get watchedFolders(): readonly string[] {
    return [this.box.newDir, this.box.curDir];
  }

  async status(options: { readonly size: boolean }, signal: AbortSignal): Promise<MailboxStatus> {
    // Its memory may be given to other mailboxes while it is looked at, and a peer's new index may come.
    let size: number | undefined;
    let { state } = this.box;
    do {
      await this.fresh(signal);
      if (options.size) await wholeIndex(this.box, signal);
      if (!this.box.isLoaded) continue;
      ({ state } = this.box);
      if (options.size) size = await this.#size(state, signal);
    } while (!this.box.isLoaded || this.box.state !== state);
    let unseen = 0;
    let deleted = 0;
    let recent = 0;
    const { flags, bits, uid, length } = state.columns;
    for (let row = 0; row < length; row += 1) {
      if (((bits[row] as number) & rowBit.dead) !== 0) continue;
      const value = flags[row] as number;
      if ((value & flagBit.seen) === 0) unseen += 1;
      if ((value & flagBit.deleted) !== 0) deleted += 1;
      if ((uid[row] as number) >= state.firstRecentUid) recent += 1;
    }
    return {
      messages: state.liveCount,
      recent,
      unseen,
      deleted,
      uidNext: state.uidNext as Uid,
      uidValidity: state.uidValidity,
      highestModSeq: state.highestModSeq,
      size,
      guid: state.guid,
    };
  }

  beginAppend(kind: 'append' | 'deliver', replaced?: ReplacedMessage): AppendTransaction {
    const from = replaced?.mailbox;
    const freed = from instanceof MaildirMailboxBase ? { quota: from.quota, bytes: replaced?.octets ?? 0, messages: 1 } : undefined;
    return new MaildirAppend(this, kind, freed);
  }

  async raiseModSeq(signal: AbortSignal): Promise<void> {
    await this.ready(signal);
    const raise = async (): Promise<void> => {
      await this.box.catchUp();
      await commit(this.box, [modSeqRecord(this.box.state.highestModSeq + 1)]);
    };
    await inMemory(this.box, raise, signal);
  }

  watch(onChange: () => void): () => void {
    return this.watchFolder(onChange);
  }

  hasNewsSince(modSeq: ModSeq): boolean {
    const { isDeleted, hasArrivals, state } = this.box;
    return isDeleted || hasArrivals || state.highestModSeq > modSeq;
  }

  /** In-process changes and those of other processes. */
  watchFolder(onChange: () => void): () => void {
    const stopNotifier = this.box.notifier.watch(onChange);
    const stopFolder = this.#host.watch(this.box);
    let isStopped = false;
    return () => {
      if (isStopped) return;
      isStopped = true;
      stopNotifier();
      stopFolder();
    };
  }

  async ready(signal: AbortSignal): Promise<void> {
    this.box.checkExists();
    if (!this.box.isLoaded) await this.#host.load(this.box, signal);
  }

  viewClosed(): void {
    this.#host.released(this.box);
  }

  protected async fresh(signal: AbortSignal): Promise<void> {
    await this.ready(signal);
    await refresh(this.box, signal);
  }

  /** Nobody is given its memory meanwhile. @returns nonsense when the box has another state afterwards */
  async #size(state: IndexState, signal: AbortSignal): Promise<number> {
    const { box } = this;
    const uids: number[] = [];
    for (let row = 0; row < state.columns.length; row += 1) if (!state.columns.isDead(row)) uids.push(state.columns.uid[row] as number);
    const learning = learnFacts(box, uids, { size: true, internalDate: false, saveDate: false }, signal);
    box.keepWhile(learning);
    await learning;
    this.#host.released(box);
    let size = 0;
    for (const uid of uids) {
      const row = state.columns.rowOf(uid);
      if (row >= 0 && !state.columns.isDead(row)) size += state.columns.virtualSize[row] as number;
    }
    return size;
  }
}
