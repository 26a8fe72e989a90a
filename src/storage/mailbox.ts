// The storage contract. Implemented by maildir/ and memory/, tested by test/contract/.
//
// One Mailbox object per mailbox and process, shared by all sessions; each session reads through its own MailboxView, which keeps the
// sequence numbers its client knows until `sync` is called. Accessors of a view are synchronous and read columns in memory; what is not
// there (sizes, dates, cached structures) is loaded for a slice of messages with `prepare`.
import type { MimePart } from '#mail/mime-part.js';
import type { SearchQuery } from './search.js';
import type { FlagSet, MailboxStatus, MessageNeeds, ModSeq, Uid } from './types.js';

/** Random access to one message as the client sees it: line ends are CRLF unless the message was stored with others. */
export interface MessageReader {
  /** Octets; equals RFC822.SIZE. */
  readonly size: number;
  /** MIME structure with byte offsets into this reader. Parsed at most once per message and cached. */
  structure(): Promise<MimePart>;
  /** Exactly the octets [offset, offset+length), fewer only at the end of the message. The buffer is the caller's. */
  read(offset: number, length: number): Promise<Buffer>;
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
  /** Resolves when more may be written (back-pressure). */
  write(chunk: Uint8Array): Promise<void>;
  /** No more octets. The message becomes visible at commit. */
  end(): Promise<void>;
}

export interface AppendResult {
  readonly uidValidity: number;
  /** In the order of `add`; empty for deliveries, whose UIDs are given at the next sync. */
  readonly uids: readonly Uid[];
}

/** One or many messages, all or nothing. Nothing is visible before `commit`; `abort` (or disposal) leaves no file behind. */
export interface AppendTransaction extends AsyncDisposable {
  add(options: AppendOptions, signal: AbortSignal): Promise<MessageWriter>;
  /** Resolves once messages and directory entries are durable (mail_fsync). @throws StorageError */
  commit(signal: AbortSignal): Promise<AppendResult>;
  abort(): Promise<void>;
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
  /** RFC 7162 UNCHANGEDSINCE: messages with a higher modseq are left alone. */
  readonly unchangedSince: ModSeq | undefined;
}

export interface StoreResult {
  /** Sequence numbers left alone because of `unchangedSince`. */
  readonly modified: readonly number[];
  /** Sequence numbers whose message is gone. */
  readonly expunged: readonly number[];
}

/** What changed for this view. Sequence numbers follow RFC 9051 7.5.1: each expunge is reported in the numbering left by the ones before it. */
export interface ViewChanges {
  /** In reporting order; empty when expunges were not allowed. */
  readonly expunged: readonly { readonly seq: number; readonly uid: Uid }[];
  /** In the numbering after the expunges; excludes this view's own silent changes. */
  readonly flagsChanged: readonly number[];
  /** New message count when it grew. */
  readonly exists: number | undefined;
  readonly recent: number | undefined;
  /** True when a keyword not yet announced appeared (FLAGS response needed). */
  readonly newKeywords: boolean;
}

export interface MailboxView extends AsyncDisposable {
  readonly mailbox: Mailbox;
  readonly isReadOnly: boolean;
  /** EXISTS as the client knows it; sequence numbers are 1 to count. */
  readonly count: number;
  readonly recentCount: number;
  /** First unseen message's sequence number; 0 when there is none. */
  firstUnseen(): number;

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
  /** True when another session expunged it and this view has not been told. */
  isExpunged(seq: number): boolean;
  /** Stable id of the message content (Maildir base name or the GUID in the uidlist); EMAILID is made from it. */
  guidAt(seq: number): string;

  /**
   * Makes the given needs of these messages (ascending, at most 1,000) readable by the accessors below, until the next call.
   * @returns sequence numbers that could not be read because the message is gone
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

  /** Ascending sequence numbers. */
  search(query: SearchQuery, signal: AbortSignal): Promise<number[]>;
  /** Durable per mail_fsync when resolved. With `silent`, this view's next sync does not report these changes. */
  store(seqs: readonly number[], change: StoreChange, options: { readonly silent: boolean }, signal: AbortSignal): Promise<StoreResult>;
  /** Expunges messages marked \Deleted: all of them, or only those among `uids` (UID EXPUNGE). Seen at the next sync. */
  expunge(uids: readonly Uid[] | undefined, signal: AbortSignal): Promise<void>;
  /** All or nothing. @throws StorageError */
  copy(seqs: readonly number[], target: Mailbox, signal: AbortSignal): Promise<CopyResult>;
  /** Copies and expunges; the expunges are seen at the next sync. */
  move(seqs: readonly number[], target: Mailbox, signal: AbortSignal): Promise<CopyResult>;

  /** Brings in what other sessions and programs did, and reports the difference to what the client knows. */
  sync(options: { readonly allowExpunge: boolean }, signal: AbortSignal): Promise<ViewChanges>;
  /** UIDs expunged after `since` (RFC 7162 VANISHED EARLIER), restricted to `known` when given; complete even when the history is shorter. */
  vanishedSince(
    since: ModSeq,
    known: readonly (readonly [number, number])[] | undefined,
    signal: AbortSignal,
  ): Promise<readonly (readonly [number, number])[]>;
  /** Calls back (never synchronously) when `sync` would report something. @returns stop watching */
  watch(onChange: () => void): () => void;
  /**
   * Gives up what an idle session can get back later (buffers, the mailbox itself when nobody else uses it); any later call brings it back.
   * The watch stays.
   */
  park(): void;
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
  status(options: { readonly size: boolean }, signal: AbortSignal): Promise<MailboxStatus>;
  /** @param kind `append` assigns UIDs at commit; `deliver` takes no lock and assigns none (SMTP, LMTP) */
  beginAppend(kind: 'append' | 'deliver'): AppendTransaction;
  /** Calls back when anything in the mailbox changed (for NOTIFY). @returns stop watching */
  watch(onChange: () => void): () => void;
}
