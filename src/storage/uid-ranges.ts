import { type NumberRange, rangesOf, subtractRanges } from '#util/number-set.js';

/** The numbers in [first, last] that are not among `present` (ascending). */
export function missingRanges(present: Iterable<number>, first: number, last: number): NumberRange[] {
  return last < first ? [] : subtractRanges([[first, last]], rangesOf(present));
}
