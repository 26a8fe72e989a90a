// Queries about flags and keywords alone, as a table: whatever is combined, there are 64 sets of system flags, and few sets of keywords in a mailbox.
import { Buffer } from 'node:buffer';
import type { SearchQuery } from './search.js';
import { flagBit } from './types.js';

const sets = 64;
/** A table for more sets of keywords than this would take longer to make than it saves. */
const maxKeywordSets = 1024;

/** What matches: `table` has a 1 at `keyword set * 64 + system flags`; without `hasKeywords` at `system flags`, whatever the keywords. */
export interface FlagTable {
  readonly table: Uint8Array;
  readonly hasKeywords: boolean;
}

/** The query asks for flags and keywords, and for nothing else. */
export function isOfFlags(query: SearchQuery): boolean {
  switch (query.kind) {
    case 'all':
    case 'flags':
    case 'keyword':
      return true;
    case 'not':
      return isOfFlags(query.query);
    case 'and':
    case 'or':
      return query.queries.every(isOfFlags);
    default:
      return false;
  }
}

/**
 * @param query for which `isOfFlags` holds
 * @param keywordSets by number
 * @returns undefined when there are too many sets of keywords
 */
export function flagTable(query: SearchQuery, keywordSets: readonly (readonly string[])[]): FlagTable | undefined {
  if (!asksForKeywords(query)) return { table: flagsMatching(query, []), hasKeywords: false };
  if (keywordSets.length > maxKeywordSets) return undefined;
  const table = new Uint8Array(keywordSets.length * sets);
  for (const [number, keywords] of keywordSets.entries()) {
    const folded = keywords.map((keyword) => keyword.toLowerCase());
    table.set(flagsMatching(query, folded), number * sets);
  }
  return { table, hasKeywords: true };
}

function asksForKeywords(query: SearchQuery): boolean {
  if (query.kind === 'not') return asksForKeywords(query.query);
  if (query.kind === 'and' || query.kind === 'or') return query.queries.some(asksForKeywords);
  return query.kind === 'keyword';
}

/**
 * 1 for each set of system flags (`flagBit` mask) that matches in messages with these keywords.
 * @param keywords lower-case
 */
function flagsMatching(query: SearchQuery, keywords: readonly string[]): Uint8Array {
  switch (query.kind) {
    case 'all':
      return new Uint8Array(sets).fill(1);
    case 'flags':
      return Uint8Array.from({ length: sets }, (_, set) => ((set & query.system) === query.system ? 1 : 0));
    case 'keyword':
      return new Uint8Array(sets).fill(keywords.includes(query.keyword.toLowerCase()) ? 1 : 0);
    case 'not':
      return flagsMatching(query.query, keywords).map((matches) => 1 - matches);
    case 'and':
      return combine(query.queries, keywords, 1, (a, b) => a & b);
    case 'or':
      return combine(query.queries, keywords, 0, (a, b) => a | b);
    default:
      throw new TypeError(`${query.kind} is no flag`);
  }
}

function combine(
  queries: readonly SearchQuery[],
  keywords: readonly string[],
  start: number,
  join: (a: number, b: number) => number,
): Uint8Array {
  let result = new Uint8Array(sets).fill(start);
  for (const query of queries) {
    const table = flagsMatching(query, keywords);
    result = result.map((value, set) => join(value, table[set] as number));
  }
  return result;
}

/** Where one message in this many matches, or more, going through all of them costs less. */
const fewFactor = 64;
/** Messages looked at to guess how many match. */
const sampled = 512;

/**
 * Places of the sets in `flags`, which has no \\Recent, that have a 1 in `table`, ascending, each value looked for by one native call: many searches of a large mailbox
 * (unseen, flagged) find few messages.
 * @param table of 64
 * @returns undefined when they are many
 */
export function fewMatches(flags: Uint8Array, table: Uint8Array): number[] | undefined {
  if (seemMany(flags, table)) return undefined;
  const octets = Buffer.from(flags.buffer, flags.byteOffset, flags.length);
  const most = flags.length / fewFactor;
  const found: number[] = [];
  for (let set = 0; set < flagBit.recent; set += 1) {
    if (table[set] !== 1) continue;
    for (let at = octets.indexOf(set); at >= 0; at = octets.indexOf(set, at + 1)) {
      if (found.length >= most) return undefined;
      found.push(at);
    }
  }
  return found.sort((a, b) => a - b);
}

/** Of messages spread over all of them as many match as would be many among all. */
function seemMany(flags: Uint8Array, table: Uint8Array): boolean {
  if (flags.length < 3 * sampled) return false;
  const step = stepOf(flags.length);
  let found = 0;
  for (let place = step >> 1; place < flags.length; place += step) if (table[flags[place] as number] === 1) found += 1;
  return found * fewFactor > flags.length / step;
}

/** Not one that flags repeat with: each tenth message, say, is flagged. */
function stepOf(length: number): number {
  let step = Math.floor(length / sampled) | 1;
  while (step % 3 === 0 || step % 5 === 0 || step % 7 === 0) step += 2;
  return step;
}
