// The storage contract. Implemented by maildir/ and memory/, tested by test/contract/.
//
// One Mailbox object per mailbox and process, shared by all sessions; each session reads through its own MailboxView, which keeps the
// sequence numbers its client knows until `sync` is called. Accessors of a view are synchronous and read columns in memory; what is not
// there (sizes, dates, cached structures) is loaded for a slice of messages with `prepare`.
import type { MimePart } from '#mail/mime-part.js';
import type { SearchQuery } from './search.js';
import type { FlagSet, MailboxStatus, MessageNeeds, ModSeq, Uid } from './types.js';
import type { FlagColumns, WireForm, WireRoom, WireRun } from './wire-run.js';

/** Random access to one message as the client sees it: line ends are CRLF unless the message was stored with others. */
export interface MessageReader {
  /** Octets; equals RFC822.SIZE. */
  readonly size: number;
  /** Octets on disk, where they are known: less than `size` for a message stored with bare line feeds. */
  readonly storedSize?: number;
  /** MIME structure with byte offsets into this reader. Parsed at most once per message and cached. */
  structure(): Promise<MimePart>;
  /**
   * Exactly the octets [offset, offset+length), fewer only at the end of the message. Nobody changes the buffer afterwards.
   * @param into of at least `length` octets: may be used in place of a new buffer
   */
  read(offset: number, length: number, into?: Buffer): Promise<Buffer>;
  close(): Promise<void>;
}

export interface AppendOptions {
  /** `recent` is ignored. */
  readonly flags: FlagSet;
  /** INTERNALDATE, ms since the epoch; now when undefined. */
  readonly internalDateMs: number | undefined;
  /** Octets that will be written, when known in advance (literal size): quota and limits are checked before the first octet. */
  readonly expectedBytes: number | undefined;
}

/** Receives one message. `write` copies nothing: do not reuse the chunk. */
export interface MessageWriter {
  /** Resolves when more may be written (back-pressure); undefined: at once. Never throws. */
  write(chunk: Uint8Array): Promise<void> | undefined;
  /** No more octets. The message becomes visible at commit. */
  end(): Promise<void>;
}

export interface ReplacedMessage {
  /** The mailbox it is in. */
  readonly mailbox: Mailbox;
  /** Its RFC822.SIZE. */
  readonly octets: number;
}

export interface AppendResult {
  readonly uidValidity: number;
  /** In the order of `add`; empty for deliveries, whose UIDs are given at the next sync. */
  readonly uids: readonly Uid[];
}

/**
 * One or many messages, all or nothing. Nothing is visible before `commit`; `abort` (or disposal) leaves no file behind.
 *
 * One writer is open at a time: `end` it before the next `add` and before `commit`. When anything fails (quota, a keyword refused, a write)
 * the whole transaction is lost: only `abort` may follow. A commit without messages succeeds with no UIDs. `abort` and disposal are
 * idempotent, and do nothing after a commit that succeeded.
 */
export interface AppendTransaction extends AsyncDisposable {
  /**
   * At once where nothing has to be waited for; a failure is always a promise.
   * @throws StorageError `over-quota`, `too-big`, `read-only`, `limit` (a new keyword when no more can be created, or one too long)
   */
  add(options: AppendOptions, signal: AbortSignal): MessageWriter | Promise<MessageWriter>;
  /** Resolves once messages and directory entries are durable (mail_fsync). @throws StorageError */
  commit(signal: AbortSignal): Promise<AppendResult>;
  abort(): Promise<void>;
}

/** Flags that copies may have, or that may be changed; all unless told (RFC 4314 4: without the right to set a flag it is not copied). */
export interface KeptFlags {
  /** Bits of `flagBit`. */
  readonly system: number;
  readonly keywords: boolean;
}

export interface CopyResult {
  readonly uidValidity: number;
  /** Pairwise: sourceUids[i] became targetUids[i]. */
  readonly sourceUids: readonly Uid[];
  readonly targetUids: readonly Uid[];
}

