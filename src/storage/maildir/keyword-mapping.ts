// Keywords of a file name's letters, and letters of keywords.

import type { IndexState } from '../index/index-state.js';
import { foldKeyword } from '../keyword-table.js';

/** Bits of the letters that these keywords have. */
export function lettersOf(state: IndexState, keywords: readonly string[]): number {
  if (keywords.length === 0 || state.letters.length === 0) return 0;
  let letters = 0;
  for (const [index, keyword] of state.letters.entries()) {
    if (keyword === '') continue;
    const folded = foldKeyword(keyword);
    if (keywords.some((candidate) => foldKeyword(candidate) === folded)) letters |= 1 << index;
  }
  return letters;
}

/** Bits of the letters that mean something here; others stay in file names untouched. */
export function knownLetters(state: IndexState): number {
  let letters = 0;
  for (const [index, keyword] of state.letters.entries()) if (keyword !== '') letters |= 1 << index;
  return letters;
}

/** The keywords a file name shows, and those of `before` that have no letter and so only live in the index. */
export function keywordsFromName(state: IndexState, letters: number, before: readonly string[]): readonly string[] {
  if (letters === 0 && before.length === 0) return before;
  const lettered = new Set(state.letters.map(foldKeyword));
  const keywords = before.filter((keyword) => !lettered.has(foldKeyword(keyword)));
  for (const [index, keyword] of state.letters.entries()) {
    if (keyword !== '' && (letters & (1 << index)) !== 0) keywords.push(keyword);
  }
  return state.keywords.intern(state.keywords.creatable(keywords));
}
