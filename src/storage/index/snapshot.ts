// roost.index: the state of a mailbox as one file of columns, read into typed arrays as it lies. Layout: docs/index-format.md.
//
// Three sections with a checksum each follow a fixed header: texts (keywords, suffixes, history), columns, file names. Little-endian; a machine of
// the other kind keeps its indexes in memory. Anything unexpected makes the reader refuse the file, and the index is rebuilt.
//
// The columns have checksums of their own in three parts, so that a mailbox can be opened with those a client is told about first (late-columns.ts).
import { crc32, joinedCrc32 } from '#util/crc32.js';
import { ByteReader, ByteWriter } from './byte-writer.js';
import { type Columns, type EarlyColumns, rowBit } from './columns.js';
import { type IndexLimits, IndexState } from './index-state.js';
import { LateColumns, type LateSource } from './late-columns.js';
import { readStamps, writeStamps } from './log-record.js';

export const snapshotMagic = 'ROOSTIX1';
export const snapshotVersion = 1;
export const snapshotHeaderBytes = 256;
/** Earlier programs left zero there. */
const hasPartCrcs = 1;

/** What ties a snapshot to the log that continues it. */
export interface LogPosition {
  readonly logId: number;
  readonly offset: number;
}

export interface SnapshotHeader extends LogPosition {
  readonly rows: number;
  readonly textBytes: number;
  readonly columnBytes: number;
  readonly heapBytes: number;
  readonly uidValidity: number;
  readonly textCrc: number;
  readonly columnCrc: number;
  readonly heapCrc: number;
  /** Undefined in files of earlier programs. */
  readonly partCrcs: PartCrcs | undefined;
  readonly bytes: Buffer;
}

/** Checksums of parts of the column section. */
interface PartCrcs {
  readonly uids: number;
  readonly keywordSets: number;
  readonly flags: number;
  /** Of modseqs, keyword sets and files, as if these followed on each other. */
  readonly late: number;
}

const align8 = (value: number): number => (value + 7) & ~7;

type TypedArray = Float64Array | Uint32Array | Uint16Array | Uint8Array;

/** Columns in the order in which they lie in the file, each padded to 8 octets. */
const columnOrder = [
  'modSeq',
  'uid',
  'keywordSet',
  'suffix',
  'nameStart',
  'size',
  'virtualSize',
  'internalDate',
  'saveDate',
  'cacheOffset',
  'nameLength',
  'extensionLength',
  'flags',
  'bits',
] as const satisfies readonly (keyof Columns)[];

function elementBytes(name: (typeof columnOrder)[number]): number {
  if (name === 'modSeq') return 8;
  if (name === 'nameLength' || name === 'extensionLength') return 2;
  return name === 'flags' || name === 'bits' ? 1 : 4;
}

export function columnBytesFor(rows: number): number {
  return placesOf(rows).end;
}

/** Where the parts of the column section begin, in it. */
interface ColumnPlaces {
  /** Behind the modseqs. */
  readonly uids: number;
  readonly keywordSets: number;
  /** Suffixes, names, sizes, dates. */
  readonly files: number;
  /** Flags and bits. */
  readonly flags: number;
  readonly end: number;
}

export function placesOf(rows: number): ColumnPlaces {
  const starts = new Map<string, number>();
  let end = 0;
  for (const name of columnOrder) {
    starts.set(name, end);
    end += align8(rows * elementBytes(name));
  }
  return {
    uids: starts.get('uid') ?? 0,
    keywordSets: starts.get('keywordSet') ?? 0,
    files: starts.get('suffix') ?? 0,
    flags: starts.get('flags') ?? 0,
    end,
  };
}

/** Octets of a part, each column and its padding, as `encodeColumns` makes them. */
const partOf = (first: (typeof columnOrder)[number], end?: (typeof columnOrder)[number]): [number, number | undefined] => [
  columnOrder.indexOf(first) * 2,
  end === undefined ? undefined : columnOrder.indexOf(end) * 2,
];

