// Search queries of the command line: the words of IMAP SEARCH, with OR between its two sides, parentheses as words of their own, the mailbox
// as one more key, and friendlier dates and sizes.
//
// query  = term *( [ "OR" ] term )   one group is all AND or all OR: which of the two binds closer is nothing to guess when mail is deleted
// term   = "NOT" term / "(" query ")" / key
//
// Each word of the command line is one token; keys are case-insensitive.
import type { SearchQuery } from '#storage/search.js';
import { flagBit, type SystemFlag } from '#storage/types.js';
import { type NumberRange, parseNumberSet } from '#util/number-set.js';
import { QueryError } from './query-error.js';
import { type DateForm, parseDate, parseOctets, parseSeconds } from './query-values.js';

/** What is not known before a mailbox is open stays as it was written. */
export type AdminQuery =
  | { readonly kind: 'and'; readonly queries: readonly AdminQuery[] }
  | { readonly kind: 'or'; readonly queries: readonly AdminQuery[] }
  | { readonly kind: 'not'; readonly query: AdminQuery }
  | LeafQuery;

export type LeafQuery =
  /** `*` is `star` of number-set.ts. */
  | { readonly kind: 'sequence' | 'uid'; readonly set: readonly NumberRange[] }
  /** A name, or a pattern with `*` (anything) and `%` (one level). */
  | { readonly kind: 'mailbox'; readonly pattern: string }
  | { readonly kind: 'mailbox-guid'; readonly guid: string }
  | { readonly kind: 'guid'; readonly guid: string }
  | { readonly kind: 'message'; readonly query: SearchQuery };

const maxDepth = 100;
const maxRanges = 10_000;

/**
 * @param nowMs what `2d` counts back from
 * @throws QueryError
 */
export function parseQuery(words: readonly string[], nowMs: number): AdminQuery {
  const parser = new QueryParser(words, nowMs);
  const query = parser.group(0);
  parser.expectEnd();
  return query;
}

class QueryParser {
  readonly #words: readonly string[];
  readonly #nowMs: number;
  #at = 0;

  constructor(words: readonly string[], nowMs: number) {
    this.#words = words;
    this.#nowMs = nowMs;
  }

