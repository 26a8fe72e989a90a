// Many messages added at once: a mailbox seen for the first time, a large delivery. The same `add` record as in log-record.ts, made from columns
// instead of an object for each message; without a log the rows go straight into the state.
import { ByteWriter } from './byte-writer.js';
import { rowBit } from './columns.js';
import type { IndexState } from './index-state.js';
import { makeRecord, maxRowsPerRecord, recordKind, writeTables } from './log-record.js';

/** A row each, ascending by UID, above all UIDs of the state. Asked for one by one: arrays of them for a million files would be 20 MB. */
export interface NewRows {
  readonly count: number;
  uidAt(index: number): number;
  flagsAt(index: number): number;
  isInNewAt(index: number): boolean;
  /** Id of the state, as the next one. */
  keywordSetAt(index: number): number;
  suffixAt(index: number): number;
  /** Writes the `baseLengthAt` octets of the name. */
  copyBaseName(index: number, target: Buffer, at: number): void;
  baseLengthAt(index: number): number;
  /** Fields of the uidlist, `G... `; '' for most. */
  extensionAt(index: number): string;
  /** Seconds, or `unknown32`. */
  saveDateAt(index: number): number;
  /** The same for all of them. */
  readonly internalDate: number;
}

/** Adds the rows as one change. */
export function applyNewRows(state: IndexState, rows: NewRows): void {
  const { columns } = state;
  const modSeq = state.highestModSeq + 1;
  let octets = columns.heapLength;
  for (let index = 0; index < rows.count; index += 1) octets += rows.baseLengthAt(index) + rows.extensionAt(index).length;
  columns.reserve(columns.length + rows.count, octets);
  for (let index = 0; index < rows.count; index += 1) {
    const uid = rows.uidAt(index);
    if (uid <= state.highestUid) throw new RangeError(`UID ${uid} is not above ${state.highestUid}`);
    const nameStart = columns.addFile(
      {
        uid,
        modSeq,
        flags: rows.flagsAt(index),
        bits: rows.isInNewAt(index) ? rowBit.inNew : 0,
        keywordSet: rows.keywordSetAt(index),
        suffix: rows.suffixAt(index),
        saveDate: rows.saveDateAt(index),
        internalDate: rows.internalDate,
      },
      rows.extensionAt(index),
      rows.baseLengthAt(index),
    );
    rows.copyBaseName(index, columns.heap, nameStart);
    state.uidNext = Math.max(state.uidNext, uid + 1);
  }
  if (rows.count === 0) return;
  state.liveCount += rows.count;
  state.highestModSeq = modSeq;
}

/** The rows as `add` records. */
export function newRowsRecords(state: IndexState, rows: NewRows): Buffer[] {
  const records: Buffer[] = [];
  for (let from = 0; from < rows.count; from += maxRowsPerRecord) {
    records.push(recordOf(state, rows, from, Math.min(rows.count, from + maxRowsPerRecord)));
  }
  return records;
}

function recordOf(state: IndexState, rows: NewRows, from: number, to: number): Buffer {
  const sets = new LocalIds();
  const suffixes = new LocalIds();
  const writer = new ByteWriter((to - from) * 100 + 16);
  writer.u32(to - from);
  for (let index = from; index < to; index += 1) {
    const extension = rows.extensionAt(index);
    const baseLength = rows.baseLengthAt(index);
    writer.u32(rows.uidAt(index));
    writer.u32(rows.internalDate);
    writer.u32(rows.saveDateAt(index));
    writer.u8(rows.flagsAt(index));
    writer.u8(rows.isInNewAt(index) ? rowBit.inNew : 0);
    writer.u16(sets.of(rows.keywordSetAt(index)));
    writer.u16(suffixes.of(rows.suffixAt(index)));
    writer.u16(extension.length);
    writer.u16(baseLength);
    writer.latin1(extension, extension.length);
    const place = writer.skip(baseLength);
    rows.copyBaseName(index, writer.octets, place);
  }
  const body = writer.finish();
  return makeRecord(
    recordKind.add,
    (record) => {
      writeTables(
        record,
        sets.ids.map((id) => state.keywordSetAt(id)),
        suffixes.ids.map((id) => state.suffixes.at(id).text),
      );
      record.bytes(body);
    },
    body.length + 256,
  );
}

/** Ids of the state by the order of first use in a record. */
class LocalIds {
  readonly ids: number[] = [];
  readonly #places = new Map<number, number>();

  of(id: number): number {
    let place = this.#places.get(id);
    if (place === undefined) {
      place = this.ids.length;
      this.ids.push(id);
      this.#places.set(id, place);
    }
    return place;
  }
}
