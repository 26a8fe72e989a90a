// Records of roost.cache: what has been worked out about messages, so that it is worked out once. Layout: docs/index-format.md.
//
// A record belongs to a UID and points to the message's previous record, if it adds to one. A message never changes, so records never do.
// Record of UID 0: a numbered list of header field names, to which the header sections of later records refer.
import { crc32 } from '#util/crc32.js';
import { OctetBlocks } from '#util/octet-blocks.js';
import { ByteReader } from './byte-writer.js';

export const cacheMagic = 'ROOSTCA1';
export const cacheVersion = 1;
export const cacheHeaderBytes = 64;
export const cacheRecordMagic = 0xca;
export const cacheRecordHeaderBytes = 16;
const sectionHeaderBytes = 8;
export const maxCacheRecordBytes = 0xfffff8;
/** Offsets are kept in units of 8 octets. */
export const cacheUnit = 8;

export const sectionKind = { envelope: 1, body: 2, bodyStructure: 3, tree: 4, header: 5, preview: 6, names: 7, nameDays: 8 } as const;

export interface CacheHeader {
  readonly cacheId: number;
  readonly uidValidity: number;
}

export function encodeCacheHeader(header: CacheHeader): Buffer {
  const bytes = Buffer.alloc(cacheHeaderBytes);
  bytes.write(cacheMagic, 0, 'latin1');
  bytes.writeUInt32LE(cacheVersion, 8);
  bytes.writeUInt32LE(header.cacheId, 16);
  bytes.writeUInt32LE(header.uidValidity, 20);
  bytes.writeUInt32LE(crc32(bytes), 12);
  return bytes;
}

export function parseCacheHeader(bytes: Buffer): CacheHeader | undefined {
  if (bytes.length < cacheHeaderBytes || bytes.toString('latin1', 0, 8) !== cacheMagic || bytes.readUInt32LE(8) !== cacheVersion)
    return undefined;
  const header = Buffer.from(bytes.subarray(0, cacheHeaderBytes));
  const crc = header.readUInt32LE(12);
  header.writeUInt32LE(0, 12);
  if (crc32(header) !== crc) return undefined;
  return { cacheId: header.readUInt32LE(16), uidValidity: header.readUInt32LE(20) };
}

/** What a message's records hold together. Buffers are slices of what was read. */
export interface CachedMessage {
  envelope: Buffer | undefined;
  body: Buffer | undefined;
  bodyStructure: Buffer | undefined;
  /** MIME structure, see mime-part-text.ts. */
  tree: Buffer | undefined;
  preview: Buffer | undefined;
  /** Raw fields, and the number of the list of names they were chosen by. */
  header: { readonly names: number; readonly bytes: Buffer } | undefined;
}

export function emptyCachedMessage(): CachedMessage {
  return { envelope: undefined, body: undefined, bodyStructure: undefined, tree: undefined, preview: undefined, header: undefined };
}

const messageSections = ['envelope', 'body', 'bodyStructure', 'tree', 'preview'] as const;

/** @param previous offset of the message's record before, in units; 0: none. @returns nothing (no octets) when it would be too long */
export function encodeCacheRecord(uid: number, previous: number, message: CachedMessage): Buffer {
  let length = cacheRecordHeaderBytes + 2;
  for (const field of messageSections) length += sectionBytes(message[field]);
  length += sectionBytes(message.header?.bytes);
  length = Math.ceil(length / cacheUnit) * cacheUnit;
  if (length > maxCacheRecordBytes) return Buffer.alloc(0);
  const record = Buffer.allocUnsafe(length);
  record.writeUInt32LE(uid, 8);
  record.writeUInt32LE(previous, 12);
  let at = cacheRecordHeaderBytes;
  for (const field of messageSections) {
    const value = message[field];
    if (value !== undefined) at = putSection(record, at, sectionKind[field], 0, value);
  }
  if (message.header !== undefined) at = putSection(record, at, sectionKind.header, message.header.names, message.header.bytes);
  // A section of kind 0 ends the record before the padding.
  record.fill(0, at);
  return sealRecord(record);
}

/** Writes records into blocks, section by section, without a buffer for any of them. */
export class CacheRecordWriter {
  readonly out: OctetBlocks;
  /** Of the record being written or written last; counted from its start. */
  #sectionAt = 0;

  constructor(out = new OctetBlocks()) {
    this.out = out;
  }

  /** @param previous offset of the message's record before, in units; 0: none */
  begin(uid: number, previous: number): void {
    const { out } = this;
    out.begin();
    out.reserve(1024);
    out.bytes.writeUInt32LE(uid, out.at + 8);
    out.bytes.writeUInt32LE(previous, out.at + 12);
    out.at += cacheRecordHeaderBytes;
  }

  /** What is written to `out` from here to `closeSection` is its content. */
  openSection(kind: number, argument: number): void {
    const { out } = this;
    out.reserve(sectionHeaderBytes);
    out.bytes.writeUInt16LE(kind, out.at);
    out.bytes.writeUInt16LE(argument, out.at + 2);
    out.at += sectionHeaderBytes;
    this.#sectionAt = out.at - out.start;
  }

  /** @returns where the content begins, counted from the start of the record; it goes up to the place of the next octet */
  closeSection(): number {
    const { out } = this;
    const start = out.start + this.#sectionAt;
    out.bytes.writeUInt32LE(out.at - start, start - 4);
    return this.#sectionAt;
  }

