// What the parts of a search share.
import type { FieldKeys } from './header-keys.js';
import type { MailboxView } from './mailbox.js';

/** Not decided by what is known so far. */
export const unknown = 2;
/** Three-valued logic: 1 matches, 0 does not. */
export type Outcome = 0 | 1 | typeof unknown;

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
   * Finds out for as many messages as can be told quickly whether the key of a field, lower-case, holds a text (through `searchKey`): `keyOutcome` by
   * sequence number less one. What is found out is kept.
   */
  headerOutcomes?(wanted: { readonly field: string; readonly needle: string }, signal: AbortSignal): Promise<Uint8Array | undefined>;
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
   * Ascending sequence numbers of the messages, expunged ones left out, whose system flags have a 1 in `table` (64 entries): a view whose
   * flags lie in columns goes through them at once.
   */
  flagMatches?(table: Uint8Array): number[];
};
