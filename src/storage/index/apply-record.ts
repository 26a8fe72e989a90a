// How records of roost.index.log change the state.
//
// A record is applied by every process in file order and must give the same result everywhere, so nothing here looks at a clock, a file or
// anything but the state and the record.
// A record that changes messages takes one modseq, the one after the highest; one that changes nothing takes none.
import { ByteReader } from './byte-writer.js';
import { rowBit, unknown32 } from './columns.js';
import type { IndexState } from './index-state.js';
import { readStamps, recordHeaderBytes, recordKind } from './log-record.js';

export type Applied =
  | { readonly kind: 'changed'; readonly modSeq: number }
  | { readonly kind: 'quiet' }
  | { readonly kind: 'sealed'; readonly nextLogId: number };

const quiet: Applied = { kind: 'quiet' };

/**
 * Applies one whole record, its checksum already checked.
 * @throws RangeError when the payload contradicts itself (a corrupt record with a right checksum: a defect)
 */
export function applyRecord(state: IndexState, bytes: Buffer): Applied {
  const reader = new ByteReader(bytes, recordHeaderBytes, recordHeaderBytes + bytes.readUInt32LE(12));
  const kind = bytes.readUInt32LE(8);
  switch (kind) {
    case recordKind.add:
      return applyAdd(state, reader);
    case recordKind.flags:
      return applyFlags(state, reader);
    case recordKind.expunge:
      return applyExpunge(state, reader);
    case recordKind.stamps:
      state.stamps = readStamps(reader);
      return quiet;
    case recordKind.recent:
      state.firstRecentUid = Math.max(state.firstRecentUid, reader.u32());
      return quiet;
    case recordKind.modSeq: {
      const atLeast = reader.f64();
      if (Number.isSafeInteger(atLeast) && atLeast > state.highestModSeq) state.highestModSeq = atLeast;
      return quiet;
    }
    case recordKind.reset:
      return applyReset(state, reader);
    case recordKind.sizes:
      return applySizes(state, reader);
    case recordKind.rename: {
      const row = state.columns.rowOf(reader.u32());
      const extensionLength = reader.u16();
      const name = reader.bytes(extensionLength + reader.u16());
      if (row >= 0) state.columns.setName(row, name, extensionLength);
      return quiet;
    }
    case recordKind.header: {
      state.uidNext = Math.max(state.uidNext, reader.u32());
      state.guid = reader.text();
      state.uidListExtras = Array.from({ length: reader.u16() }, () => reader.text());
      return quiet;
    }
    case recordKind.letters:
      state.letters = Array.from({ length: reader.u16() }, () => reader.text());
      state.keywords.intern(state.letters.filter((keyword) => keyword !== ''));
      return quiet;
    case recordKind.seal:
      return { kind: 'sealed', nextLogId: reader.f64() };
    default:
      // A later version may add kinds that older readers can ignore; one they cannot ignore changes the file's version.
      return quiet;
  }
}

/** It says what is so of a message or a view, whatever else has happened: nothing is numbered by it. */
export function isFact(bytes: Buffer): boolean {
  const kind = bytes.readUInt32LE(8);
  return kind === recordKind.sizes || kind === recordKind.recent;
}

/** Whether to apply it is up to columns that may not have been read yet. */
export function needsWholeColumns(bytes: Buffer): boolean {
  return (
    bytes.readUInt32LE(8) === recordKind.flags &&
    bytes.length >= recordHeaderBytes + 8 &&
    bytes.readDoubleLE(recordHeaderBytes) < Number.MAX_SAFE_INTEGER
  );
}

function readTables(state: IndexState, reader: ByteReader): { readonly sets: number[]; readonly suffixes: number[] } {
  const sets: number[] = [];
  for (let left = reader.u16(); left > 0; left -= 1) sets.push(readKeywordSet(state, reader));
  const suffixes: number[] = [];
  for (let left = reader.u16(); left > 0; left -= 1) suffixes.push(state.suffixes.idOf(reader.text()));
  return { sets, suffixes };
}

/** @returns its id */
function readKeywordSet(state: IndexState, reader: ByteReader): number {
  const count = reader.u16();
  if (count === 0) return 0;
  const names = Array.from({ length: count }, () => reader.text());
  return state.keywordSetId(state.keywords.intern(state.keywords.creatable(names)));
}

function entry(table: readonly number[], index: number): number {
  const value = table[index];
  if (value === undefined) throw new RangeError(`table entry ${index}`);
  return value;
}

