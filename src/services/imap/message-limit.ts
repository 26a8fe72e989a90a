// MESSAGELIMIT and SAVELIMIT (RFC 9738): commands work on the messages with the highest UIDs and say where they stopped; what has to be done as a
// whole (COPY, APPEND) is refused.
import type { MailboxView } from '#storage/mailbox.js';
import type { SearchQuery } from '#storage/search.js';
import { intersectRanges, type NumberRange } from '#util/number-set.js';
import { no, type Outcome } from './outcome.js';
import { countOf, type Session } from './session.js';

export interface Limited<Part> {
  readonly part: Part;
  /** Response code; undefined when nothing was left out. */
  readonly code: string | undefined;
}

function codeOf({ settings }: Session, view: MailboxView, lowestSeq: number): string {
  return `MESSAGELIMIT ${settings.imap_message_limit} ${view.uidAt(lowestSeq)}`;
}

/** @param seqs ascending */
export function limitSeqs(session: Session, view: MailboxView, seqs: Iterable<number>): Limited<Iterable<number>> {
  const { imap_message_limit: limit } = session.settings;
  if (limit === 0) return { part: seqs, code: undefined };
  const list = [...seqs];
  if (list.length <= limit) return { part: list, code: undefined };
  const part = list.slice(-limit);
  return { part, code: codeOf(session, view, part[0] ?? 0) };
}

/** RFC 9738 3.1: a page (RFC 9394) larger than the limit is refused whole. */
export function refusePage({ settings }: Session, [first, last]: readonly [number, number]): Outcome | undefined {
  const { imap_message_limit: limit } = settings;
  return limit > 0 && last - first + 1 > limit ? no('The page is larger than the message limit.', `MESSAGELIMIT ${limit}`) : undefined;
}

/** Where a search may look at more messages than allowed, it looks at the last of those that its top level names. */
export function limitSearch(session: Session, view: MailboxView, query: SearchQuery): Limited<SearchQuery> {
  const { imap_message_limit: limit } = session.settings;
  if (limit === 0) return { part: query, code: undefined };
  const ranges = candidates(view, query);
  let excess = countOf(ranges) - limit;
  if (excess <= 0) return { part: query, code: undefined };
  const last: NumberRange[] = [];
  for (const [from, to] of ranges) {
    const skipped = Math.min(excess, to - from + 1);
    excess -= skipped;
    if (from + skipped <= to) last.push([from + skipped, to]);
  }
  return {
    part: { kind: 'and', queries: [{ kind: 'sequence', ranges: last }, query] },
    code: codeOf(session, view, last[0]?.[0] ?? 1),
  };
}

/** Sequence numbers outside of which nothing can match. */
function candidates(view: MailboxView, query: SearchQuery): readonly NumberRange[] {
  const everything: readonly NumberRange[] = view.count === 0 ? [] : [[1, view.count]];
  switch (query.kind) {
    case 'sequence':
      return intersectRanges(query.ranges, everything);
    case 'uid': {
      const ranges = query.ranges.map(([first, last]): NumberRange => [view.lowerBound(first), view.lowerBound(last + 1) - 1]);
      return intersectRanges(
        ranges.filter(([first, last]) => first <= last),
        everything,
      );
    }
    case 'and':
      return query.queries.reduce<readonly NumberRange[]>((left, part) => intersectRanges(left, candidates(view, part)), everything);
    default:
      return everything;
  }
}

/**
 * The reply to a command that would save more messages than allowed.
 * @param lowestUid of the last messages that would have been allowed (RFC 9738 3.1), where they have UIDs
 */
export function refuseSave({ settings }: Session, count: number, lowestUid?: (limit: number) => number): Outcome | undefined {
  const limit = saveLimit(settings);
  return limit > 0 && count > limit
    ? no('Too many messages in one command.', `MESSAGELIMIT ${limit}${lowestUid === undefined ? '' : ` ${lowestUid(limit)}`}`)
    : undefined;
}

function saveLimit(settings: Session['settings']): number {
  return settings.imap_message_limit > 0 ? settings.imap_message_limit : settings.imap_save_limit;
}

/** The limit's response code goes where the reply has room for it. */
export function withLimit(session: Session, outcome: Outcome, { code }: Pick<Limited<unknown>, 'code'>): Outcome {
  if (code === undefined || outcome.kind === 'bad') return outcome;
  if (outcome.code === undefined && outcome.kind === 'ok')
    return { ...outcome, code, text: 'Completed as far as the message limit allows.' };
  session.text(`* NO [${code}] Not all messages were processed.\r\n`);
  return outcome;
}