export interface StoreChange {
  readonly mode: 'add' | 'remove' | 'replace';
  readonly flags: FlagSet;
  /** `replace` leaves flags outside of these as they are (RFC 4314 4: no right to change them); all are replaced unless told. */
  readonly within?: KeptFlags | undefined;
  /** RFC 7162 UNCHANGEDSINCE: messages with a higher modseq are left alone. */
  readonly unchangedSince: ModSeq | undefined;
}

export interface StoreResult {
  /** Sequence numbers left alone because of `unchangedSince`. */
  readonly modified: readonly number[];
  /** Sequence numbers whose message is gone. */
  readonly expunged: readonly number[];
}

/**
 * What changed for this view. A message that arrived and went between two syncs is never mentioned. Sequence numbers follow RFC 9051 7.5.1: each
 * expunge is reported in the numbering left by the ones before it.
 */
export interface ViewChanges {
  /** In reporting order; empty when expunges were not allowed. */
  readonly expunged: readonly { readonly seq: number; readonly uid: Uid }[];
  /**
   * Ascending, in the numbering after the expunges; excludes this view's own silent changes (unless someone else changed the same message
   * too), messages new in this sync, and expunged ones still waiting.
   */
  readonly flagsChanged: readonly number[];
  /** Message count after expunges and arrivals; undefined when nothing arrived. */
  readonly exists: number | undefined;
  /** New `recentCount` when it differs from the one last reported. */
  readonly recent: number | undefined;
  /** True when a keyword not yet announced appeared (FLAGS response needed). */
  readonly newKeywords: boolean;
}

export interface SyncOptions {
  readonly allowExpunge: boolean;
  /**
   * What programs that do not share our index did (a delivery, another server) may go unnoticed for up to a second: for syncs after commands that
   * do not ask for news. What sessions did, in whatever process, is always seen.
   */
  readonly mayLag?: boolean;
}

/**
 * One session's numbering of a mailbox.
 *
 * Only the numbering is frozen between syncs: flags, keywords and modseqs are those that this process knows now, and of an expunged message
 * those it had last. Sequence numbers outside 1..count are a programming error (RangeError). \Recent (RFC 3501 2.3.2): a read-write view takes
 * the messages that no view has taken yet when it first sees them (open, sync), and keeps the flag until it is closed; a read-only view shows it
 * and takes nothing.
 *
 * After the mailbox was deleted every call that reads or changes messages, and `sync`, fails with StorageError `not-found`. Disposal is
 * idempotent. A read-only view refuses store, expunge and move with `read-only`.
 */
export interface MailboxView extends AsyncDisposable {
  readonly mailbox: Mailbox;
  readonly isReadOnly: boolean;
  /** EXISTS as the client knows it; sequence numbers are 1 to count. */
  readonly count: number;
  readonly recentCount: number;
  /** Every change up to this one was seen by this view at its opening or last sync: what HIGHESTMODSEQ may tell its client (RFC 7162 3.1.2.2). Stays below an expunge not yet reported. */
  readonly highestModSeq: ModSeq;
  /** First unseen message's sequence number; 0 when there is none. */
  firstUnseen(): number;

  /** @throws RangeError outside 1..count, as do all accessors by sequence number */
  uidAt(seq: number): Uid;
  /** 0 when this view has no such message. */
  seqOf(uid: Uid | number): number;
  /** Sequence number of the first message with a UID of at least `uid`; count+1 when there is none. */
  lowerBound(uid: number): number;
  /** `flagBit` mask, `recent` included. */
  systemFlagsAt(seq: number): number;
  /** The same array object for the same set, so that callers may cache by identity. */
  keywordsAt(seq: number): readonly string[];
  modSeqAt(seq: number): ModSeq;
  /**
   * What `uidAt`, `systemFlagsAt` and `keywordsAt` say of the messages `first` to `last`, until anything is waited for; undefined where they
   * do not lie in rows of that order, or some are \Recent.
   */
  flagColumns?(first: number, last: number): FlagColumns | undefined;
  /** Puts these forms of the messages, as far as they lie together, into `room`; undefined where `flagColumns` would be, or nothing is kept. */
  wireRun?(seqs: readonly [number, number], forms: readonly WireForm[], room: WireRoom, signal: AbortSignal): Promise<WireRun | undefined>;
  /** True when another session expunged it and this view has not been told. */
  isExpunged(seq: number): boolean;
  /** Stable id of the message content (Maildir base name or the GUID in the uidlist); copies and moved messages keep it. EMAILID is made from it (object-id.ts). */
  guidAt(seq: number): string;