  group(depth: number): AdminQuery {
    if (depth > maxDepth) throw new QueryError(`More than ${maxDepth} levels of parentheses`);
    const queries = [this.#term(depth)];
    let joiner: 'and' | 'or' | undefined;
    for (let word = this.#words[this.#at]; word !== undefined && word !== ')'; word = this.#words[this.#at]) {
      const found = word.toUpperCase() === 'OR' ? 'or' : 'and';
      if (joiner !== undefined && joiner !== found) throw new QueryError('Use parenthesis when mixing ANDs and ORs');
      joiner = found;
      if (found === 'or') this.#at += 1;
      queries.push(this.#term(depth));
    }
    const [only] = queries;
    return joiner === undefined && only !== undefined ? only : { kind: joiner ?? 'and', queries };
  }

  expectEnd(): void {
    if (this.#at < this.#words.length) throw new QueryError(`Unexpected '${this.#words[this.#at] ?? ''}'`);
  }

  #term(depth: number): AdminQuery {
    const word = this.#next();
    if (word === '(') {
      const query = this.group(depth + 1);
      if (this.#words[this.#at] !== ')') throw new QueryError("Missing ')'");
      this.#at += 1;
      return query;
    }
    if (word === ')') throw new QueryError("Unexpected ')'");
    const key = word.toUpperCase();
    if (key === 'NOT') {
      if (depth > maxDepth) throw new QueryError(`More than ${maxDepth} times NOT`);
      return { kind: 'not', query: this.#term(depth + 1) };
    }
    const parse = Object.hasOwn(keys, key) ? keys[key] : undefined;
    if (parse !== undefined) return parse(() => this.#next(), this.#nowMs);
    // Only sequence sets begin with these.
    if (/^[\d*]/.test(word)) return { kind: 'sequence', set: parseSet(word, 'Invalid messageset') };
    throw new QueryError(`Unknown argument ${key}`);
  }

  #next(): string {
    const word = this.#words[this.#at];
    if (word === undefined) throw new QueryError('Missing argument');
    this.#at += 1;
    return word;
  }
}

function parseSet(text: string, problem: string): readonly NumberRange[] {
  const set = parseNumberSet(text, maxRanges);
  if (set === undefined) throw new QueryError(`${problem}: ${text}`);
  return set;
}

type KeyParser = (next: () => string, nowMs: number) => AdminQuery;

const message = (query: SearchQuery): AdminQuery => ({ kind: 'message', query });
const not = (query: AdminQuery): AdminQuery => ({ kind: 'not', query });
const flag = (name: SystemFlag): AdminQuery => message({ kind: 'flags', system: flagBit[name] });
const has =
  (name: SystemFlag): KeyParser =>
  () =>
    flag(name);
const lacks =
  (name: SystemFlag): KeyParser =>
  () =>
    not(flag(name));
const headerField =
  (field: string): KeyParser =>
  (next) =>
    message({ kind: 'header', field, text: next() });
const date =
  (what: 'internal' | 'sent' | 'save', form: DateForm): KeyParser =>
  (next, nowMs) =>
    message(parseDate(next(), what, form, nowMs));
/** A text index that finds looser matches does not exist, so the exact match is the answer (RFC 6203 3). */
const fuzzy: KeyParser = (next, nowMs) => {
  const key = next().toUpperCase();
  const parse = Object.hasOwn(keys, key) ? keys[key] : undefined;
  if (parse === undefined) throw new QueryError(`Unknown argument ${key}`);
  return parse(next, nowMs);
};

const keys: Readonly<Record<string, KeyParser>> = {
  ALL: () => message({ kind: 'all' }),
  ANSWERED: has('answered'),
  BCC: headerField('bcc'),
  BEFORE: date('internal', 'before'),
  BODY: (next) => message({ kind: 'body', text: next() }),
  CC: headerField('cc'),
  DELETED: has('deleted'),
  DRAFT: has('draft'),
  FLAGGED: has('flagged'),
  FROM: headerField('from'),
  FUZZY: fuzzy,
  GUID: (next) => ({ kind: 'guid', guid: next() }),
  HEADER: (next) => message({ kind: 'header', field: next().toLowerCase(), text: next() }),
  KEYWORD: (next) => message({ kind: 'keyword', keyword: next() }),
  LARGER: (next) => message({ kind: 'larger', octets: parseOctets(next()) }),
  MAILBOX: (next) => ({ kind: 'mailbox', pattern: next() }),
  'MAILBOX-GUID': (next) => ({ kind: 'mailbox-guid', guid: next().toLowerCase() }),
  MODSEQ: (next) => message({ kind: 'modseq', atLeast: parseModSeq(next()) }),
  NEW: () => ({ kind: 'and', queries: [flag('recent'), not(flag('seen'))] }),
  OLD: lacks('recent'),
  OLDER: (next) => message({ kind: 'older', seconds: parseSeconds(next()) }),
  ON: date('internal', 'on'),
  RECENT: has('recent'),
  SAVEDATESUPPORTED: () => message({ kind: 'save-date-supported' }),
  SAVEDBEFORE: date('save', 'before'),
  SAVEDON: date('save', 'on'),
  SAVEDSINCE: date('save', 'since'),
  SEEN: has('seen'),
  SENTBEFORE: date('sent', 'before'),
  SENTON: date('sent', 'on'),
  SENTSINCE: date('sent', 'since'),
  SINCE: date('internal', 'since'),
  SMALLER: (next) => message({ kind: 'smaller', octets: parseOctets(next()) }),
  SUBJECT: headerField('subject'),
  TEXT: (next) => message({ kind: 'text', text: next() }),
  TO: headerField('to'),
  UID: (next) => ({ kind: 'uid', set: parseSet(next(), 'Invalid UID messageset') }),
  UNANSWERED: lacks('answered'),
  UNDELETED: lacks('deleted'),
  UNDRAFT: lacks('draft'),
  UNFLAGGED: lacks('flagged'),
  UNKEYWORD: (next) => not(message({ kind: 'keyword', keyword: next() })),
  UNSEEN: lacks('seen'),
  'X-GUID': (next) => ({ kind: 'guid', guid: next() }),
  'X-MAILBOX': (next) => ({ kind: 'mailbox', pattern: next() }),
  'X-SAVEDBEFORE': date('save', 'before'),
  'X-SAVEDON': date('save', 'on'),
  'X-SAVEDSINCE': date('save', 'since'),
  YOUNGER: (next) => message({ kind: 'younger', seconds: parseSeconds(next()) }),
};

/** Every key, for completion and tests. */
export const queryKeys: readonly string[] = ['NOT', 'OR', ...Object.keys(keys)];

function parseModSeq(text: string): number {
  const modSeq = Number(text);
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(modSeq)) throw new QueryError(`Invalid MODSEQ value: ${text}`);
  return modSeq;
}

/** True when no message can match without one of its branches naming a mailbox. */
export function namesMailbox(query: AdminQuery): boolean {
  switch (query.kind) {
    case 'mailbox':
    case 'mailbox-guid':
      return true;
    case 'and':
      return query.queries.some(namesMailbox);
    case 'or':
      return query.queries.every(namesMailbox);
    default:
      return false;
  }
}

/** True when every branch says something about messages, not only about mailboxes. `all` counts: it was written on purpose. */
export function namesMessages(query: AdminQuery): boolean {
  switch (query.kind) {
    case 'mailbox':
    case 'mailbox-guid':
      return false;
    case 'not':
      return namesMessages(query.query);
    case 'and':
      return query.queries.some(namesMessages);
    case 'or':
      return query.queries.every(namesMessages);
    default:
      return true;
  }
}
