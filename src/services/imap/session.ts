// The state of one logged-in client.

import type { Logger } from '#log/logger.js';
import type { NotifyEvent } from '#protocol/imap/commands/notify.js';
import { encodeMailbox } from '#protocol/imap/encoder.js';
import type { FetchItem } from '#protocol/imap/fetch-item.js';
import type { SequenceSet } from '#protocol/imap/reader.js';
import type { KeptFlags, MailboxView } from '#storage/mailbox.js';
import type { Uid } from '#storage/types.js';
import type { MailUser } from '#storage/user.js';
import type { LazyAbort } from '#util/lazy-abort.js';
import type { NumberRange } from '#util/number-set.js';
import { resolveNumberSet } from '#util/number-set.js';
import { newCounters } from './counters.js';
import { Exclusive } from './exclusive.js';
import { FlagText } from './flag-text.js';
import type { Output } from './output.js';
import { SearchContexts } from './search-context.js';
import type { ImapSettings } from './settings.js';

/** What ENABLE can turn on. */
export type Feature = 'CONDSTORE' | 'QRESYNC' | 'UTF8=ACCEPT' | 'IMAP4REV2' | 'UIDONLY' | 'METADATA' | 'METADATA-SERVER';

/** What a command may do with its client's input (IDLE, COMPRESS). */
export interface SessionInput {
  /** The next line, which is not a command. Undefined when the connection ends or shall end. */
  readLine(): Promise<string | undefined>;
  /**
   * Answers other commands of the client while this one works (overlap.ts).
   * @param work writes nothing and does not sync the selected mailbox
   */
  beside<Result>(work: () => Promise<Result>): Promise<Result>;
  /** One of them is being answered: nothing else may be written. */
  readonly isAnsweringBeside: boolean;
  /** Compresses both directions once the tagged reply was written. */
  compressAfterReply(): void;
  readonly isCompressed: boolean;
}

/** Writes on its own account while no command runs (NOTIFY). */
export interface SessionFeed {
  /** Resolves when nothing of it runs any more. */
  pause(): Promise<void>;
  resume(): void;
  close(): Promise<void>;
  /** Mailboxes whose names or subscriptions the client changes itself: it is not told. */
  expectNames(names: readonly string[]): void;
  /** The client has changed entries of this mailbox (undefined: the server) itself. */
  expectMetadata(mailbox: string | undefined, signal: AbortSignal): Promise<void>;
}

/** Responses that come with the next command (RFC 5464 4.4). */
export interface SessionNews {
  /** Writes what there is. */
  write(signal: AbortSignal): Promise<void>;
  /** Calls back when there may be something. @returns stop */
  watch(onChange: () => void): () => void;
  expectMetadata(mailbox: string | undefined, signal: AbortSignal): Promise<void>;
  close(): void;
}

/** Reports changes during IDLE. */
export interface IdleFeed {
  /**
   * Looks once more, then stands still. Resolves when everything is written.
   * @param onNews something has changed while it stands still
   */
  hold(onNews: () => void): Promise<void>;
  release(): void;
  /** Everything that happened so far is written, and nothing is on its way. */
  readonly isQuiet: boolean;
}

/** Of an IDLE, as SessionState has them. */
export interface IdleTimes {
  readonly tag: string;
  readonly idleSinceMs: number;
  readonly keepAliveAtMs: number;
}

/** Looks for a moment in which an IDLE can go on elsewhere: in another process, or folded in this one. */
export interface IdleExit {
  begin(feed: IdleFeed, times: () => IdleTimes): IdleGuard;
}

export interface IdleGuard {
  /** Resolves when nothing of it runs any more. */
  end(): Promise<void>;
}

export interface SessionOptions {
  readonly user: MailUser;
  readonly settings: ImapSettings;
  readonly log: Logger;
  readonly output: Output;
  readonly input: SessionInput;
  /** Aborted when the client is gone. */
  readonly life: LazyAbort;
  /** ms since the epoch. */
  readonly now: () => number;
  /** Connected through login_trusted_networks or by a trusted proxy: ID fields are believed. */
  readonly isTrusted: boolean;
  readonly canUnauthenticate: boolean;
}

const nothingEnabled: readonly Feature[] = [];
/** Most servers have none, and have many sessions. */
const noWorkarounds: ReadonlySet<string> = new Set();