  /** Before many calls of `modSeqAt` and `guidAt` for messages that are not prepared: the first of them would wait, with the whole process, for a file. */
  complete?(signal: AbortSignal): Promise<void>;
  /**
   * Makes the given needs of these messages (ascending, at most 1,000) readable by the accessors below, until the next call or sync.
   * An accessor whose need was not prepared throws (a programming error).
   * @returns sequence numbers that could not be read because the message is gone, ascending
   */
  prepare(seqs: readonly number[], needs: MessageNeeds, signal: AbortSignal): Promise<readonly number[]>;
  sizeAt(seq: number): number;
  /** ms since the epoch. */
  internalDateAt(seq: number): number;
  saveDateAt(seq: number): number;
  envelopeAt(seq: number): Buffer;
  bodyAt(seq: number): Buffer;
  bodyStructureAt(seq: number): Buffer;
  /** Raw fields with the given lower-case names, in message order, each with its line end; without the empty line. */
  headerFieldsAt(seq: number, names: readonly string[]): Buffer;
  previewAt(seq: number): string;

  /** @throws StorageError `expunged` */
  openMessage(seq: number, signal: AbortSignal): Promise<MessageReader>;
  /**
   * The whole message as the client sees it where it can be read at once, without waiting; the octets are good until the next call. Undefined: use
   * `openMessage`.
   */
  peekMessage?(seq: number): Buffer | undefined;

  /** Ascending sequence numbers; messages known to be expunged never match, not even `not`. */
  search(query: SearchQuery, signal: AbortSignal): Promise<number[]>;
  /**
   * Durable per mail_fsync when resolved; one modseq for all messages that change, none when no flag set changes. `recent` in `flags` is ignored.
   * Keywords compare without case (ASCII). With `silent`, this view's next sync does not report these changes.
   * @throws StorageError `read-only`; `limit` when a keyword can not be created: then nothing is changed
   */
  store(seqs: readonly number[], change: StoreChange, options: { readonly silent: boolean }, signal: AbortSignal): Promise<StoreResult>;
  /**
   * Expunges messages of this view marked \Deleted now: all of them, or only those among `uids` (UID EXPUNGE). Seen at the next sync.
   * @param mark `any`: also without the mark, which others may see (RFC 8508 3.4) and take off again at any moment
   * @returns how many there were; none that somebody else expunged
   */
  expunge(uids: readonly Uid[] | undefined, signal: AbortSignal, mark?: 'marked' | 'any'): Promise<number>;
  /**
   * All or nothing, in the order of `seqs`. Flags, keywords and INTERNALDATE are kept (keywords that `target` can not create are dropped), the
   * save date is new, copies are \Recent. `target` may be this mailbox.
   * @throws StorageError `expunged` when one of them is gone, `over-quota`, `read-only`
   */
  copy(seqs: readonly number[], target: Mailbox, signal: AbortSignal, kept?: KeptFlags): Promise<CopyResult>;
  /**
   * Copies and expunges; the expunges are seen at the next sync. Each message is moved or stays (RFC 6851 3.3): where somebody else expunges or moves
   * some of them meanwhile, the result has the others.
   * @throws StorageError as `copy`; `expunged` when this view knew of one that is gone, or when none was moved
   */
  move(seqs: readonly number[], target: Mailbox, signal: AbortSignal, kept?: KeptFlags): Promise<CopyResult>;

