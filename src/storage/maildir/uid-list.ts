// dovecot-uidlist: which UID each message file has. Dovecot's format, version 3.
//
//   3 V<uidvalidity> N<next uid> G<32 hex digits, mailbox GUID> [other keys, kept]
//   <uid> [<letter><value> ]...:<base name>
//
// UIDs ascend. The next UID is the larger of N and the last record's UID + 1, as records are appended without touching the header. Extension fields
// (G: message GUID, S, W: sizes, P: POP3 UIDL, O: POP3 order) are kept as text. Version 1 is `1 <uidvalidity> <next uid>` with records
// `<uid> <name>`; it is read and replaced by version 3. Reading takes no lock. Writers hold the dot lock, append whole lines, or
// replace the file by rename. A line that is cut off at the end of the file is not there yet; any other broken line ends the part that counts,
// and the next writer replaces the file.
import { Columns } from '../index/columns.js';

export interface UidListHeader {
  readonly version: 1 | 3;
  readonly uidValidity: number;
  readonly uidNext: number;
  /** '' when missing. */
  readonly guid: string;
  readonly extras: readonly string[];
}

export interface UidList {
  /** Undefined when not even the header can be read. */
  readonly header: UidListHeader | undefined;
  /** Only uid, name and extension are filled in. */
  readonly records: Columns;
  /** Line number and reason of the first broken line. */
  readonly broken: string | undefined;
  /** The file must be replaced before anything may be appended. */
  readonly needsRewrite: boolean;
}

const newline = 0x0a;
const space = 0x20;
const colon = 0x3a;
export const largestUid = 0xffffffff;
const longestName = 1000;

export function parseUidListHeader(line: string): UidListHeader | undefined {
  const v1 = /^1 (\d{1,10}) (\d{1,10})$/.exec(line);
  if (v1 !== null) return checked({ version: 1, uidValidity: Number(v1[1]), uidNext: Number(v1[2]), guid: '', extras: [] });
  if (!line.startsWith('3 ')) return undefined;
  let uidValidity = 0;
  let uidNext = 0;
  let guid = '';
  const extras: string[] = [];
  for (const field of line.slice(2).split(' ')) {
    const value = field.slice(1);
    if (field.startsWith('V') && /^\d{1,10}$/.test(value)) uidValidity = Number(value);
    else if (field.startsWith('N') && /^\d{1,10}$/.test(value)) uidNext = Number(value);
    else if (field.startsWith('G') && /^[0-9a-f]{32}$/i.test(value)) guid = value.toLowerCase();
    else if (field !== '') extras.push(field);
  }
  return checked({ version: 3, uidValidity, uidNext, guid, extras });
}

function checked(header: UidListHeader): UidListHeader | undefined {
  const isUsable = header.uidValidity > 0 && header.uidValidity <= largestUid && header.uidNext > 0 && header.uidNext <= largestUid;
  return isUsable ? header : undefined;
}

export function formatUidListHeader(header: Omit<UidListHeader, 'version'>): string {
  return `${['3', `V${header.uidValidity}`, `N${header.uidNext}`, `G${header.guid}`, ...header.extras].join(' ')}\n`;
}

export function parseUidList(bytes: Buffer): UidList {
  const headerEnd = bytes.indexOf(newline);
  const header = headerEnd < 0 ? undefined : parseUidListHeader(bytes.toString('latin1', 0, headerEnd));
  const records = new Columns();
  if (header === undefined) return { header, records, broken: 'line 1: no valid header', needsRewrite: true };
  records.reserve(Math.ceil(bytes.length / 40), bytes.length);
  const tail = parseUidListRecords(bytes, headerEnd + 1, header.version, records);
  const last = records.length === 0 ? 0 : (records.uid[records.length - 1] as number);
  return {
    header: { ...header, uidNext: Math.max(header.uidNext, last + 1) },
    records,
    broken: tail.broken,
    needsRewrite: tail.broken !== undefined || tail.isCut || header.version !== 3 || header.guid === '',
  };
}

/** Parses records from `start` on into `records`, which may hold earlier ones. */
export function parseUidListRecords(
  bytes: Buffer,
  start: number,
  version: 1 | 3,
  records: Columns,
): { readonly broken: string | undefined; readonly isCut: boolean } {
  let position = start;
  let line = 1;
  let lastUid = records.length === 0 ? 0 : (records.uid[records.length - 1] as number);
  while (position < bytes.length) {
    line += 1;
    const end = bytes.indexOf(newline, position);
    if (end < 0) return { broken: undefined, isCut: true };
    let uid = 0;
    let at = position;
    for (; at < end; at += 1) {
      const digit = (bytes[at] as number) - 48;
      if (digit < 0 || digit > 9) break;
      uid = uid * 10 + digit;
    }
    if (at === position || at - position > 10 || bytes[at] !== space) return { broken: `line ${line}: no UID`, isCut: false };
    // The largest UID is refused as well: nothing could follow it.
    if (uid <= lastUid || uid >= largestUid) return { broken: `line ${line}: UID ${uid} after ${lastUid}`, isCut: false };
    at += 1;
    let nameStart = at;
    if (version === 3) {
      nameStart = bytes[at] === colon ? at : extensionEnd(bytes, at, end);
      if (nameStart < 0) return { broken: `line ${line}: no file name`, isCut: false };
      nameStart += 1;
    }
    // A suffix does not belong here, but old lists have it.
    let nameEnd = bytes.indexOf(colon, nameStart);
    if (nameEnd < 0 || nameEnd > end) nameEnd = end;
    if (nameEnd === nameStart || nameEnd - nameStart > longestName) return { broken: `line ${line}: bad file name`, isCut: false };
    const extensionLength = version === 3 ? nameStart - 1 - at : 0;
    addRecord(records, uid, bytes, { at, extensionLength, nameStart, nameEnd });
    lastUid = uid;
    position = end + 1;
  }
  return { broken: undefined, isCut: false };
}

function addRecord(
  records: Columns,
  uid: number,
  bytes: Buffer,
  span: { readonly at: number; readonly extensionLength: number; readonly nameStart: number; readonly nameEnd: number },
): void {
  const { at, extensionLength, nameStart, nameEnd } = span;
  const name = bytes.subarray(nameStart, nameEnd);
  const record = extensionLength === 0 ? name : Buffer.concat([bytes.subarray(at, at + extensionLength), name]);
  records.add({ uid, flags: 0, bits: 0, keywordSet: 0, suffix: 0, modSeq: 0, saveDate: 0, internalDate: 0 }, record, extensionLength);
}

/** Position of the colon that ends `K<value> K<value> :`; -1. */
function extensionEnd(bytes: Buffer, start: number, end: number): number {
  let at = start;
  while (at < end) {
    if (bytes[at] === colon) return at;
    const letter = bytes[at] as number;
    if (letter < 0x41 || letter > 0x5a) return -1;
    const next = bytes.indexOf(space, at);
    if (next < 0 || next >= end) return -1;
    at = next + 1;
  }
  return -1;
}

/** @param extension as in `Columns.extensionOf`: fields with a space after each, or '' */
export function formatUidListRecord(uid: number, extension: string, baseName: string): string {
  return `${uid} ${extension}:${baseName}\n`;
}

/** Value of a one-letter extension field. */
export function extensionField(extension: string, letter: string): string | undefined {
  for (const field of extension.split(' ')) if (field.startsWith(letter)) return field.slice(1);
  return undefined;
}
