// Search results that are kept up to date (RFC 5267 4, RFC 5465 7): after each sync the messages that changed are tested again.
import { encodeString } from '#protocol/imap/encoder.js';
import type { FetchItem } from '#protocol/imap/fetch-item.js';
import type { MailboxView, ViewChanges } from '#storage/mailbox.js';
import type { NumberRange, SearchQuery } from '#storage/search.js';
import { formatRanges, rangesOf } from '#util/number-set.js';
import { sortMessages } from './sort-messages.js';
import type { SortedResult } from './sorted-result.js';

/** Results kept for one session; more get NOUPDATE. */
const maxContexts = 16;

interface Context {
  readonly tag: string;
  /** Further correlators of its responses (RFC 7377 2.1), with a space in front. */
  readonly scope: string;
  readonly isUid: boolean;
  readonly query: SearchQuery;
  /** UIDs in the result as the client knows it. */
  readonly uids: Set<number>;
  /** Undefined for SEARCH, whose result is in mailbox order. */
  readonly sorted: SortedResult | undefined;
  /** Of messages that are new in the mailbox and in the result, sent along (RFC 5465 7). */
  readonly items: readonly FetchItem[] | undefined;
}

export interface NewContext {
  readonly tag: string;
  readonly scope?: string;
  readonly isUid: boolean;
  readonly query: SearchQuery;
  readonly found: readonly number[];
  readonly sorted?: SortedResult | undefined;
  readonly items?: readonly FetchItem[] | undefined;
}

export interface ContextChanges {
  /** ADDTO and REMOVEFROM. */
  readonly lines: readonly string[];
  /** By sequence number of messages added to a result: what is to be fetched of them if they are new. */
  readonly wanted: ReadonlyMap<number, readonly FetchItem[]>;
}

const noChanges: ContextChanges = { lines: [], wanted: new Map() };
/** Positions in one line. */
const maxPairsPerLine = 500;

/** What most sessions have. Never added to. */
const none = new Map<string, Context>();

/** The contexts of the selected mailbox. */
export class SearchContexts {
  #contexts = none;
  /** All changes up to these were looked at. */
  #modSeq = 0;
  #knownModSeq = 0;
  #count = 0;

  has(tag: string): boolean {
    return this.#contexts.has(tag);
  }

  get isFull(): boolean {
    return this.#contexts.size >= maxContexts;
  }

  get isEmpty(): boolean {
    return this.#contexts.size === 0;
  }

