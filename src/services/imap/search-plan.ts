// Search keys of the wire to the storage's query.
import { BadCharsetError } from '#protocol/imap/grammar.js';
import type { SearchKey, SearchProgram } from '#protocol/imap/search-key.js';
import type { MailboxView } from '#storage/mailbox.js';
import type { SearchQuery } from '#storage/search.js';
import { flagBit } from '#storage/types.js';
import { intersectRanges, type NumberRange, resolveNumberSet, star } from '#util/number-set.js';
import type { Session } from './session.js';

const maxUid = 4294967295;

/** Makes text of the octets of a search string. @throws BadCharsetError */
function textDecoder(charset: string | undefined): (octets: Buffer) => string {
  if (charset === undefined || charset === 'UTF-8' || charset === 'US-ASCII') return (octets) => octets.toString('utf8');
  try {
    const decoder = new TextDecoder(charset);
    return (octets) => decoder.decode(octets);
  } catch (error) {
    throw new BadCharsetError('Unknown charset', { cause: error });
  }
}

/** @param view the selected one unless told: for others without sequence numbers and `$` @throws BadCharsetError */
export function planSearch(session: Session, program: SearchProgram, view: MailboxView = session.view): SearchQuery {
  return new Planner({ session, view }, textDecoder(program.charset)).convert(program.key);
}

/** The same for a search of the selected mailbox that may save its result. */
export function planSavedSearch(session: Session, program: SearchProgram, saves: boolean): SearchQuery {
  try {
    return planSearch(session, program);
  } catch (error) {
    // RFC 5182 2.1: a search with SAVE that is answered with NO leaves an empty result, one answered with BAD the last one.
    if (saves && error instanceof BadCharsetError) session.savedSearch = [];
    throw error;
  }
}

/** A range up to `*` is left open: where the result is kept up to date, it takes in what comes later (RFC 5267 4.3). */
function resolveUids(set: readonly NumberRange[], largest: number): NumberRange[] {
  const ranges = set.map(
    ([first, last]): NumberRange => (first !== star && last === star ? [Math.min(first, Math.max(largest, 1)), maxUid] : [first, last]),
  );
  return resolveNumberSet(ranges, largest);
}

/** RFC 9586 3.2: the client has given up message numbers. */
export class UidRequiredError extends Error {
  override readonly name = 'UidRequiredError';
}

class Planner {
  readonly #session: Session;
  readonly #view: MailboxView;
  readonly #text: (octets: Buffer) => string;

  constructor({ session, view }: { readonly session: Session; readonly view: MailboxView }, text: (octets: Buffer) => string) {
    this.#session = session;
    this.#view = view;
    this.#text = text;
  }

  convert(key: SearchKey): SearchQuery {
    switch (key.kind) {
      case 'all':
      case 'save-date-supported':
      case 'modseq':
      case 'larger':
      case 'smaller':
      case 'younger':
      case 'older':
      case 'email-id':
      case 'thread-id':
      case 'keyword':
        return key;
      case 'and':
      case 'or':
        return { kind: key.kind, queries: key.keys.map((inner) => this.convert(inner)) };
      case 'not':
        return { kind: 'not', query: this.convert(key.key) };
      case 'fuzzy':
        // Without a text index a loose match is the exact one (RFC 6203 3: the server decides).
        return this.convert(key.key);
      case 'sequence':
      case 'uid':
        return this.#set(key);
      case 'flag':
        return { kind: 'flags', system: flagBit[key.flag] };
      case 'header':
        return { kind: 'header', field: key.field, text: this.#text(key.text) };
      case 'body':
      case 'text':
        return { kind: key.kind, text: this.#text(key.text) };
      case 'internal-date':
      case 'sent-date':
      case 'save-date':
        return {
          kind: key.kind,
          fromDay: key.relation === 'before' ? undefined : key.day,
          beforeDay: key.relation === 'since' ? undefined : key.relation === 'on' ? key.day + 1 : key.day,
        };
    }
  }

  #set(key: SearchKey & { kind: 'sequence' | 'uid' }): SearchQuery {
    if (key.set.kind === 'ranges' && key.kind === 'uid') {
      const view = this.#view;
      const largest = view.count === 0 ? 0 : view.uidAt(view.count);
      return { kind: 'uid', ranges: resolveUids(key.set.ranges, largest) };
    }
    if (key.kind === 'sequence' && key.set.kind === 'ranges' && this.#session.has('UIDONLY'))
      throw new UidRequiredError('Message numbers are off.');
    if (key.set.kind === 'saved') return { kind: 'sequence', ranges: this.#session.resolve(key.set, false) ?? [] };
    this.#session.searchesByNumber = true;
    // A client may search with numbers from before an expunge: those that do not exist match nothing, here they are no error.
    const { count } = this.#view;
    return { kind: 'sequence', ranges: count === 0 ? [] : intersectRanges(resolveNumberSet(key.set.ranges, count), [[1, count]]) };
  }
}