export class Session {
  readonly user: MailUser;
  readonly settings: ImapSettings;
  readonly log: Logger;
  readonly output: Output;
  readonly input: SessionInput;
  readonly #life: LazyAbort;
  readonly now: () => number;
  readonly isTrusted: boolean;
  readonly counters = newCounters();
  readonly flagText = new FlagText();
  /** What ENABLE and commands have turned on; few, and none in most sessions. */
  enabled: readonly Feature[] = nothingEnabled;
  readonly workarounds: ReadonlySet<string>;
  /** RFC 5182: UIDs of the saved search result, ascending. Empty after SELECT. */
  savedSearch: readonly Uid[] = [];
  /** What the user's rights let change in the selected mailbox, as far as known; all flags when undefined. */
  changeable: KeptFlags | undefined;
  /** The command that runs searches with message numbers: expunges wait, also in its UID form (RFC 7162 3.2.10.2). */
  searchesByNumber = false;
  /** RFC 5267: results of the selected mailbox that are kept up to date. */
  readonly contexts = new SearchContexts();
  /** What is written outside of commands runs in here. */
  readonly exclusive = new Exclusive();
  /** RFC 5465: works between commands. */
  notify: SessionFeed | undefined;
  /** RFC 5465 5.2: of messages new in the selected mailbox, sent along with EXISTS. */
  newMessageItems: readonly FetchItem[] | undefined;
  /** What NOTIFY lets through of the selected mailbox; undefined while it is not in use. */
  selectedEvents: ReadonlySet<NotifyEvent> | undefined;
  /** ENABLE METADATA. */
  metadataNews: SessionNews | undefined;
  /** UIDs in the selected mailbox of messages that this client put there since the last update (RFC 5465 5.2). */
  #ownUids: Set<number> | undefined;
  /** The client was told a HIGHESTMODSEQ below that of changes it knows, as an expunge before them had to wait (RFC 7162 3.2). */
  isModSeqHeldBack = false;
  /** STORE has told of the messages above this UID; what NOTIFY and updated searches want of them comes with the next update. */
  toldUpTo: number | undefined;
  isIdling = false;
  idleExit: IdleExit | undefined;
  /** Another process is about to take this session: nothing may be written until it has refused. */
  isLeaving = false;
  /** The session is in another process now, or folded: nothing may be written any more. */
  hasLeft = false;
  /** The session has to end after this command: what BYE says. */
  endReason: string | undefined;
  /** UNAUTHENTICATE works on this connection. */
  readonly canUnauthenticate: boolean;
  /** It was answered. */
  isUnauthenticated = false;
  /** LOGOUT was answered. */
  isLoggingOut = false;
  #view: MailboxView | undefined;
  #trashNames: Map<string, boolean> | undefined;

  constructor(options: SessionOptions) {
    this.user = options.user;
    this.settings = options.settings;
    this.log = options.log;
    this.output = options.output;
    this.input = options.input;
    this.#life = options.life;
    this.now = options.now;
    this.isTrusted = options.isTrusted;
    this.canUnauthenticate = options.canUnauthenticate;
    const { imap_client_workarounds: workarounds } = options.settings;
    this.workarounds = workarounds.length === 0 ? noWorkarounds : new Set(workarounds);
  }

  /** Aborted when the client is gone. The storage reads many messages at once, each waiting on this one signal. */
  get signal(): AbortSignal {
    return this.#life.signal;
  }

  /** Nothing of this session is under way, and it may last: lets go of what only work needs. */
  rest(): void {
    this.#life.forget();
  }

  /** The client is. Costs nothing, where `signal` may have to be made. */
  get isGone(): boolean {
    return this.#life.isAborted;
  }

  get isSelected(): boolean {
    return this.#view !== undefined;
  }

