// Number sets such as `1:3,7,*` (RFC 9051 sequence-set), before and after `*` is known.

/** Inclusive. In an unresolved set `star` stands for the largest number in use. */
export type NumberRange = readonly [first: number, last: number];

/** `*` in an unresolved set. */
export const star = Number.POSITIVE_INFINITY;

const largestNumber = 4294967295;

/**
 * Parses `1:3,7,*`. Order and overlaps are kept; ranges are turned so that first <= last.
 * @param maxRanges refuses longer sets
 * @returns undefined when the text is not a set (also for 0 and numbers over 2^32-1)
 */
export function parseNumberSet(text: string, maxRanges: number): NumberRange[] | undefined {
  const ranges: NumberRange[] = [];
  let position = 0;
  const readNumber = (): number => {
    if (text.charCodeAt(position) === 0x2a) {
      position += 1;
      return star;
    }
    let value = 0;
    const start = position;
    for (;;) {
      const digit = text.charCodeAt(position) - 48;
      if (!(digit >= 0 && digit <= 9)) break;
      value = value * 10 + digit;
      position += 1;
      if (position - start > 10) return 0;
    }
    return value > largestNumber ? 0 : value;
  };
  for (;;) {
    const first = readNumber();
    if (first === 0) return undefined;
    let last = first;
    if (text.charCodeAt(position) === 0x3a) {
      position += 1;
      last = readNumber();
      if (last === 0) return undefined;
    }
    if (ranges.length >= maxRanges) return undefined;
    ranges.push(first <= last ? [first, last] : [last, first]);
    if (position === text.length) return ranges;
    if (text.charCodeAt(position) !== 0x2c) return undefined;
    position += 1;
  }
}

/** Ascending, disjoint, not touching. Does not change its argument. */
export function normalizeRanges(ranges: readonly NumberRange[]): NumberRange[] {
  const sorted = isNormal(ranges) ? ranges : [...ranges].sort((a, b) => a[0] - b[0]);
  if (sorted === ranges) return [...ranges];
  const out: NumberRange[] = [];
  for (const [first, last] of sorted) {
    const previous = out[out.length - 1];
    if (previous !== undefined && first <= previous[1] + 1) {
      if (last > previous[1]) out[out.length - 1] = [previous[0], last];
    } else out.push([first, last]);
  }
  return out;
}

function isNormal(ranges: readonly NumberRange[]): boolean {
  let previous = -1;
  for (const [first, last] of ranges) {
    if (first <= previous + 1) return false;
    previous = last;
  }
  return true;
}

/**
 * Replaces `*` by `largest` (RFC 9051 9: `5:*` is also `*:5`, so with a largest of 3 it means 3:5) and normalises.
 * With `largest` 0 (empty mailbox) a lone `*` vanishes.
 */
export function resolveNumberSet(set: readonly NumberRange[], largest: number): NumberRange[] {
  const ranges: NumberRange[] = [];
  for (const [first, last] of set) {
    const a = first === star ? largest : first;
    const b = last === star ? largest : last;
    if (a === 0 && b === 0) continue;
    ranges.push(a <= b ? [a, b] : [Math.max(b, 1), a]);
  }
  return normalizeRanges(ranges);
}

/** Groups ascending numbers into ranges. */
export function rangesOf(numbers: Iterable<number>): NumberRange[] {
  const out: NumberRange[] = [];
  let first = -1;
  let last = -1;
  for (const number of numbers) {
    if (first >= 0 && number === last + 1) {
      last = number;
      continue;
    }
    if (first >= 0) out.push([first, last]);
    first = number;
    last = number;
  }
  if (first >= 0) out.push([first, last]);
  return out;
}

/** `1:3,7`; '' for no ranges. */
export function formatRanges(ranges: readonly NumberRange[]): string {
  let text = '';
  for (const [first, last] of ranges) {
    if (text !== '') text += ',';
    text += first === last ? String(first) : `${first}:${last}`;
  }
  return text;
}

/** `ranges` ascending and disjoint. */
export function rangesContain(ranges: readonly NumberRange[], number: number): boolean {
  let low = 0;
  let high = ranges.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const range = ranges[middle];
    if (range === undefined) return false;
    if (number < range[0]) high = middle - 1;
    else if (number > range[1]) low = middle + 1;
    else return true;
  }
  return false;
}

/** Both normalised. */
export function intersectRanges(left: readonly NumberRange[], right: readonly NumberRange[]): NumberRange[] {
  const out: NumberRange[] = [];
  let i = 0;
  let j = 0;
  for (;;) {
    const a = left[i];
    const b = right[j];
    if (a === undefined || b === undefined) return out;
    const first = Math.max(a[0], b[0]);
    const last = Math.min(a[1], b[1]);
    if (first <= last) out.push([first, last]);
    if (a[1] < b[1]) i += 1;
    else j += 1;
  }
}

/** Numbers of `left` that are not in `right`. Both normalised. */
export function subtractRanges(left: readonly NumberRange[], right: readonly NumberRange[]): NumberRange[] {
  const out: NumberRange[] = [];
  let j = 0;
  for (const [start, last] of left) {
    let first = start;
    for (let b = right[j]; b !== undefined && b[1] < first; b = right[j]) j += 1;
    for (let k = j; ; k += 1) {
      const b = right[k];
      if (b === undefined || b[0] > last) break;
      if (b[0] > first) out.push([first, b[0] - 1]);
      first = Math.max(first, b[1] + 1);
    }
    if (first <= last) out.push([first, last]);
  }
  return out;
}

/** How many numbers disjoint ranges hold. */
export function countInRanges(ranges: readonly NumberRange[]): number {
  let count = 0;
  for (const [first, last] of ranges) count += last - first + 1;
  return count;
}

/** The numbers of ranges, ascending. */
export function* numbersOf(ranges: readonly NumberRange[]): Generator<number> {
  for (const [first, last] of ranges) for (let number = first; number <= last; number++) yield number;
}
