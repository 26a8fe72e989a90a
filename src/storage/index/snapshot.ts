// roost.index: the state of a mailbox as one file of columns, read into typed arrays as it lies. Layout: docs/index-format.md.
//
// Three sections with a checksum each follow a fixed header: texts (keywords, suffixes, history), columns, file names. Little-endian; a machine of
// the other kind keeps its indexes in memory. Anything unexpected makes the reader refuse the file, and the index is rebuilt.
import { crc32 } from '#util/crc32.js';
import { ByteReader, ByteWriter } from './byte-writer.js';
import { type Columns, rowBit } from './columns.js';
import { type IndexLimits, IndexState } from './index-state.js';
import { readStamps, writeStamps } from './log-record.js';

export const snapshotMagic = 'ROOSTIX1';
export const snapshotVersion = 1;
export const snapshotHeaderBytes = 256;

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
  readonly textCrc: number;
  readonly columnCrc: number;
  readonly heapCrc: number;
  readonly bytes: Buffer;
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
  let bytes = 0;
  for (const name of columnOrder) bytes += align8(rows * elementBytes(name));
  return bytes;
}

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
  header.writeUInt32LE(
    columns.reduce((seed, part) => crc32(part, seed), 0),
    180,
  );
  header.writeUInt32LE(crc32(heap.bytes), 184);
  header.writeUInt32LE(crc32(header), 16);
  return [header, text, ...columns, heap.bytes];
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
    textCrc: header.readUInt32LE(176),
    columnCrc: header.readUInt32LE(180),
    heapCrc: header.readUInt32LE(184),
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
  if (crc32(text) !== header.textCrc || crc32(columns) !== header.columnCrc || crc32(heap) !== header.heapCrc) return undefined;
  const { bytes } = header;
  const state = new IndexState(limits, bytes.readDoubleLE(48));
  try {
    decodeText(state, text);
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
  state.uidValidity = bytes.readUInt32LE(56);
  state.uidNext = bytes.readUInt32LE(60);
  state.firstRecentUid = bytes.readUInt32LE(64);
  state.cacheId = bytes.readUInt32LE(68);
  state.cacheLength = bytes.readDoubleLE(72);
  state.stamps = readStamps(new ByteReader(bytes, 96));
  const { rows } = header;
  let at = 0;
  for (const name of columnOrder) {
    Object.assign(state.columns, { [name]: viewOf(name, columns, at, rows) });
    at += align8(rows * elementBytes(name));
  }
  state.columns.length = rows;
  state.columns.capacity = rows;
  state.columns.heap = heap;
  state.columns.heapLength = heap.length;
  state.liveCount = rows;
  return state;
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