  /** Brings in what other sessions and programs did, and reports the difference to what the client knows. */
  sync(options: SyncOptions, signal: AbortSignal): Promise<ViewChanges>;
  /**
   * UIDs expunged after `since` (RFC 7162 VANISHED EARLIER), restricted to `known` when given; complete even when the history is shorter (then all
   * UIDs below UIDNEXT that are not there). Ascending, adjacent ranges joined, never a UID this view still counts or one not yet given.
   */
  vanishedSince(
    since: ModSeq,
    known: readonly (readonly [number, number])[] | undefined,
    signal: AbortSignal,
  ): Promise<readonly (readonly [number, number])[]>;
  /** Calls back (never synchronously; once for changes that come together) when `sync` would report something. @returns stop watching */
  watch(onChange: () => void): () => void;
  /**
   * Gives up what an idle session can get back later (buffers, the mailbox itself when nobody else uses it); any later call brings it back.
   * The watch stays.
   */
  park(): void;
  /**
   * What another process needs to go on as this view (`Mailbox.resumeView`): its numbering and what it has told. Undefined where that cannot be
   * done, or when this view has silent changes that no sync has settled.
   */
  suspend(): SuspendedView | undefined;
}

/** A view without its mailbox; plain JSON, so that it can move to another process. */
export interface SuspendedView {
  readonly uidValidity: number;
  readonly isReadOnly: boolean;
  /** UIDs of the messages it counts, ascending. */
  readonly uids: readonly (readonly [number, number])[];
  readonly uidNext: number;
  readonly highestModSeq: ModSeq;
  /** UIDs it shows as \Recent, ascending. */
  readonly recent: readonly (readonly [number, number])[];
  /** RECENT as last reported. */
  readonly recentCount: number;
  /** How many keywords it has announced. */
  readonly keywordCount: number;
}

export interface Mailbox {
  /** With the namespace's prefix and separator, UTF-8 (`Archive/2026`). */
  readonly name: string;
  readonly guid: string;
  readonly uidValidity: number;
  readonly uidNext: Uid;
  readonly highestModSeq: ModSeq;
  readonly isReadOnly: boolean;
  /** All keywords in use, in first-used spelling. */
  readonly keywords: readonly string[];
  /** False: unknown keywords are refused (too many). */
  readonly canCreateKeywords: boolean;

  openView(options: { readonly readOnly: boolean }, signal: AbortSignal): Promise<MailboxView>;
  /**
   * Goes on where a view of the same mailbox was suspended, maybe by another process: the next sync reports what happened since.
   * @throws StorageError `corrupt` when UIDVALIDITY is another one, `cannot` where views cannot be suspended
   */
  resumeView(suspended: SuspendedView, signal: AbortSignal): Promise<MailboxView>;
  /**
   * Folders in which every change of the mailbox, whoever makes it, adds, renames or removes a file: what a process that does not open the
   * mailbox watches. Empty where there are none.
   */
  readonly watchedFolders: readonly string[];
  /** Counts of the mailbox as it is now; `recent` are the messages no read-write view has taken. */
  status(options: { readonly size: boolean }, signal: AbortSignal): Promise<MailboxStatus>;
  /**
   * @param kind `append` assigns UIDs at commit; `deliver` takes no lock and assigns none (SMTP, LMTP)
   * @param replaced a message that the caller expunges after the commit, so that its room counts as free (RFC 8508)
   */
  beginAppend(kind: 'append' | 'deliver', replaced?: ReplacedMessage): AppendTransaction;
  /** Raises `highestModSeq`: something of the mailbox that is no message has changed (RFC 7162 3.2, annotations). */
  raiseModSeq(signal: AbortSignal): Promise<void>;
  /** Calls back when anything in the mailbox changed (for NOTIFY). @returns stop watching */
  watch(onChange: () => void): () => void;
  /** Is there, as far as this process knows, something to report to a view whose `highestModSeq` is this one? Costs nothing. */
  hasNewsSince(modSeq: ModSeq): boolean;
}
