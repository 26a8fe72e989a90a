// Looking into the index files of a mailbox without changing them, for administrators: what docs/index-format.md describes, as values.
import { cacheHeaderBytes, cacheRecordLength, isIntactCacheRecord, parseCacheHeader } from './cache-record.js';
import { rowBit, unknown32 } from './columns.js';
import { decodeKeyBlock, keyFileHeaderBytes, parseKeyFileHeader, recordLength } from './key-file.js';
import { logHeaderBytes, parseLogHeader, recordAt } from './log-reader.js';
import { recordKind } from './log-record.js';
import { decodeSnapshot, parseSnapshotHeader, snapshotHeaderBytes } from './snapshot.js';

export type InspectedValue = string | number;

/** A part of a file: its header, a record, a message. */
export interface InspectedPart {
  readonly part: string;
  /** Octets from the beginning of the file; of messages the row. */
  readonly at: number;
  readonly values: Readonly<Record<string, InspectedValue>>;
}

/** Only what bounds memory matters here, not what a mailbox may hold. */
const limits = { maxKeywordLength: 65_535, maxHistoryRanges: 1_000_000 };

/** @param name of the file: `roost.index`, `roost.index.log`, `roost.cache`, `roost.keys` @returns undefined for another name */
export function inspectFile(name: string, bytes: Buffer): readonly InspectedPart[] | undefined {
  if (name === 'roost.index') return inspectSnapshot(bytes);
  if (name === 'roost.index.log') return inspectLog(bytes);
  if (name === 'roost.cache') return inspectCache(bytes);
  return name === 'roost.keys' ? inspectKeys(bytes) : undefined;
}

const invalid = (part: string, at: number, reason: string): InspectedPart => ({ part, at, values: { invalid: reason } });

function inspectSnapshot(bytes: Buffer): readonly InspectedPart[] {
  const header = parseSnapshotHeader(bytes.subarray(0, snapshotHeaderBytes), bytes.length);
  if (header === undefined) return [invalid('header', 0, 'not a snapshot of this version, or its header is damaged')];
  const columnsAt = snapshotHeaderBytes + header.textBytes;
  const heapAt = columnsAt + header.columnBytes;
  const { rows, textBytes, columnBytes, heapBytes, logId, offset } = header;
  const state = decodeSnapshot(
    header,
    bytes.subarray(snapshotHeaderBytes, columnsAt),
    // Memory of its own, aligned for the typed arrays.
    Buffer.from(new Uint8Array(bytes.subarray(columnsAt, heapAt)).buffer),
    Buffer.from(new Uint8Array(bytes.subarray(heapAt, heapAt + heapBytes)).buffer),
    limits,
  );
  const sizes = { rows, log_id: logId, log_offset: offset, text_bytes: textBytes, column_bytes: columnBytes, heap_bytes: heapBytes };
  if (state === undefined)
    return [{ part: 'header', at: 0, values: sizes }, invalid('contents', snapshotHeaderBytes, 'a checksum is wrong')];
  const { columns } = state;
  const parts: InspectedPart[] = [
    {
      part: 'header',
      at: 0,
      values: {
        ...sizes,
        guid: state.guid,
        uid_validity: state.uidValidity,
        uid_next: state.uidNext,
        first_recent_uid: state.firstRecentUid,
        highest_modseq: state.highestModSeq,
        cache_id: state.cacheId,
        cache_length: state.cacheLength,
        keyword_letters: state.letters.join(' '),
      },
    },
  ];
  for (let row = 0; row < rows; row += 1) {
    const size = columns.size[row] ?? unknown32;
    parts.push({
      part: 'message',
      at: row,
      values: {
        uid: columns.uid[row] ?? 0,
        flags: columns.flags[row] ?? 0,
        keywords: state.keywordsOf(row).join(' '),
        modseq: columns.modSeq[row] ?? 0,
        size: size === unknown32 ? 'unknown' : size,
        folder: (columns.bits[row] ?? 0) & rowBit.inNew ? 'new' : 'cur',
      },
    });
  }
  return parts;
}

const kindNames: ReadonlyMap<number, string> = new Map(Object.entries(recordKind).map(([name, kind]) => [kind, name]));

function inspectLog(bytes: Buffer): readonly InspectedPart[] {
  const header = parseLogHeader(bytes);
  if (header === undefined) return [invalid('header', 0, 'not a log of this version, or its header is damaged')];
  const parts: InspectedPart[] = [{ part: 'header', at: 0, values: { log_id: header.logId, boot_id: header.bootId.toString('hex') } }];
  for (let at = logHeaderBytes; at < bytes.length; ) {
    const found = recordAt(bytes, at);
    if (found.kind !== 'record') {
      parts.push(invalid('record', at, found.kind === 'more' ? 'it is cut off' : 'it is damaged'));
      return parts;
    }
    parts.push({
      part: 'record',
      at,
      values: { kind: kindNames.get(found.bytes.readUInt32LE(8)) ?? 'unknown', octets: found.bytes.length },
    });
    at += found.bytes.length;
  }
  return parts;
}

function inspectCache(bytes: Buffer): readonly InspectedPart[] {
  const header = parseCacheHeader(bytes);
  if (header === undefined) return [invalid('header', 0, 'not a cache of this version, or its header is damaged')];
  const parts: InspectedPart[] = [{ part: 'header', at: 0, values: { cache_id: header.cacheId, uid_validity: header.uidValidity } }];
  for (let at = cacheHeaderBytes; at < bytes.length; ) {
    const length = cacheRecordLength(bytes, at);
    const record = bytes.subarray(at, at + length);
    if (length === 0 || at + length > bytes.length || !isIntactCacheRecord(record)) {
      parts.push(invalid('record', at, 'it is cut off or damaged'));
      return parts;
    }
    parts.push({ part: 'record', at, values: { uid: record.readUInt32LE(8), previous: record.readUInt32LE(12), octets: length } });
    at += length;
  }
  return parts;
}

function inspectKeys(bytes: Buffer): readonly InspectedPart[] {
  const header = parseKeyFileHeader(bytes);
  if (header === undefined) return [invalid('header', 0, 'not a file of this version, or its header is damaged')];
  const parts: InspectedPart[] = [{ part: 'header', at: 0, values: { guid: header.guid, uid_validity: header.uidValidity } }];
  for (let at = keyFileHeaderBytes; at < bytes.length; ) {
    const length = recordLength(bytes, at);
    const block = length === 0 || at + length > bytes.length ? undefined : decodeKeyBlock(bytes.subarray(at, at + length));
    if (block === undefined) {
      parts.push(invalid('block', at, 'it is cut off or damaged'));
      return parts;
    }
    const { field, first, last, uids } = block;
    parts.push({ part: 'block', at, values: { field, first_uid: first, last_uid: last, messages: uids.length, octets: length } });
    at += length;
  }
  return parts;
}