function applyAdd(state: IndexState, reader: ByteReader): Applied {
  const { sets, suffixes } = readTables(state, reader);
  const count = reader.u32();
  const modSeq = state.highestModSeq + 1;
  state.columns.reserve(Math.max(state.columns.capacity, count === 1 ? 0 : state.columns.length + count), 0);
  let added = 0;
  for (let index = 0; index < count; index += 1) {
    const uid = reader.u32();
    const internalDate = reader.u32();
    const saveDate = reader.u32();
    const flags = reader.u8();
    const bits = reader.u8();
    const keywordSet = entry(sets, reader.u16());
    const suffix = entry(suffixes, reader.u16());
    const extensionLength = reader.u16();
    const name = reader.bytes(extensionLength + reader.u16());
    // Two processes may report the same find; the first counts.
    if (uid <= state.highestUid) continue;
    state.columns.add({ uid, flags, bits, keywordSet, suffix, modSeq, saveDate, internalDate }, name, extensionLength);
    state.uidNext = Math.max(state.uidNext, uid + 1);
    added += 1;
  }
  if (added === 0) return quiet;
  state.liveCount += added;
  state.highestModSeq = modSeq;
  return { kind: 'changed', modSeq };
}

function applyFlags(state: IndexState, reader: ByteReader): Applied {
  const unlessAbove = reader.f64();
  const { sets, suffixes } = readTables(state, reader);
  const count = reader.u32();
  const columns = state.columns;
  const isConditional = unlessAbove < Number.MAX_SAFE_INTEGER;
  const modSeq = state.highestModSeq + 1;
  let changed = false;
  let row = -1;
  for (let index = 0; index < count; index += 1) {
    const uid = reader.u32();
    const flags = reader.u8();
    const bits = reader.u8();
    const keywordSet = entry(sets, reader.u16());
    const suffix = entry(suffixes, reader.u16());
    reader.u16();
    // Rows come in UID order, mostly neighbours.
    row = row + 1 < columns.length && columns.uid[row + 1] === uid ? row + 1 : columns.rowOf(uid);
    if (row < 0 || columns.isDead(row) || (isConditional && (columns.modSeq[row] as number) > unlessAbove)) continue;
    columns.setSuffix(row, suffix);
    columns.bits[row] = ((columns.bits[row] as number) & ~rowBit.inNew) | (bits & rowBit.inNew);
    if (columns.flags[row] === flags && columns.keywordSet[row] === keywordSet) continue;
    columns.flags[row] = flags;
    columns.keywordSet[row] = keywordSet;
    columns.setModSeq(row, modSeq);
    changed = true;
  }
  if (!changed) return quiet;
  state.highestModSeq = modSeq;
  return { kind: 'changed', modSeq };
}

function applyExpunge(state: IndexState, reader: ByteReader): Applied {
  const count = reader.u32();
  const columns = state.columns;
  const modSeq = state.highestModSeq + 1;
  let changed = false;
  for (let index = 0; index < count; index += 1) {
    const first = reader.u32();
    const last = reader.u32();
    let runFirst = 0;
    let runLast = 0;
    for (let row = columns.lowerBound(first); row < columns.length && (columns.uid[row] as number) <= last; row += 1) {
      if (columns.isDead(row)) continue;
      const uid = columns.uid[row] as number;
      state.markDead(row);
      columns.setModSeq(row, modSeq);
      if (runLast > 0 && uid !== runLast + 1) state.history.add(modSeq, runFirst, runLast);
      if (runLast === 0 || uid !== runLast + 1) runFirst = uid;
      runLast = uid;
      changed = true;
    }
    if (runLast > 0) state.history.add(modSeq, runFirst, runLast);
  }
  if (!changed) return quiet;
  state.highestModSeq = modSeq;
  return { kind: 'changed', modSeq };
}

function applyReset(state: IndexState, reader: ByteReader): Applied {
  const modSeq = state.highestModSeq + 1;
  state.uidValidity = reader.u32();
  state.guid = reader.text();
  for (let row = 0; row < state.columns.length; row += 1) if (!state.columns.isDead(row)) state.markDead(row);
  state.columns.clear();
  state.liveCount = 0;
  state.uidNext = 1;
  state.firstRecentUid = 1;
  state.history.restore(modSeq, []);
  state.highestModSeq = modSeq;
  return { kind: 'changed', modSeq };
}

function applySizes(state: IndexState, reader: ByteReader): Applied {
  const columns = state.columns;
  const count = reader.u32();
  for (let index = 0; index < count; index += 1) {
    const row = columns.rowOf(reader.u32());
    const size = reader.u32();
    const virtualSize = reader.u32();
    const internalDate = reader.u32();
    const saveDate = reader.u32();
    if (row < 0) continue;
    if (size !== unknown32) columns.set('size', row, size);
    if (virtualSize !== unknown32) columns.set('virtualSize', row, virtualSize);
    if (internalDate !== unknown32) columns.set('internalDate', row, internalDate);
    if (saveDate !== unknown32) columns.set('saveDate', row, saveDate);
    if (size !== unknown32 && virtualSize !== unknown32) {
      const bits = columns.bits[row] as number;
      columns.bits[row] = size === virtualSize ? bits | rowBit.asStored : bits & ~rowBit.asStored;
    }
  }
  return quiet;
}
