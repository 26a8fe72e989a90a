// SORT (RFC 5256, RFC 5957 SORT=DISPLAY, RFC 5267 ESORT).
import type { CommandReader } from '../reader.js';
import { parseSearchKeys, type SearchProgram } from '../search-key.js';
import { parseSearchReturn, type SearchReturn } from './search.js';

const keys = ['ARRIVAL', 'CC', 'DATE', 'DISPLAYFROM', 'DISPLAYTO', 'FROM', 'SIZE', 'SUBJECT', 'TO'] as const;
export type SortKey = (typeof keys)[number];

export interface SortCriterion {
  readonly key: SortKey;
  readonly isReverse: boolean;
}

export interface SortCommand {
  /** Undefined: the old reply (`* SORT 2 1`). */
  readonly returns: SearchReturn | undefined;
  readonly criteria: readonly SortCriterion[];
  /** Its charset is always there. */
  readonly program: SearchProgram;
}

/** More than all keys in both directions cannot change the order any more. */
const maxCriteria = 2 * keys.length;

export function parseSort(reader: CommandReader): SortCommand {
  reader.space();
  let returns: SearchReturn | undefined;
  if (reader.tryWord('RETURN')) {
    reader.space();
    returns = parseSearchReturn(reader);
    reader.space();
  }
  const criteria = reader.list(() => parseCriterion(reader));
  if (criteria.length === 0) reader.fail('Empty sort program.');
  if (criteria.length > maxCriteria) reader.fail('Too many sort criteria.');
  reader.space();
  return { returns, criteria, program: parseCharsetAndKeys(reader) };
}

function parseCriterion(reader: CommandReader): SortCriterion {
  const isReverse = reader.tryWord('REVERSE');
  if (isReverse) reader.space();
  const name = reader.word('sort key');
  const key = keys.find((known) => known === name);
  if (key === undefined) return reader.fail(`Unknown sort argument: ${name}`);
  return { key, isReverse };
}

/** `charset SP key *(SP key)`: what SORT and THREAD search with. */
export function parseCharsetAndKeys(reader: CommandReader): SearchProgram {
  const charset = reader.astringText().toUpperCase();
  reader.space();
  return { charset, ...parseSearchKeys(reader) };
}
