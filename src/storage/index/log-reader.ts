// Cutting the bytes of roost.index.log into whole, valid records.
import { readSync } from 'node:fs';
import { crc32 } from '#util/crc32.js';
import { maxRecordBytes, recordHeaderBytes, recordMagic } from './log-record.js';

export const logMagic = 'ROOSTLG1';
export const logVersion = 1;
export const logHeaderBytes = 64;

export function encodeLogHeader(logId: number, bootId: Buffer): Buffer {
  const header = Buffer.alloc(logHeaderBytes);
  header.write(logMagic, 0, 'latin1');
  header.writeUInt32LE(logVersion, 8);
  header.writeDoubleLE(logId, 16);
  bootId.copy(header, 24, 0, 16);
  header.writeUInt32LE(crc32(header), 12);
  return header;
}

export function parseLogHeader(bytes: Buffer): { readonly logId: number; readonly bootId: Buffer } | undefined {
  if (bytes.length < logHeaderBytes || bytes.toString('latin1', 0, 8) !== logMagic || bytes.readUInt32LE(8) !== logVersion)
    return undefined;
  const header = Buffer.from(bytes.subarray(0, logHeaderBytes));
  const crc = header.readUInt32LE(12);
  header.writeUInt32LE(0, 12);
  if (crc32(header) !== crc) return undefined;
  return { logId: header.readDoubleLE(16), bootId: header.subarray(24, 40) };
}

/** Less than asked for where the file ends. */
export function readRange(fd: number, from: number, to: number): Buffer<ArrayBuffer> {
  const bytes = Buffer.allocUnsafeSlow(Math.max(0, to - from));
  let filled = 0;
  while (filled < bytes.length) {
    const got = readSync(fd, bytes, filled, bytes.length - filled, from + filled);
    if (got === 0) break;
    filled += got;
  }
  return bytes.subarray(0, filled);
}

export type RecordAt =
  | { readonly kind: 'record'; readonly bytes: Buffer }
  /** The end, or a record of which more may come. */
  | { readonly kind: 'more' }
  | { readonly kind: 'broken' };

/** What lies at `position`. */
export function recordAt(bytes: Buffer, position: number): RecordAt {
  const left = bytes.length - position;
  if (left < 4) return { kind: 'more' };
  const head = bytes.readUInt32LE(position);
  const length = head & 0xffffff;
  if (head >>> 24 !== recordMagic || length < recordHeaderBytes || length > maxRecordBytes || length % 8 !== 0) return { kind: 'broken' };
  if (left < length) return { kind: 'more' };
  const record = bytes.subarray(position, position + length);
  if (record.readUInt32LE(12) > length - recordHeaderBytes || crc32(record.subarray(8)) !== record.readUInt32LE(4))
    return { kind: 'broken' };
  return { kind: 'record', bytes: record };
}

/** Position of the next valid record after a broken one, or -1. Torn writes need not leave the file aligned. */
export function nextRecord(bytes: Buffer, from: number): number {
  for (let position = bytes.indexOf(recordMagic, from + 3) - 3; position >= from; position = bytes.indexOf(recordMagic, position + 4) - 3) {
    if (recordAt(bytes, position).kind === 'record') return position;
  }
  return -1;
}
