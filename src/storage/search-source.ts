// What the parts of a search share.
import type { FieldKeys } from './header-keys.js';
import type { MailboxView } from './mailbox.js';
import type { NumberRange, SearchQuery } from './search.js';

/** Not decided by what is known so far. */
export const unknown = 2;
/** Three-valued logic: 1 matches, 0 does not. */
export type Outcome = 0 | 1 | typeof unknown;

export interface HeaderWanted {
  /** Lower-case. */
  readonly field: string;
  /** Through `searchKey`. */
  readonly needle: string;
  /** Messages that nothing is known of are read: all of them, or nearly all, will be looked at in any case. */
  readonly mayRead: boolean;
}

export type HeaderKeyFound = (field: number, seq: number, key: string | null) => void;

/** What a search reads of a view; `nowMs` is for tests of relative dates. */
export type SearchSource = Pick<
  MailboxView,
  | 'count'
  | 'uidAt'
  | 'lowerBound'
  | 'systemFlagsAt'
  | 'keywordsAt'
  | 'modSeqAt'
  | 'guidAt'
  | 'isExpunged'
  | 'prepare'
  | 'sizeAt'
  | 'internalDateAt'
  | 'saveDateAt'
  | 'headerFieldsAt'
  | 'openMessage'
> & {
  readonly nowMs?: number;
  /** What earlier searches have found out about a field, lower-case. */
  headerKeys?(field: string): FieldKeys;
  /**
   * Finds out for as many messages as can be told quickly whether the key of a field holds a text: `keyOutcome` by sequence number less one. What is
   * found out is kept.
   */
  headerOutcomes?(wanted: HeaderWanted, signal: AbortSignal): Promise<Uint8Array | undefined>;
  /**
   * Tells the keys (`headerKey`) of fields, lower-case, for those of the messages where they can be found without `prepare`. `found` is called with the
   * field's place in `fields`.
   */
  findHeaderKeys?(fields: readonly string[], seqs: readonly number[], found: HeaderKeyFound): Promise<void>;
  /**
   * The whole message as the client sees it where it can be read at once, without waiting; the octets are good until the next call. Undefined: use
   * `openMessage`.
   */
  peekMessage?(seq: number): Buffer | undefined;
  /**
   * Ascending sequence numbers of the messages in `ranges` (normal, within the view), expunged ones left out, that match a query about flags and keywords
   * (`isOfFlags`): a view whose flags lie in columns goes through them at once. Undefined: messages are looked at one by one.
   */
  flagMatches?(query: SearchQuery, ranges: readonly NumberRange[]): number[] | undefined;
  /** What `prepare` would find out, where it is known already: octets, or ms since the epoch. */
  knownFact?(seq: number, fact: MessageFact): number | undefined;
};

/** Of a message, besides its flags, that the index knows once it was asked for. */
export type MessageFact = 'size' | 'internalDate' | 'saveDate';