  /** Some of them want something of new messages. */
  get wantsItems(): boolean {
    for (const { items } of this.#contexts.values()) if (items !== undefined) return true;
    return false;
  }

  clear(): void {
    this.#contexts = none;
  }

  /** @param since the view's highestModSeq when the search began */
  add(view: MailboxView, { tag, scope = '', isUid, query, found, sorted, items }: NewContext, since: number): void {
    if (this.#contexts.size === 0) {
      this.#contexts = new Map();
      this.#modSeq = since;
      this.#knownModSeq = 0;
      this.#count = view.count;
    }
    const uids = new Set<number>();
    for (const seq of found) uids.add(view.uidAt(seq));
    this.#contexts.set(tag, { tag, scope, isUid, query: withoutSequences(query, view), uids, sorted, items });
  }

  /** @returns false when there is no such context */
  cancel(tag: string): boolean {
    return this.#contexts.delete(tag);
  }

  /** REMOVEFROM for expunged messages, before their EXPUNGE: sequence numbers are the old ones (RFC 5267 4.3.2). */
  expungedLines(view: MailboxView, expunged: ViewChanges['expunged']): string[] {
    if (this.#contexts.size === 0 || expunged.length === 0) return [];
    const uids = expunged.map(({ uid }) => uid as number).sort((a, b) => a - b);
    // What stands in front of an expunged message: those still there, and those that go with it.
    const oldSeqs = new Map(uids.map((uid, index) => [uid, view.lowerBound(uid) + index]));
    const lines: string[] = [];
    for (const context of this.#contexts.values()) {
      const removed = uids.filter((uid) => context.uids.delete(uid));
      lines.push(...removedLines(context, removed, (uid) => oldSeqs.get(uid) ?? 0));
    }
    this.#count = view.count;
    return lines;
  }

  /** What changed since the last call. @throws StorageError */
  async changes(view: MailboxView, signal: AbortSignal): Promise<ContextChanges> {
    if (this.#contexts.size === 0) return noChanges;
    const known = view.mailbox.highestModSeq;
    if (known === this.#knownModSeq && view.count === this.#count) return noChanges;
    const since = this.#modSeq;
    this.#knownModSeq = known;
    this.#count = view.count;
    this.#modSeq = view.highestModSeq;
    const changed: number[] = [];
    for (let seq = 1; seq <= view.count; seq++) if (view.modSeqAt(seq) > since) changed.push(seq);
    if (changed.length === 0) return noChanges;
    const ranges: readonly NumberRange[] = rangesOf(changed);
    const lines: string[] = [];
    const wanted = new Map<number, readonly FetchItem[]>();
    for (const context of [...this.#contexts.values()]) {
      const matching = await view.search({ kind: 'and', queries: [{ kind: 'sequence', ranges }, context.query] }, signal);
      const { added, removed } = compare(view, context, changed, new Set(matching));
      lines.push(...removedLines(context, removed, (uid) => view.seqOf(uid)));
      lines.push(...(await this.#addedLines(view, context, added, signal)));
      const { items } = context;
      if (items !== undefined) for (const seq of added) wanted.set(seq, [...(wanted.get(seq) ?? []), ...items]);
    }
    return { lines, wanted };
  }

  async #addedLines(view: MailboxView, context: Context, added: readonly number[], signal: AbortSignal): Promise<string[]> {
    if (added.length === 0) return [];
    const { sorted } = context;
    const numberOf = (seq: number): number => (context.isUid ? view.uidAt(seq) : seq);
    if (sorted === undefined) return [line(context, 'ADDTO', `0 ${formatRanges(rangesOf(added.map(numberOf)))}`)];
    const pairs: string[] = [];
    for (const { seq, keys } of await sortMessages(view, added, { criteria: sorted.criteria }, signal)) {
      if (sorted.isFull) {
        // The client is told that the result is not followed any more rather than given a wrong one.
        this.#contexts.delete(context.tag);
        return [...pairLines(context, 'ADDTO', pairs), `* NO [NOUPDATE ${encodeString(context.tag)}] Too many messages.\r\n`];
      }
      pairs.push(`${sorted.insert(view.uidAt(seq), keys)} ${numberOf(seq)}`);
    }
    return pairLines(context, 'ADDTO', pairs);
  }
}

/** Sequence numbers of messages that came into the result, UIDs of those that left it. */
function compare(
  view: MailboxView,
  { uids }: Context,
  changed: readonly number[],
  matching: ReadonlySet<number>,
): { readonly added: number[]; readonly removed: number[] } {
  const added: number[] = [];
  const removed: number[] = [];
  for (const seq of changed) {
    const uid = view.uidAt(seq);
    const was = uids.has(uid);
    // An expunged message leaves the result along with its EXPUNGE.
    if (was === matching.has(seq) || view.isExpunged(seq)) continue;
    if (was) {
      uids.delete(uid);
      removed.push(uid);
    } else {
      uids.add(uid);
      added.push(seq);
    }
  }
  return { added, removed };
}

function removedLines(context: Context, uids: readonly number[], seqOf: (uid: number) => number): string[] {
  if (uids.length === 0) return [];
  const numberOf = (uid: number): number => (context.isUid ? uid : seqOf(uid));
  const { sorted } = context;
  if (sorted === undefined) return [line(context, 'REMOVEFROM', `0 ${formatRanges(rangesOf(uids.map(numberOf)))}`)];
  const pairs = uids.map((uid) => `${sorted.remove(uid)} ${numberOf(uid)}`);
  return pairLines(context, 'REMOVEFROM', pairs);
}

function pairLines(context: Context, what: 'ADDTO' | 'REMOVEFROM', pairs: readonly string[]): string[] {
  const lines: string[] = [];
  for (let at = 0; at < pairs.length; at += maxPairsPerLine)
    lines.push(line(context, what, pairs.slice(at, at + maxPairsPerLine).join(' ')));
  return lines;
}

/** @param pairs position and numbers; position 0 where the result is in mailbox order (RFC 5267 4.3.3) */
function line({ tag, scope, isUid }: Context, what: 'ADDTO' | 'REMOVEFROM', pairs: string): string {
  return `* ESEARCH (TAG ${encodeString(tag)}${scope})${isUid ? ' UID' : ''} ${what} (${pairs})\r\n`;
}

/** The query with UIDs in the place of sequence numbers, which change their meaning with the next expunge. */
function withoutSequences(query: SearchQuery, view: MailboxView): SearchQuery {
  switch (query.kind) {
    case 'sequence':
      return { kind: 'uid', ranges: query.ranges.map(([first, last]) => [view.uidAt(first), view.uidAt(last)] as const) };
    case 'and':
    case 'or':
      return { kind: query.kind, queries: query.queries.map((inner) => withoutSequences(inner, view)) };
    case 'not':
      return { kind: 'not', query: withoutSequences(query.query, view) };
    default:
      return query;
  }
}
