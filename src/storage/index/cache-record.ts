// Records of roost.cache: what has been worked out about messages, so that it is worked out once. Layout: docs/index-format.md.
//
// A record belongs to a UID and points to the message's previous record, if it adds to one. A message never changes, so records never do.
// Record of UID 0: a numbered list of header field names, to which the header sections of later records refer.
import { crc32 } from '#util/crc32.js';
import { ByteReader, ByteWriter } from './byte-writer.js';

export const cacheMagic = 'ROOSTCA1';
export const cacheVersion = 1;
export const cacheHeaderBytes = 64;
export const cacheRecordMagic = 0xca;
export const cacheRecordHeaderBytes = 16;
export const maxCacheRecordBytes = 0xfffff8;
/** Offsets are kept in units of 8 octets. */
export const cacheUnit = 8;

export const sectionKind = { envelope: 1, body: 2, bodyStructure: 3, tree: 4, header: 5, preview: 6, names: 7 } as const;

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

/** @param previous offset of the message's record before, in units; 0: none */
export function encodeCacheRecord(uid: number, previous: number, message: CachedMessage): Buffer {
  return encode(uid, previous, (writer) => {
    for (const field of ['envelope', 'body', 'bodyStructure', 'tree', 'preview'] as const) {
      const value = message[field];
      if (value !== undefined) writeSection(writer, sectionKind[field], 0, value);
    }
    if (message.header !== undefined) writeSection(writer, sectionKind.header, message.header.names, message.header.bytes);
  });
}

export function encodeNamesRecord(number: number, names: readonly string[]): Buffer {
  return encode(0, 0, (writer) => writeSection(writer, sectionKind.names, number, Buffer.from(names.join('\n'), 'latin1')));
}

function writeSection(writer: ByteWriter, kind: number, argument: number, bytes: Buffer): void {
  writer.u16(kind);
  writer.u16(argument);
  writer.u32(bytes.length);
  writer.bytes(bytes);
}

function encode(uid: number, previous: number, build: (writer: ByteWriter) => void): Buffer {
  const writer = new ByteWriter(2048);
  for (const value of [0, 0, uid, previous]) writer.u32(value);
  build(writer);
  // A section of kind 0 ends the record before the padding.
  writer.u16(0);
  writer.align(cacheUnit);
  const bytes = writer.finish();
  if (bytes.length > maxCacheRecordBytes) return Buffer.alloc(0);
  bytes.writeUInt32LE(((cacheRecordMagic << 24) | bytes.length) >>> 0, 0);
  bytes.writeUInt32LE(crc32(bytes.subarray(8)), 4);
  return bytes;
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
  return crc32(record.subarray(8)) === record.readUInt32LE(4);
}

/** Adds the sections of a whole, intact record to `message`; what is there already stays. @returns the offset of the record before */
export function readCacheRecord(record: Buffer, message: CachedMessage): number {
  readSections(record, (kind, argument, bytes) => {
    if (kind === sectionKind.envelope) message.envelope ??= bytes;
    else if (kind === sectionKind.body) message.body ??= bytes;
    else if (kind === sectionKind.bodyStructure) message.bodyStructure ??= bytes;
    else if (kind === sectionKind.tree) message.tree ??= bytes;
    else if (kind === sectionKind.preview) message.preview ??= bytes;
    else if (kind === sectionKind.header) message.header ??= { names: argument, bytes };
  });
  return record.readUInt32LE(12);
}

export function readNamesRecord(record: Buffer): { readonly number: number; readonly names: readonly string[] } | undefined {
  let found: { readonly number: number; readonly names: readonly string[] } | undefined;
  readSections(record, (kind, argument, bytes) => {
    if (kind === sectionKind.names) found = { number: argument, names: bytes.toString('latin1').split('\n') };
  });
  return found;
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
