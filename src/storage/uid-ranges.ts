// Ranges of UIDs, ascending, inclusive.
import type { UidRanges } from './search.js';
import type { Uid } from './types.js';

type Range = readonly [first: number, last: number];

/** Ascending numbers to ranges, adjacent ones joined. */
export function rangesOf(ascending: Iterable<number>): UidRanges {
  const ranges: [Uid, Uid][] = [];
  let open: [Uid, Uid] | undefined;
  for (const value of ascending) {
    if (open !== undefined && value <= open[1] + 1) open[1] = Math.max(open[1], value) as Uid;
    else {
      open = [value as Uid, value as Uid];
      ranges.push(open);
    }
  }
  return ranges;
}

/** Sorted by first, overlapping and adjacent ranges joined, inverted ones turned (RFC 9051: `4:2` is `2:4`). */
export function normalizeRanges(ranges: readonly Range[]): Range[] {
  const sorted = ranges.map(([a, b]): [number, number] => (a <= b ? [a, b] : [b, a])).sort((a, b) => a[0] - b[0]);
  const joined: [number, number][] = [];
  for (const range of sorted) {
    const last = joined.at(-1);
    if (last !== undefined && range[0] <= last[1] + 1) last[1] = Math.max(last[1], range[1]);
    else joined.push(range);
  }
  return joined;
}

/** The numbers in [first, last] that are not in `present` (ascending). */
export function missingRanges(present: Iterable<number>, first: number, last: number): UidRanges {
  const ranges: [Uid, Uid][] = [];
  let next = first;
  for (const value of present) {
    if (value > last) break;
    if (value > next) ranges.push([next as Uid, (value - 1) as Uid]);
    if (value >= next) next = value + 1;
  }
  if (next <= last) ranges.push([next as Uid, last as Uid]);
  return ranges;
}

/** What is in both; both sides normalised. */
export function intersectRanges(left: readonly Range[], right: readonly Range[]): UidRanges {
  const ranges: [Uid, Uid][] = [];
  let i = 0;
  let j = 0;
  while (true) {
    const a = left[i];
    const b = right[j];
    if (a === undefined || b === undefined) return ranges;
    const first = Math.max(a[0], b[0]);
    const last = Math.min(a[1], b[1]);
    if (first <= last) ranges.push([first as Uid, last as Uid]);
    if (a[1] < b[1]) i += 1;
    else j += 1;
  }
}

/** @param ranges normalised */
export function rangesContain(ranges: readonly Range[], value: number): boolean {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const range = ranges[middle];
    if (range !== undefined && range[1] < value) low = middle + 1;
    else high = middle;
  }
  const range = ranges[low];
  return range !== undefined && range[0] <= value;
}
