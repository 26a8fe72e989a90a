// The extended reply of SEARCH and SORT (RFC 4731, RFC 5267, RFC 9394) and what of a result is saved (RFC 5182).
import type { SearchReturn } from '#protocol/imap/commands/search.js';
import { encodeString } from '#protocol/imap/encoder.js';
import type { MailboxView } from '#storage/mailbox.js';
import { formatNumbers } from '#util/number-text.js';

export interface SearchResult {
  readonly view: MailboxView;
  readonly tag: string;
  /** Further correlators (RFC 7377 2.1), with a space in front; '' unless told. */
  readonly scope?: string;
  readonly isUid: boolean;
  /** Sequence numbers in the order of the reply. */
  readonly found: readonly number[];
  /** The reply carries the highest modseq of what it names. */
  readonly withModSeq: boolean;
}

export const returnAll: SearchReturn = {
  min: false,
  max: false,
  all: true,
  count: false,
  save: false,
  update: false,
  updateItems: undefined,
  context: false,
  partial: undefined,
};

/** RFC 9394 3.1: the part of the result that PARTIAL names, in the order of the result. */
export function partialOf(found: readonly number[], { range, fromEnd }: NonNullable<SearchReturn['partial']>): readonly number[] {
  const [first, last] = range;
  return fromEnd ? found.slice(Math.max(found.length - last, 0), Math.max(found.length - first + 1, 0)) : found.slice(first - 1, last);
}

/** RFC 5182 2.1: with MIN, MAX or PARTIAL only these are saved, unless ALL or COUNT ask for everything. */
export function savedPart(found: readonly number[], returns: SearchReturn): readonly number[] {
  if (returns.all || returns.count || (!returns.min && !returns.max && returns.partial === undefined)) return found;
  return namedBy(found, returns);
}

/** Those that MIN, MAX and PARTIAL name, each once. */
function namedBy(found: readonly number[], returns: SearchReturn): readonly number[] {
  return [
    ...new Set([
      ...(returns.min ? found.slice(0, 1) : []),
      ...(returns.partial === undefined ? [] : partialOf(found, returns.partial)),
      ...(returns.max ? found.slice(-1) : []),
    ]),
  ];
}

/** @param seqs in whatever order */
export function uidsOf(view: MailboxView, seqs: readonly number[]): ArrayLike<number> {
  const columns = seqs.length === 0 ? undefined : view.flagColumns?.(1, view.count);
  if (columns === undefined) return seqs.map((seq) => view.uidAt(seq));
  return gather(columns.uid, seqs, new Uint32Array(seqs.length));
}

/** Arrays only: V8 throws away what it has compiled for objects when it learns something new of their kind, with the next large mailbox waiting. */
function gather(uid: Uint32Array, seqs: readonly number[], uids: Uint32Array): Uint32Array {
  for (let index = 0; index < uids.length; index += 1) uids[index] = uid[(seqs[index] as number) - 1] as number;
  return uids;
}

export function highestModSeq(view: MailboxView, seqs: readonly number[]): number {
  let highest = 0;
  for (const seq of seqs) highest = Math.max(highest, view.modSeqAt(seq));
  return highest;
}

/** `* ESEARCH (TAG "a1") UID COUNT 5` without line end; undefined when nothing was asked for (SAVE alone, RFC 5182 2.1). */
export function extendedReply(result: SearchResult, returns: SearchReturn): string | undefined {
  const { view, found, isUid } = result;
  const { min, max, all, count, partial } = returns;
  if (!min && !max && !all && !count && partial === undefined && (returns.save || !returns.update)) return undefined;
  const numbers = (seqs: readonly number[]): string => formatNumbers(isUid ? uidsOf(view, seqs) : seqs);
  const first = found[0];
  const last = found[found.length - 1];
  let text = `* ESEARCH (TAG ${encodeString(result.tag)}${result.scope ?? ''})${isUid ? ' UID' : ''}`;
  if (first !== undefined && last !== undefined) {
    if (min) text += ` MIN ${numbers([first])}`;
    if (max) text += ` MAX ${numbers([last])}`;
    if (all) text += ` ALL ${numbers(found)}`;
  }
  if (count) text += ` COUNT ${found.length}`;
  if (partial !== undefined) {
    const part = partialOf(found, partial);
    text += ` PARTIAL (${partial.text} ${part.length === 0 ? 'NIL' : numbers(part)})`;
  }
  if (result.withModSeq && found.length > 0) {
    // RFC 7162 3.1.10: of the messages that the reply names.
    const named = all || count ? found : namedBy(found, returns);
    if (named.length > 0) text += ` MODSEQ ${highestModSeq(view, named)}`;
  }
  return text;
}
