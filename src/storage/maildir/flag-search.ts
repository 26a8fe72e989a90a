// Searching a view by flags and keywords: one loop over the columns, with the answer for each set of flags in a table.
import type { NumberRange } from '#util/number-set.js';
import { type Columns, rowBit } from '../index/columns.js';
import type { SearchQuery } from '../search.js';
import { type FlagTable, fewMatches, flagTable } from '../search-flags.js';
import { flagBit } from '../types.js';
import type { Numbering } from './numbering.js';
import type { ViewNews } from './view-news.js';

type FlagSearchColumns = Pick<Columns, 'flags' | 'bits' | 'keywordSet'>;

/**
 * Ascending sequence numbers, expunged messages left out.
 * @param query for which `isOfFlags` holds
 * @param ranges normal, within the view: nothing else is looked at
 * @returns undefined where the query has to be asked of each message
 */
export function flagMatches(
  numbering: Numbering,
  news: ViewNews,
  query: SearchQuery,
  ranges: readonly NumberRange[],
): number[] | undefined {
  const { state, count, isPlain } = numbering;
  const keywordSets = Array.from({ length: state.keywordSetCount }, (_, set) => state.keywordSetAt(set));
  const wanted = flagTable(query, keywordSets);
  if (wanted === undefined) return undefined;
  const { columns } = state;
  const [first] = ranges;
  if (isPlain && !news.hasRecents && !wanted.hasKeywords && first !== undefined && first[0] === 1 && first[1] === count) {
    const few = fewMatches(columns.flags.subarray(0, count), wanted.table);
    if (few !== undefined) return few.filter((row) => ((columns.bits[row] as number) & rowBit.dead) === 0).map((row) => row + 1);
  }
  const found: number[] = [];
  for (const [from, to, recent] of runs(numbering, news, ranges)) {
    if (isPlain) searchRows(columns, wanted, from - 1, to, recent, found);
    else searchRowsOf(numbering, wanted, from, to, recent, found);
  }
  return found;
}

/** The ranges, divided where messages begin or cease to be \\Recent. @returns with the flag, or 0 */
function runs(numbering: Numbering, news: ViewNews, ranges: readonly NumberRange[]): (readonly [number, number, number])[] {
  if (!news.hasRecents) return ranges.map(([from, to]) => [from, to, 0] as const);
  const recent = news.recentRanges
    .map(([first, last]): NumberRange => [numbering.lowerBound(first), numbering.lowerBound(last + 1) - 1])
    .filter(([first, last]) => first <= last);
  const divided: (readonly [number, number, number])[] = [];
  for (const [from, to] of ranges) {
    let next = from;
    for (const [first, last] of recent) {
      if (last < next || first > to) continue;
      if (first > next) divided.push([next, first - 1, 0]);
      const end = Math.min(last, to);
      divided.push([Math.max(first, next), end, flagBit.recent]);
      next = end + 1;
    }
    if (next <= to) divided.push([next, to, 0]);
  }
  return divided;
}

/** Row `n` is message `n + 1`. */
function searchRows(
  { flags, bits, keywordSet }: FlagSearchColumns,
  { table, hasKeywords }: FlagTable,
  from: number,
  to: number,
  recent: number,
  found: number[],
): void {
  if (hasKeywords) {
    for (let row = from; row < to; row += 1) {
      if (table[((keywordSet[row] as number) << 6) | (flags[row] as number) | recent] !== 1) continue;
      if (((bits[row] as number) & rowBit.dead) === 0) found.push(row + 1);
    }
    return;
  }
  for (let row = from; row < to; row += 1) {
    if (table[(flags[row] as number) | recent] === 1 && ((bits[row] as number) & rowBit.dead) === 0) found.push(row + 1);
  }
}

function searchRowsOf(
  numbering: Numbering,
  { table, hasKeywords }: FlagTable,
  from: number,
  to: number,
  recent: number,
  found: number[],
): void {
  const { flags, bits, keywordSet } = numbering.state.columns;
  for (let seq = from; seq <= to; seq += 1) {
    const row = numbering.rowAt(seq);
    if (row < 0 || ((bits[row] as number) & rowBit.dead) !== 0) continue;
    const keywords = hasKeywords ? (keywordSet[row] as number) << 6 : 0;
    if (table[keywords | (flags[row] as number) | recent] === 1) found.push(seq);
  }
}
