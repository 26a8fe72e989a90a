// Search keys of the wire to the storage's query.
import { BadCharsetError } from '#protocol/imap/grammar.js';
import type { SearchKey, SearchProgram } from '#protocol/imap/search-key.js';
import type { SearchQuery } from '#storage/search.js';
import { flagBit } from '#storage/types.js';
import { resolveNumberSet } from '#util/number-set.js';
import type { Session } from './session.js';

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

/** @returns undefined when a sequence number is out of range */
export function planSearch(session: Session, program: SearchProgram): SearchQuery | undefined {
  const plan = new Planner(session, textDecoder(program.charset));
  const query = plan.convert(program.key);
  return plan.isOutOfRange ? undefined : query;
}

class Planner {
  readonly #session: Session;
  readonly #text: (octets: Buffer) => string;
  isOutOfRange = false;

  constructor(session: Session, text: (octets: Buffer) => string) {
    this.#session = session;
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
      const { view } = this.#session;
      const largest = view.count === 0 ? 0 : view.uidAt(view.count);
      return { kind: 'uid', ranges: resolveNumberSet(key.set.ranges, largest) };
    }
    const ranges = this.#session.resolve(key.set, false);
    if (ranges === undefined) {
      this.isOutOfRange = true;
      return { kind: 'sequence', ranges: [] };
    }
    return { kind: 'sequence', ranges };
  }
}
