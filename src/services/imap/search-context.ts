// Search results that are kept up to date (RFC 5267 4): after each sync the messages that changed are tested again.
import { encodeString } from '#protocol/imap/encoder.js';
import type { MailboxView, ViewChanges } from '#storage/mailbox.js';
import type { NumberRange, SearchQuery } from '#storage/search.js';
import { formatRanges, rangesOf } from '#util/number-set.js';

/** Results kept for one session; more get NOUPDATE. */
const maxContexts = 16;

interface Context {
  readonly tag: string;
  readonly isUid: boolean;
  readonly query: SearchQuery;
  /** UIDs in the result as the client knows it. */
  readonly uids: Set<number>;
}

export interface NewContext {
  readonly tag: string;
  readonly isUid: boolean;
  readonly query: SearchQuery;
  readonly found: readonly number[];
}

/** The contexts of the selected mailbox. */
export class SearchContexts {
  readonly #contexts = new Map<string, Context>();
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

  clear(): void {
    this.#contexts.clear();
  }

  /** @param since the view's highestModSeq when the search began */
  add(view: MailboxView, { tag, isUid, query, found }: NewContext, since: number): void {
    if (this.#contexts.size === 0) {
      this.#modSeq = since;
      this.#knownModSeq = 0;
      this.#count = view.count;
    }
    const uids = new Set<number>();
    for (const seq of found) uids.add(view.uidAt(seq));
    this.#contexts.set(tag, { tag, isUid, query: withoutSequences(query, view), uids });
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
      if (removed.length > 0)
        lines.push(line(context, 'REMOVEFROM', context.isUid ? removed : removed.map((uid) => oldSeqs.get(uid) ?? 0)));
    }
    this.#count = view.count;
    return lines;
  }

  /** ADDTO and REMOVEFROM for what changed since the last call. @throws StorageError */
  async changedLines(view: MailboxView, signal: AbortSignal): Promise<string[]> {
    if (this.#contexts.size === 0) return [];
    const known = view.mailbox.highestModSeq;
    if (known === this.#knownModSeq && view.count === this.#count) return [];
    const since = this.#modSeq;
    this.#knownModSeq = known;
    this.#count = view.count;
    this.#modSeq = view.highestModSeq;
    const changed: number[] = [];
    for (let seq = 1; seq <= view.count; seq++) if (view.modSeqAt(seq) > since) changed.push(seq);
    if (changed.length === 0) return [];
    const ranges: readonly NumberRange[] = rangesOf(changed);
    const lines: string[] = [];
    for (const context of [...this.#contexts.values()]) {
      const matching = await view.search({ kind: 'and', queries: [{ kind: 'sequence', ranges }, context.query] }, signal);
      lines.push(...this.#compare(view, context, changed, new Set(matching)));
    }
    return lines;
  }

  #compare(view: MailboxView, context: Context, changed: readonly number[], matching: ReadonlySet<number>): string[] {
    const added: number[] = [];
    const removed: number[] = [];
    for (const seq of changed) {
      const uid = view.uidAt(seq);
      const was = context.uids.has(uid);
      // An expunged message leaves the result along with its EXPUNGE.
      if (was === matching.has(seq) || view.isExpunged(seq)) continue;
      if (was) context.uids.delete(uid);
      else context.uids.add(uid);
      (was ? removed : added).push(context.isUid ? uid : seq);
    }
    return [
      ...(removed.length > 0 ? [line(context, 'REMOVEFROM', removed)] : []),
      ...(added.length > 0 ? [line(context, 'ADDTO', added)] : []),
    ];
  }
}

/** Position 0: the result of SEARCH has no order (RFC 5267 4.3). */
function line({ tag, isUid }: Context, what: 'ADDTO' | 'REMOVEFROM', numbers: readonly number[]): string {
  return `* ESEARCH (TAG ${encodeString(tag)})${isUid ? ' UID' : ''} ${what} (0 ${formatRanges(rangesOf(numbers))})\r\n`;
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
