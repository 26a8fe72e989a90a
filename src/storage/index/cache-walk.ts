// Going through the records of roost.cache that the index does not know of yet.
import type { Buffer } from 'node:buffer';
import {
  cacheRecordLength,
  cacheRecordMagic,
  cacheUnit,
  isIntactCacheRecord,
  maxCacheRecordBytes,
  type NamesRecord,
  readNamesRecord,
} from './cache-record.js';
import type { IndexState } from './index-state.js';

const scanBytes = 1024 * 1024;
/** Up to the UID. */
export const cacheRecordMinimum = 12;

/**
 * Notes the positions of messages and the lists of names.
 * @returns position behind the last whole record; undefined when a record lies where none can
 */
export async function walkRecords(
  state: IndexState,
  [from, end]: readonly [number, number],
  readAt: (offset: number, length: number) => Promise<Buffer>,
): Promise<number | undefined> {
  let isMisaligned = false;
  let position = from;
  while (position < end) {
    const bytes = await readAt(position, Math.min(scanBytes, end - position));
    let at = 0;
    for (;;) {
      const length = cacheRecordLength(bytes, at);
      if (length === 0) {
        if (at + 4 > bytes.length) break;
        // A torn record: the next magic number that a valid record begins with.
        const next = nextCacheRecord(bytes, at + 1);
        if (next < 0) return isMisaligned ? undefined : position + at;
        at = next;
        continue;
      }
      if (at + cacheRecordMinimum > bytes.length) break;
      const uid = bytes.readUInt32LE(at + 8);
      if (uid === 0) {
        if (at + length > bytes.length) break;
        const record = bytes.subarray(at, at + length);
        const list = isIntactCacheRecord(record) ? readNamesRecord(record) : undefined;
        if (list !== undefined) takeNames(state, list);
      } else if (position + at + length <= end) {
        if ((position + at) % cacheUnit !== 0) isMisaligned = true;
        const row = state.columns.rowOf(uid);
        if (row >= 0) state.columns.cacheOffset[row] = (position + at) / cacheUnit;
      }
      at += length;
      if (at >= bytes.length) break;
    }
    if (at === 0) break;
    position += at;
  }
  return isMisaligned ? undefined : Math.min(position, end);
}

function takeNames(state: IndexState, { number, names, days }: NamesRecord): void {
  // Two processes may learn at once and choose the same number: then neither list is believed.
  const known = state.cacheNames.get(number);
  const isClash = known !== undefined && known.join() !== names.join();
  state.cacheNames.set(number, isClash ? [] : (known ?? names));
  for (const [index, name] of names.entries()) {
    const day = Math.max(days[index] ?? 0, state.cacheNameDays.get(name) ?? 0);
    if (day > 0) state.cacheNameDays.set(name, day);
  }
}

function nextCacheRecord(bytes: Buffer, from: number): number {
  for (let at = bytes.indexOf(cacheRecordMagic, from + 3) - 3; at >= from; at = bytes.indexOf(cacheRecordMagic, at + 4) - 3) {
    const length = cacheRecordLength(bytes, at);
    if (length > 0 && length <= maxCacheRecordBytes && at + length <= bytes.length && isIntactCacheRecord(bytes.subarray(at, at + length)))
      return at;
  }
  return -1;
}