/** The whole file, to be written before the state changes. Dead rows of the state are left out. */
export function encodeSnapshot(state: IndexState, position: LogPosition, bootId: Buffer): Buffer[] {
  const live = liveRows(state);
  const heap = liveHeap(state.columns, live);
  const rows = live === undefined ? state.columns.length : live.length;
  const columns = encodeColumns(state.columns, live, rows, heap.starts);
  const text = encodeText(state);
  const header = Buffer.alloc(snapshotHeaderBytes);
  header.write(snapshotMagic, 0, 'latin1');
  header.writeUInt32LE(snapshotVersion, 8);
  header.writeUInt32LE(snapshotHeaderBytes, 12);
  header.writeUInt32LE(rows, 20);
  header.writeUInt32LE(text.length, 24);
  header.writeUInt32LE(heap.bytes.length, 28);
  header.writeDoubleLE(position.logId, 32);
  header.writeDoubleLE(position.offset, 40);
  header.writeDoubleLE(state.highestModSeq, 48);
  header.writeUInt32LE(state.uidValidity, 56);
  header.writeUInt32LE(state.uidNext, 60);
  header.writeUInt32LE(state.firstRecentUid, 64);
  header.writeUInt32LE(state.cacheId, 68);
  header.writeDoubleLE(state.cacheLength, 72);
  bootId.copy(header, 80, 0, 16);
  const stamps = new ByteWriter(96);
  writeStamps(stamps, state.stamps);
  stamps.finish().copy(header, 96);
  header.writeUInt32LE(crc32(text), 176);
  writeColumnCrcs(header, columns);
  header.writeUInt32LE(crc32(heap.bytes), 184);
  header.writeUInt32LE(crc32(header), 16);
  return [header, text, ...columns, heap.bytes];
}

/** The checksum of the whole section is that of its parts one behind the other: nothing is gone through twice. */
function writeColumnCrcs(header: Buffer, columns: readonly Buffer[]): void {
  const crcOf = (parts: readonly Buffer[]): { readonly crc: number; readonly octets: number } => ({
    crc: parts.reduce((seed, part) => crc32(part, seed), 0),
    octets: parts.reduce((sum, part) => sum + part.length, 0),
  });
  const modSeqs = crcOf(columns.slice(...partOf('modSeq', 'uid')));
  const uids = crcOf(columns.slice(...partOf('uid', 'keywordSet')));
  const keywordSets = crcOf(columns.slice(...partOf('keywordSet', 'suffix')));
  const files = crcOf(columns.slice(...partOf('suffix', 'flags')));
  const flags = crcOf(columns.slice(...partOf('flags')));
  const joined = (...parts: readonly { readonly crc: number; readonly octets: number }[]): number =>
    parts.reduce((crc, part) => joinedCrc32(crc, part.crc, part.octets), 0);
  header.writeUInt32LE(joined(modSeqs, uids, keywordSets, files, flags), 180);
  header.writeUInt32LE(uids.crc, 188);
  header.writeUInt32LE(keywordSets.crc, 192);
  header.writeUInt32LE(flags.crc, 196);
  header.writeUInt32LE(joined(modSeqs, keywordSets, files), 200);
  header.writeUInt32LE(hasPartCrcs, 204);
}

/** Undefined when all rows are live. */
function liveRows(state: IndexState): Uint32Array | undefined {
  if (!state.hasDeadRows) return undefined;
  const live = new Uint32Array(state.liveCount);
  let count = 0;
  for (let row = 0; row < state.columns.length; row += 1) {
    if (((state.columns.bits[row] as number) & rowBit.dead) !== 0) continue;
    live[count] = row;
    count += 1;
  }
  return live;
}

function liveHeap(columns: Columns, live: Uint32Array | undefined): { readonly bytes: Buffer; readonly starts: Uint32Array | undefined } {
  // A heap with little garbage is written as it is.
  if (live === undefined) return { bytes: columns.heap.subarray(0, columns.heapLength), starts: undefined };
  const starts = new Uint32Array(live.length);
  const bytes = Buffer.allocUnsafeSlow(columns.heapLength);
  let length = 0;
  for (let index = 0; index < live.length; index += 1) {
    const row = live[index] as number;
    const start = columns.nameStart[row] as number;
    starts[index] = length;
    length += columns.heap.copy(
      bytes,
      length,
      start,
      start + (columns.nameLength[row] as number) + (columns.extensionLength[row] as number),
    );
  }
  return { bytes: bytes.subarray(0, length), starts };
}

/** One after the other, each padded; where no row is left out, the memory of the columns itself. */
function encodeColumns(columns: Columns, live: Uint32Array | undefined, rows: number, starts: Uint32Array | undefined): Buffer[] {
  return columnOrder.flatMap((name) => {
    const source: TypedArray = name === 'nameStart' && starts !== undefined ? starts : columns[name];
    const octets = rows * elementBytes(name);
    const padding = Buffer.alloc(align8(octets) - octets);
    if (live === undefined || (name === 'nameStart' && starts !== undefined)) {
      return [Buffer.from(source.buffer, source.byteOffset, octets), padding];
    }
    const gathered = Buffer.alloc(octets);
    const target = viewOf(name, gathered, 0, rows);
    for (let index = 0; index < rows; index += 1) target[index] = source[live[index] as number] as number;
    return [gathered, padding];
  });
}