  /** @returns octets of the whole record; 0, and nothing is written, when it would be too long */
  end(): number {
    const { out } = this;
    // A section of kind 0 ends the record before the padding.
    const length = Math.ceil((out.at - out.start + 2) / cacheUnit) * cacheUnit;
    if (length > maxCacheRecordBytes) {
      out.at = out.start;
      return 0;
    }
    out.reserve(length);
    out.bytes.fill(0, out.at, out.start + length);
    out.at = out.start + length;
    sealRecord(out.bytes.subarray(out.start, out.at));
    return length;
  }
}

function sectionBytes(value: Buffer | undefined): number {
  return value === undefined ? 0 : value.length + sectionHeaderBytes;
}

function putSection(record: Buffer, at: number, kind: number, argument: number, bytes: Buffer): number {
  record.writeUInt16LE(kind, at);
  record.writeUInt16LE(argument, at + 2);
  record.writeUInt32LE(bytes.length, at + 4);
  record.set(bytes, at + 8);
  return at + 8 + bytes.length;
}

function sealRecord(record: Buffer): Buffer {
  record.writeUInt32LE(((cacheRecordMagic << 24) | record.length) >>> 0, 0);
  record.writeUInt32LE(crc32(record.subarray(8)), 4);
  return record;
}

/** @param days when each name was asked for last, in days since 1970; 0: not known */
export function encodeNamesRecord(number: number, names: readonly string[], days: readonly number[] = []): Buffer {
  const bytes = Buffer.from(names.join('\n'), 'latin1');
  const dayBytes = Buffer.alloc(days.length * 4);
  for (const [index, day] of days.entries()) dayBytes.writeUInt32LE(day, index * 4);
  const sections = sectionBytes(bytes) + (days.length === 0 ? 0 : sectionBytes(dayBytes));
  const record = Buffer.alloc(Math.ceil((cacheRecordHeaderBytes + 2 + sections) / cacheUnit) * cacheUnit);
  const at = putSection(record, cacheRecordHeaderBytes, sectionKind.names, number, bytes);
  if (days.length > 0) putSection(record, at, sectionKind.nameDays, number, dayBytes);
  return sealRecord(record);
}

/** Length of the record that begins here, or 0 when none can. Looks at four octets. */
export function cacheRecordLength(bytes: Buffer, position: number): number {
  if (position + 4 > bytes.length) return 0;
  const head = bytes.readUInt32LE(position);
  const length = head & 0xffffff;
  if (head >>> 24 !== cacheRecordMagic || length < cacheRecordHeaderBytes || length % cacheUnit !== 0) return 0;
  return length;
}

export function isIntactCacheRecord(record: Buffer): boolean {
  return record.length >= cacheRecordHeaderBytes && isIntactRecordAt(record, 0, record.length);
}

/** The record is the octets from `start` to `end`; at least a header. */
export function isIntactRecordAt(bytes: Buffer, start: number, end: number): boolean {
  const sum = (bytes[start + 4] as number) | ((bytes[start + 5] as number) << 8) | ((bytes[start + 6] as number) << 16);
  return crc32(bytes.subarray(start + 8, end)) === (sum | ((bytes[start + 7] as number) << 24)) >>> 0;
}

/** Sections that are wanted of a record: bit n is section kind n. */
export const allSections = 0xffff;

/**
 * Adds the wanted sections of a whole, intact record to `message`; what is there already stays. A buffer for each section costs more than finding it.
 * @param bytes the record is the octets from `start` to `end`
 * @returns the offset of the record before
 */
export function readCacheRecord(bytes: Buffer, start: number, end: number, message: CachedMessage, wanted = allSections): number {
  for (let at = start + cacheRecordHeaderBytes; at + sectionHeaderBytes <= end; ) {
    const kind = (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
    if (kind === 0) break;
    const from = at + sectionHeaderBytes;
    const to = from + bytes.readUInt32LE(at + 4);
    if (to > end) throw new RangeError('past the end');
    if (kind < 16 && ((wanted >>> kind) & 1) === 1) {
      const argument = (bytes[at + 2] as number) | ((bytes[at + 3] as number) << 8);
      keepSection(message, kind, argument, bytes.subarray(from, to));
    }
    at = to;
  }
  return bytes.readUInt32LE(start + 12);
}

function keepSection(message: CachedMessage, kind: number, argument: number, bytes: Buffer): void {
  if (kind === sectionKind.envelope) message.envelope ??= bytes;
  else if (kind === sectionKind.body) message.body ??= bytes;
  else if (kind === sectionKind.bodyStructure) message.bodyStructure ??= bytes;
  else if (kind === sectionKind.tree) message.tree ??= bytes;
  else if (kind === sectionKind.preview) message.preview ??= bytes;
  else if (kind === sectionKind.header) message.header ??= { names: argument, bytes };
}

export interface NamesRecord {
  readonly number: number;
  readonly names: readonly string[];
  /** As many as there are names, or none. */
  readonly days: readonly number[];
}

export function readNamesRecord(record: Buffer): NamesRecord | undefined {
  let found: { readonly number: number; readonly names: readonly string[] } | undefined;
  let days: number[] = [];
  readSections(record, (kind, argument, bytes) => {
    if (kind === sectionKind.names) found = { number: argument, names: bytes.toString('latin1').split('\n') };
    if (kind === sectionKind.nameDays) days = Array.from({ length: bytes.length >> 2 }, (_, index) => bytes.readUInt32LE(index * 4));
  });
  return found === undefined ? undefined : { ...found, days: days.length === found.names.length ? days : [] };
}

function readSections(record: Buffer, visit: (kind: number, argument: number, bytes: Buffer) => void): void {
  const reader = new ByteReader(record, cacheRecordHeaderBytes);
  while (reader.left >= 8) {
    const kind = reader.u16();
    if (kind === 0) return;
    const argument = reader.u16();
    visit(kind, argument, reader.bytes(reader.u32()));
  }
}