  /** The selected mailbox. For commands of the selected state, which run only then. */
  get view(): MailboxView {
    if (this.#view === undefined) throw new Error('no mailbox is selected');
    return this.#view;
  }

  get selectedView(): MailboxView | undefined {
    return this.#view;
  }

  /**
   * The view belongs to the session from now on. Closes the previous one.
   * @param changeable flags that the user's rights let change; all when undefined
   */
  async select(view: MailboxView, changeable: KeptFlags | undefined): Promise<void> {
    await this.deselect();
    this.#view = view;
    this.changeable = changeable;
  }

  /** Closes the selected mailbox, if any, without expunging. */
  async deselect(): Promise<void> {
    const view = this.#view;
    this.#view = undefined;
    this.savedSearch = [];
    this.contexts.clear();
    this.#ownUids = undefined;
    this.toldUpTo = undefined;
    this.isModSeqHeldBack = false;
    await view?.[Symbol.asyncDispose]();
  }

  has(feature: Feature): boolean {
    return this.enabled.includes(feature);
  }

  /** Mailbox names and quoted strings are UTF-8 in both directions. */
  get isUtf8(): boolean {
    return this.enabled.includes('UTF8=ACCEPT') || this.enabled.includes('IMAP4REV2');
  }

  get isRev2(): boolean {
    return this.enabled.includes('IMAP4REV2');
  }

  /** QRESYNC includes CONDSTORE (RFC 7162 3.2.3). */
  enable(feature: Feature): void {
    const features: Feature[] = feature === 'QRESYNC' ? [feature, 'CONDSTORE'] : [feature];
    this.enabled = [...new Set([...this.enabled, ...features])];
    if (feature === 'IMAP4REV2') this.flagText.hidesRecent = true;
  }

  /**
   * A command that uses modseqs turns CONDSTORE on (RFC 7162 3.1): from here on FETCH replies carry MODSEQ.
   */
  useModSeqs(): void {
    if (this.enabled.includes('CONDSTORE')) return;
    this.enable('CONDSTORE');
    if (this.#view !== undefined) this.text(`* OK [HIGHESTMODSEQ ${this.#view.highestModSeq}] Highest\r\n`);
  }

  /** Messages that a command of this client saved. */
  noteOwn(mailboxGuid: string, uids: readonly Uid[]): void {
    const wantsItems = this.newMessageItems !== undefined || this.contexts.wantsItems;
    if (!wantsItems || this.#view?.mailbox.guid !== mailboxGuid) return;
    this.#ownUids ??= new Set();
    for (const uid of uids) this.#ownUids.add(uid);
  }

  /** Did a command of this client save it? Told once. */
  takeOwn(uid: Uid): boolean {
    return this.#ownUids?.delete(uid) ?? false;
  }

  /** As if NOTIFY had never been used. The feed itself is to be closed by whoever ends it. */
  endNotify(): void {
    const feed = this.notify;
    this.notify = undefined;
    this.newMessageItems = undefined;
    this.selectedEvents = undefined;
    // The feed may be what calls: it ends after this.
    void feed?.close();
  }

  /** For the count of messages moved to the trash. */
  async isTrash(mailboxName: string, signal: AbortSignal): Promise<boolean> {
    this.#trashNames ??= new Map();
    let isTrash = this.#trashNames.get(mailboxName);
    if (isTrash === undefined) {
      const [entry] = await this.user.list([mailboxName], { subscribedOnly: false }, signal);
      isTrash = entry?.specialUse.includes('\\Trash') ?? false;
      this.#trashNames.set(mailboxName, isTrash);
    }
    return isTrash;
  }

  /** `* 3 FETCH (`; with UIDONLY `* 17 UIDFETCH (` (RFC 9586 3.1). */
  fetchHead(view: MailboxView, seq: number): string {
    return this.enabled.includes('UIDONLY') ? `* ${view.uidAt(seq)} UIDFETCH (` : `* ${seq} FETCH (`;
  }

  text(binary: string): void {
    this.output.text(binary);
  }

  /** FETCH replies that the client did not ask for name the UID (RFC 7162 3.2.4, RFC 9051 7.5.2). */
  get namesUids(): boolean {
    return !this.enabled.includes('UIDONLY') && (this.enabled.includes('CONDSTORE') || this.isRev2);
  }

  mailboxName(name: string): string {
    return encodeMailbox(name, this.isUtf8);
  }

  /**
   * A sequence set to ascending, disjoint ranges of sequence numbers that exist in the selected mailbox.
   * @returns undefined when a plain sequence number is out of range (RFC 9051 9, seq-number: an error; UIDs that are not there are ignored)
   */
  resolve(set: SequenceSet, isUid: boolean): readonly NumberRange[] | undefined {
    const { view } = this;
    if (set.kind === 'saved') return rangesOfSaved(this.savedSearch, view);
    if (!isUid) {
      const ranges = resolveNumberSet(set.ranges, view.count);
      const last = ranges[ranges.length - 1];
      if (last !== undefined && last[1] > view.count) return undefined;
      // `*` in an empty mailbox names nothing; any number there is wrong.
      return view.count === 0 && set.ranges.some(([first]) => first !== Number.POSITIVE_INFINITY) ? undefined : ranges;
    }
    if (view.count === 0) return [];
    const out: NumberRange[] = [];
    for (const [first, last] of resolveNumberSet(set.ranges, view.uidAt(view.count))) {
      const from = view.lowerBound(first);
      const to = view.lowerBound(last + 1) - 1;
      if (from <= to) out.push([from, to]);
    }
    return out;
  }
}

function rangesOfSaved(uids: readonly Uid[], view: MailboxView): NumberRange[] {
  const out: NumberRange[] = [];
  let last = -1;
  for (const uid of uids) {
    const seq = view.seqOf(uid);
    if (seq === 0) continue;
    const open = out[out.length - 1];
    if (open !== undefined && seq === last + 1) out[out.length - 1] = [open[0], seq];
    else out.push([seq, seq]);
    last = seq;
  }
  return out;
}

/** Number of messages in ranges. */
export function countOf(ranges: readonly NumberRange[]): number {
  let count = 0;
  for (const [first, last] of ranges) count += last - first + 1;
  return count;
}
