// Changes of a mailbox as records of roost.index.log, and how they change the state. Layout: docs/index-format.md.
//
// A record is applied by every process in file order and must give the same result everywhere, so nothing here looks at a clock, a file or
// anything but the state and the record. Records name keywords and suffixes by text: ids are private to a process.
// A record that changes messages takes one modseq, the one after the highest; one that changes nothing takes none.
import { crc32 } from '#util/crc32.js';
import { ByteReader, ByteWriter } from './byte-writer.js';
import { rowBit, unknown32 } from './columns.js';
import type { FileStamp, IndexState, Stamps } from './index-state.js';

export const recordKind = {
  add: 1,
  flags: 2,
  expunge: 3,
  stamps: 4,
  recent: 5,
  modSeq: 6,
  reset: 7,
  sizes: 8,
  rename: 9,
  header: 10,
  letters: 11,
  seal: 12,
} as const;

export const recordHeaderBytes = 16;
/** First octet of a record is in the top byte of its first word; the rest is the length. */
export const recordMagic = 0xd5;
export const maxRecordBytes = 0xfffff8;

export interface AddedMessage {
  readonly uid: number;
  readonly flags: number;
  readonly keywords: readonly string[];
  readonly suffix: string;
  readonly isInNew: boolean;
  readonly extension: string;
  readonly baseName: string;
  /** Seconds; `unknown32`. */
  readonly internalDate: number;
  readonly saveDate: number;
}

/** Values up to which a table is looked through one by one. */
const fewValues = 8;

/** Distinct texts or sets of one record, by the order of first use. */
class LocalTable<T> {
  readonly values: T[] = [];
  #index: Map<T, number> | undefined;

  indexOf(value: T): number {
    const known = this.#index === undefined ? this.values.indexOf(value) : (this.#index.get(value) ?? -1);
    if (known >= 0) return known;
    const index = this.values.push(value) - 1;
    if (this.#index !== undefined) this.#index.set(value, index);
    else if (index >= fewValues) this.#index = new Map(this.values.map((one, at) => [one, at]));
    return index;
  }
}

export function makeRecord(kind: number, build: (writer: ByteWriter) => void, capacity = 128): Buffer {
  const writer = beginRecord(kind, capacity);
  build(writer);
  return finishRecord(writer);
}

/** @param capacity octets of the payload that there is room for at first */
function beginRecord(kind: number, capacity: number): ByteWriter {
  const writer = new ByteWriter(capacity + recordHeaderBytes);
  writer.u32(0);
  writer.u32(0);
  writer.u32(kind);
  writer.u32(0);
  return writer;
}

function finishRecord(writer: ByteWriter): Buffer {
  const payloadBytes = writer.length - recordHeaderBytes;
  writer.align(8);
  const bytes = writer.finish();
  if (bytes.length > maxRecordBytes) throw new RangeError(`index record of ${bytes.length} octets`);
  bytes.writeUInt32LE(((recordMagic << 24) | bytes.length) >>> 0, 0);
  bytes.writeUInt32LE(payloadBytes, 12);
  bytes.writeUInt32LE(crc32(bytes.subarray(8)), 4);
  return bytes;
}

export function writeTables(writer: ByteWriter, sets: readonly (readonly string[])[], suffixes: readonly string[]): void {
  writer.u16(sets.length);
  for (const set of sets) {
    writer.u16(set.length);
    for (const keyword of set) writer.text(keyword);
  }
  writer.u16(suffixes.length);
  for (const suffix of suffixes) writer.text(suffix);
}

/** Most rows of one `add` or `flags` record. */
export const maxRowsPerRecord = 30_000;

export function addRecord(messages: readonly AddedMessage[]): Buffer {
  const sets = new LocalTable<readonly string[]>();
  const suffixes = new LocalTable<string>();
  for (const { keywords, suffix } of messages) {
    sets.indexOf(keywords);
    suffixes.indexOf(suffix);
  }
  const writer = beginRecord(recordKind.add, messages.length * 110 + 64);
  writeTables(writer, sets.values, suffixes.values);
  writer.u32(messages.length);
  for (const { uid, internalDate, saveDate, flags, isInNew, keywords, suffix, extension, baseName } of messages) {
    writer.u32(uid);
    writer.u32(internalDate);
    writer.u32(saveDate);
    writer.u8(flags);
    writer.u8(isInNew ? rowBit.inNew : 0);
    writer.u16(sets.indexOf(keywords));
    writer.u16(suffixes.indexOf(suffix));
    writer.u16(extension.length);
    writer.u16(baseName.length);
    writer.latin1(extension, extension.length);
    writer.latin1(baseName, baseName.length);
  }
  return finishRecord(writer);
}

/** New flags of rows, absolute. `keywordSet` and `suffix` are ids of `state`. */
export class FlagsRecordBuilder {
  readonly #state: IndexState;
  readonly #sets = new LocalTable<number>();
  readonly #suffixes = new LocalTable<number>();
  readonly #rows: ByteWriter;
  readonly #unlessAbove: number;
  count = 0;

  /** @param unlessAbove rows with a higher modseq are left alone: what a scan found may be older than what a peer did meanwhile */
  constructor(state: IndexState, expectedRows: number, unlessAbove = Number.MAX_SAFE_INTEGER) {
    this.#state = state;
    this.#rows = new ByteWriter(expectedRows * 12 + 16);
    this.#unlessAbove = unlessAbove;
  }