function viewOf(name: (typeof columnOrder)[number], bytes: Buffer, at: number, rows: number): TypedArray {
  const start = bytes.byteOffset + at;
  if (name === 'modSeq') return new Float64Array(bytes.buffer, start, rows);
  if (name === 'nameLength' || name === 'extensionLength') return new Uint16Array(bytes.buffer, start, rows);
  if (name === 'flags' || name === 'bits') return new Uint8Array(bytes.buffer, start, rows);
  return new Uint32Array(bytes.buffer, start, rows);
}

function encodeText(state: IndexState): Buffer {
  const writer = new ByteWriter(4096);
  writer.text(state.guid);
  writeList(writer, state.uidListExtras);
  writeList(writer, state.letters);
  writeList(writer, state.keywords.names);
  writer.u32(state.keywordSetCount);
  for (let id = 0; id < state.keywordSetCount; id += 1) writeList(writer, state.keywordSetAt(id));
  writer.u32(state.suffixes.size);
  for (let id = 0; id < state.suffixes.size; id += 1) writer.text(state.suffixes.at(id).text);
  writer.f64(state.history.floor);
  writer.u32(state.history.entries.length);
  for (const value of state.history.entries) writer.f64(value);
  writer.u16(state.cacheNames.size);
  for (const [number, names] of state.cacheNames) {
    writer.u16(number);
    writeList(writer, names);
  }
  writer.u16(state.cacheNameDays.size);
  for (const [name, day] of state.cacheNameDays) {
    writer.text(name);
    writer.u32(day);
  }
  writer.align(8);
  return writer.finish();
}

function writeList(writer: ByteWriter, list: readonly string[]): void {
  writer.u16(list.length);
  for (const text of list) writer.text(text);
}

function readList(reader: ByteReader): string[] {
  return Array.from({ length: reader.u16() }, () => reader.text());
}

/** @returns undefined when it is not a header that this version can read */
export function parseSnapshotHeader(bytes: Buffer, fileBytes: number): SnapshotHeader | undefined {
  if (bytes.length < snapshotHeaderBytes || bytes.toString('latin1', 0, 8) !== snapshotMagic) return undefined;
  if (bytes.readUInt32LE(8) !== snapshotVersion || bytes.readUInt32LE(12) !== snapshotHeaderBytes) return undefined;
  const header = Buffer.from(bytes.subarray(0, snapshotHeaderBytes));
  const crc = header.readUInt32LE(16);
  header.writeUInt32LE(0, 16);
  if (crc32(header) !== crc) return undefined;
  const rows = header.readUInt32LE(20);
  const parsed: SnapshotHeader = {
    rows,
    textBytes: header.readUInt32LE(24),
    columnBytes: columnBytesFor(rows),
    heapBytes: header.readUInt32LE(28),
    logId: header.readDoubleLE(32),
    offset: header.readDoubleLE(40),
    uidValidity: header.readUInt32LE(56),
    textCrc: header.readUInt32LE(176),
    columnCrc: header.readUInt32LE(180),
    heapCrc: header.readUInt32LE(184),
    partCrcs:
      header.readUInt32LE(204) === hasPartCrcs
        ? {
            uids: header.readUInt32LE(188),
            keywordSets: header.readUInt32LE(192),
            flags: header.readUInt32LE(196),
            late: header.readUInt32LE(200),
          }
        : undefined,
    bytes: header,
  };
  return fileBytes === snapshotHeaderBytes + parsed.textBytes + parsed.columnBytes + parsed.heapBytes ? parsed : undefined;
}

/**
 * The state of a snapshot; takes over `columns` and `heap`.
 * @param columns memory of its own, so that its typed arrays are aligned and freed when the columns grow
 * @returns undefined when a checksum or a value is wrong
 */
export function decodeSnapshot(
  header: SnapshotHeader,
  text: Buffer,
  columns: Buffer,
  heap: Buffer<ArrayBuffer>,
  limits: IndexLimits,
): IndexState | undefined {
  if (crc32(columns) !== header.columnCrc || crc32(heap) !== header.heapCrc) return undefined;
  const state = decodeWithoutColumns(header, text, limits);
  if (state === undefined) return undefined;
  const { rows } = header;
  const places = placesOf(rows);
  const [uid] = columnsAt(['uid'], columns.subarray(places.uids), rows);
  const [keywordSet] = columnsAt(['keywordSet'], columns.subarray(places.keywordSets), rows);
  const [flags, bits] = columnsAt(['flags', 'bits'], columns.subarray(places.flags), rows);
  const late = lateColumnsOf(rows, columns.subarray(0, places.uids), columns.subarray(places.keywordSets, places.flags), heap);
  takeColumns(state, { uid, keywordSet, flags, bits } as EarlyColumns, late);
  return state;
}

