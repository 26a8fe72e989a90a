// Changes of a mailbox as records of roost.index.log. Layout: docs/index-format.md; what they do to the state: apply-record.ts.
//
// Records name keywords and suffixes by text: ids are private to a process.
import { crc32 } from '#util/crc32.js';
import { type ByteReader, ByteWriter } from './byte-writer.js';
import { rowBit } from './columns.js';
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