  add(uid: number, flags: number, keywordSet: number, suffix: number, isInNew: boolean): void {
    this.#rows.u32(uid);
    this.#rows.u8(flags);
    this.#rows.u8(isInNew ? rowBit.inNew : 0);
    this.#rows.u16(this.#sets.indexOf(keywordSet));
    this.#rows.u16(this.#suffixes.indexOf(suffix));
    this.#rows.u16(0);
    this.count += 1;
  }

  finish(): Buffer {
    return makeRecord(
      recordKind.flags,
      (writer) => {
        writer.f64(this.#unlessAbove);
        writeTables(
          writer,
          this.#sets.values.map((id) => this.#state.keywordSetAt(id)),
          this.#suffixes.values.map((id) => this.#state.suffixes.at(id).text),
        );
        writer.u32(this.count);
        writer.bytes(this.#rows.finish());
      },
      this.#rows.length + 256,
    );
  }
}

export function expungeRecord(ranges: readonly (readonly [number, number])[]): Buffer {
  return makeRecord(
    recordKind.expunge,
    (writer) => {
      writer.u32(ranges.length);
      for (const [first, last] of ranges) {
        writer.u32(first);
        writer.u32(last);
      }
    },
    ranges.length * 8 + 8,
  );
}

function writeFileStamp(writer: ByteWriter, stamp: FileStamp): void {
  writer.f64(stamp.inode);
  writer.f64(stamp.size);
  writer.f64(stamp.mtimeMs);
}

function readFileStamp(reader: ByteReader): FileStamp {
  return { inode: reader.f64(), size: reader.f64(), mtimeMs: reader.f64() };
}

export function writeStamps(writer: ByteWriter, stamps: Stamps): void {
  writer.f64(stamps.newMtimeMs);
  writer.f64(stamps.newRecheckAtMs);
  writer.f64(stamps.curMtimeMs);
  writer.f64(stamps.curRecheckAtMs);
  writeFileStamp(writer, stamps.uidList);
  writeFileStamp(writer, stamps.keywordsFile);
}

export function readStamps(reader: ByteReader): Stamps {
  return {
    newMtimeMs: reader.f64(),
    newRecheckAtMs: reader.f64(),
    curMtimeMs: reader.f64(),
    curRecheckAtMs: reader.f64(),
    uidList: readFileStamp(reader),
    keywordsFile: readFileStamp(reader),
  };
}

export function stampsRecord(stamps: Stamps): Buffer {
  return makeRecord(recordKind.stamps, (writer) => writeStamps(writer, stamps));
}
export function recentRecord(firstRecentUid: number): Buffer {
  return makeRecord(recordKind.recent, (writer) => writer.u32(firstRecentUid));
}
/** Raises the highest modseq: after a restart of the machine, when the last records of the log may be lost. */
export function modSeqRecord(atLeast: number): Buffer {
  return makeRecord(recordKind.modSeq, (writer) => writer.f64(atLeast));
}
/** Forgets all messages: UIDVALIDITY has changed. */
export function resetRecord(uidValidity: number, guid: string): Buffer {
  return makeRecord(recordKind.reset, (writer) => {
    writer.u32(uidValidity);
    writer.text(guid);
  });
}
export interface LearnedSizes {
  readonly uid: number;
  readonly size: number;
  readonly virtualSize: number;
  readonly internalDate: number;
  readonly saveDate: number;
}
/** Facts read from files; `unknown32` where nothing was learned. */
export function sizesRecord(rows: readonly LearnedSizes[]): Buffer {
  return makeRecord(
    recordKind.sizes,
    (writer) => {
      writer.u32(rows.length);
      for (const row of rows) {
        writer.u32(row.uid);
        writer.u32(row.size);
        writer.u32(row.virtualSize);
        writer.u32(row.internalDate);
        writer.u32(row.saveDate);
      }
    },
    rows.length * 20 + 8,
  );
}
/** A file got another base name; its UID stays. */
export function renameRecord(uid: number, extension: string, baseName: string): Buffer {
  return makeRecord(recordKind.rename, (writer) => {
    writer.u32(uid);
    writer.u16(extension.length);
    writer.u16(baseName.length);
    writer.bytes(Buffer.from(extension + baseName, 'latin1'));
  });
}
/** The header of dovecot-uidlist. */
export function headerRecord(uidNext: number, guid: string, extras: readonly string[]): Buffer {
  return makeRecord(recordKind.header, (writer) => {
    writer.u32(uidNext);
    writer.text(guid);
    writer.u16(extras.length);
    for (const extra of extras) writer.text(extra);
  });
}
/** What dovecot-keywords says. */
export function lettersRecord(letters: readonly string[]): Buffer {
  return makeRecord(recordKind.letters, (writer) => {
    writer.u16(letters.length);
    for (const keyword of letters) writer.text(keyword);
  });
}
/** Nothing after it counts; the log goes on in a new file with this id. */
export function sealRecord(nextLogId: number): Buffer {
  return makeRecord(recordKind.seal, (writer) => writer.f64(nextLogId));
}

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