/** The state of a snapshot but for its columns. @returns undefined when the checksum or a value is wrong */
export function decodeWithoutColumns(header: SnapshotHeader, text: Buffer, limits: IndexLimits): IndexState | undefined {
  if (crc32(text) !== header.textCrc) return undefined;
  const { bytes } = header;
  const state = new IndexState(limits, bytes.readDoubleLE(48));
  try {
    decodeText(state, text);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
  state.uidValidity = header.uidValidity;
  state.uidNext = bytes.readUInt32LE(60);
  state.firstRecentUid = bytes.readUInt32LE(64);
  state.cacheId = bytes.readUInt32LE(68);
  state.cacheLength = bytes.readDoubleLE(72);
  state.stamps = readStamps(new ByteReader(bytes, 96));
  return state;
}

/** Octets of the columns that a mailbox is opened with, each part in memory of its own. */
export interface EarlyParts {
  readonly uids: Buffer;
  /** Undefined where there is but one set. */
  readonly keywordSets: Buffer | undefined;
  readonly flags: Buffer;
}

/**
 * Adds the columns to a state that has none.
 * @param late where the others are
 * @returns false when a checksum is wrong
 */
export function takeEarlyColumns(state: IndexState, { rows, partCrcs }: SnapshotHeader, parts: EarlyParts, late: LateSource): boolean {
  const isRight = (part: Buffer, crc: number | undefined): boolean => crc32(part) === crc;
  if (!isRight(parts.uids, partCrcs?.uids) || !isRight(parts.flags, partCrcs?.flags)) return false;
  if (parts.keywordSets !== undefined && !isRight(parts.keywordSets, partCrcs?.keywordSets)) return false;
  const [uid] = columnsAt(['uid'], parts.uids, rows);
  const [flags, bits] = columnsAt(['flags', 'bits'], parts.flags, rows);
  const keywordSet = parts.keywordSets === undefined ? new Uint32Array(rows) : columnsAt(['keywordSet'], parts.keywordSets, rows)[0];
  takeColumns(state, { uid, keywordSet, flags, bits } as EarlyColumns, late);
  return true;
}

function takeColumns(state: IndexState, early: EarlyColumns, late: LateColumns | LateSource): void {
  state.columns.take(early, late);
  state.liveCount = early.uid.length;
}

/** @param modSeqs octets of that column, `others` of those from the keyword sets on, which come with the early columns */
export function lateColumnsOf(rows: number, modSeqs: Buffer, others: Buffer, heap: Buffer<ArrayBuffer>): LateColumns {
  const late = new LateColumns();
  Object.assign(late, { modSeq: viewOf('modSeq', modSeqs, 0, rows), heap });
  const names = columnOrder.slice(columnOrder.indexOf('keywordSet'), columnOrder.indexOf('flags'));
  for (const [index, column] of columnsAt(names, others, rows).entries())
    if (index > 0) Object.assign(late, { [names[index] as string]: column });
  return late;
}

/** Neighbouring columns. */
function columnsAt(names: readonly (typeof columnOrder)[number][], bytes: Buffer, rows: number): TypedArray[] {
  let at = 0;
  return names.map((name) => {
    const column = viewOf(name, bytes, at, rows);
    at += align8(rows * elementBytes(name));
    return column;
  });
}

function decodeText(state: IndexState, text: Buffer): void {
  const reader = new ByteReader(text);
  state.guid = reader.text();
  state.uidListExtras = readList(reader);
  state.letters = readList(reader);
  // One by one, so that the order of first use stays.
  for (const keyword of readList(reader)) state.keywords.intern([keyword]);
  const sets = reader.u32();
  for (let id = 0; id < sets; id += 1) {
    if (state.keywordSetId(state.keywords.intern(readList(reader))) !== id) throw new RangeError('keyword sets are not distinct');
  }
  const suffixes = reader.u32();
  for (let id = 0; id < suffixes; id += 1) {
    if (state.suffixes.idOf(reader.text()) !== id) throw new RangeError('suffixes are not distinct');
  }
  const floor = reader.f64();
  const entries = Array.from({ length: reader.u32() }, () => reader.f64());
  state.history.restore(floor, entries);
  const lists = reader.u16();
  for (let index = 0; index < lists; index += 1) state.cacheNames.set(reader.u16(), readList(reader));
  // Snapshots of earlier programs end here, padded with zeros.
  const days = reader.left < 2 ? 0 : reader.u16();
  for (let index = 0; index < days; index += 1) state.cacheNameDays.set(reader.text(), reader.u32());
}
