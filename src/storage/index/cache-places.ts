// Where sections of many cached messages lie in one piece of the file: looked for in place, and no object is made for any of them.
// Layout: docs/index-format.md.
import type { Buffer } from 'node:buffer';
import { cacheRecordHeaderBytes, cacheRecordMagic, cacheUnit, isIntactRecordAt } from './cache-record.js';
import { type Columns, rowBit } from './columns.js';
import type { IntactRange } from './intact-range.js';

const sectionHeaderBytes = 8;

export interface CacheWindow {
  readonly octets: Buffer;
  /** Octets read. */
  readonly length: number;
  /** Position in the file. */
  readonly from: number;
  /** What need not be checked; what has been is added. */
  readonly intact: IntactRange;
}

/**
 * Arguments always have the same shapes, whoever calls: otherwise V8 would throw away what it has compiled for one of the callers when the other comes.
 * @param rows first and last; messages that are gone end the run
 * @param sections kinds, ascending
 * @param places receives start and end of each section of each message
 * @returns how many messages, from the first on, have all sections in their last record, and that whole and intact in the window
 */
export function findPlaces(
  { octets, length, from, intact }: CacheWindow,
  { uid, bits, cacheOffset }: Columns,
  rows: readonly [number, number],
  sections: Uint8Array,
  places: Uint32Array,
): number {
  const first = rows[0];
  const last = rows[1];
  const intactFrom = intact.from;
  const intactTo = intact.to;
  /** Records one behind the other, up to the last one looked at. */
  let runFrom = 0;
  let runTo = 0;
  const wanted = sections.length;
  let put = 0;
  let row = first;
  for (; row <= last; row += 1) {
    const offset = (cacheOffset[row] as number) * cacheUnit;
    const start = offset - from;
    if (offset === 0 || start < 0 || start + cacheRecordHeaderBytes > length || ((bits[row] as number) & rowBit.dead) !== 0) break;
    const size = (octets[start] as number) | ((octets[start + 1] as number) << 8) | ((octets[start + 2] as number) << 16);
    const end = start + size;
    if (octets[start + 3] !== cacheRecordMagic || end > length || size < cacheRecordHeaderBytes) break;
    const own =
      (octets[start + 8] as number) |
      ((octets[start + 9] as number) << 8) |
      ((octets[start + 10] as number) << 16) |
      ((octets[start + 11] as number) << 24);
    if (own !== ((uid[row] as number) | 0)) break;
    if ((offset < intactFrom || offset + size > intactTo) && !isIntactRecordAt(octets, start, end)) break;
    if (offset !== runTo) runFrom = offset;
    runTo = offset + size;
    let found = 0;
    for (let at = start + cacheRecordHeaderBytes; found < wanted && at + sectionHeaderBytes <= end; ) {
      const kind = (octets[at] as number) | ((octets[at + 1] as number) << 8);
      const begin = at + sectionHeaderBytes;
      at = begin + ((octets[at + 4] as number) | ((octets[at + 5] as number) << 8) | ((octets[at + 6] as number) << 16));
      if (kind === 0 || at > end) break;
      if (kind !== sections[found]) continue;
      places[put] = begin;
      places[put + 1] = at;
      put += 2;
      found += 1;
    }
    if (found < wanted) break;
  }
  if (runTo > runFrom) intact.add(runFrom, runTo);
  return row - first;
}
