// ENVELOPE written as octets for many messages in a row. Values as most mailers write them are copied octet by octet; any other goes through the
// parsers of wire.ts, whose answer is the same for both.
import type { Buffer } from 'node:buffer';
import type { OctetBlocks } from '#util/octet-blocks.js';
import { fieldText } from './header.js';
import type { FieldTable } from './header-scan.js';
import { addressList, textField } from './wire.js';

/** The names in the order of the numbers that `putEnvelope` expects: those of the reply, RFC 9051 7.5.2. */
export const envelopeNames = ['date', 'subject', 'from', 'sender', 'reply-to', 'to', 'cc', 'bcc', 'in-reply-to', 'message-id'] as const;

const firstAddress = 2;
const lastAddress = 7;
const from = 2;
/** Longer values take the long way: they are rare, and room is reserved by their length. */
const maxPlainBytes = 2000;

/** In a quoted string as they are. */
const isPlain = new Uint8Array(256);
for (let code = 0x20; code <= 0x7e; code += 1) isPlain[code] = code === 0x22 || code === 0x5c ? 0 : 1;
/** Parts of atoms, and dots, which hold them together. */
const isAtom = new Uint8Array(256);
for (let code = 0x21; code <= 0x7e; code += 1) isAtom[code] = '()<>[]:;@\\,"'.includes(String.fromCharCode(code)) ? 0 : 1;

/**
 * Writes the ENVELOPE of a header block, parentheses included.
 * @param table of the block, with `envelopeNames` as its first numbers
 */
export function putEnvelope(block: Buffer, table: FieldTable, out: OctetBlocks): void {
  places.fill(-1);
  for (let index = 0; index < table.count; index += 1) {
    const name = table.nameAt(index);
    if (name >= envelopeNames.length) continue;
    const isRepeated = places[name] !== -1 && name >= firstAddress && name <= lastAddress;
    places[name] = isRepeated ? repeated : index;
  }
  out.octet(0x28);
  let fromStart = 0;
  let fromEnd = 0;
  for (let name = 0; name < envelopeNames.length; name += 1) {
    if (name > 0) out.octet(0x20);
    const isAddress = name >= firstAddress && name <= lastAddress;
    if (!isAddress) {
      putText(block, table, places[name] as number, out);
      continue;
    }
    const begun = out.at - out.start;
    putAddresses(block, table, name, out);
    const written = out.at - out.start - begun;
    if (name === from) {
      fromStart = begun;
      fromEnd = begun + written;
    } else if (written === 0 && (name === from + 1 || name === from + 2)) {
      // RFC 9051 7.5.2: Sender and Reply-To fall back to From.
      out.reserve(fromEnd - fromStart);
      out.bytes.copyWithin(out.at, out.start + fromStart, out.start + fromEnd);
      out.at += fromEnd - fromStart;
    }
    if (out.at - out.start === begun) out.text('NIL');
  }
  out.octet(0x29);
}

/** By number: place in the table of the field that counts; -1: none. */
const places = new Int32Array(envelopeNames.length);
const repeated = -2;

function putText(block: Buffer, table: FieldTable, index: number, out: OctetBlocks): void {
  if (index < 0) {
    out.text('NIL');
    return;
  }
  let start = table.valueAt(index);
  let end = table.endAt(index);
  while (start < end && isSpace(block[start] as number)) start += 1;
  while (end > start && isSpace(block[end - 1] as number)) end -= 1;
  if (end - start <= maxPlainBytes) {
    out.reserve(end - start + 2);
    const { bytes } = out;
    let to = out.at;
    bytes[to] = 0x22;
    to += 1;
    let at = start;
    for (; at < end; at += 1) {
      const code = block[at] as number;
      if (isPlain[code] === 0) break;
      bytes[to] = code;
      to += 1;
    }
    if (at === end) {
      bytes[to] = 0x22;
      out.at = to + 1;
      return;
    }
  }
  out.text(textField(fieldText(block, fieldAt(table, index))));
}

/** All addresses of the fields of one name in parentheses; nothing when there are none. */
function putAddresses(block: Buffer, table: FieldTable, name: number, out: OctetBlocks): void {
  const index = places[name] as number;
  if (index === -1) return;
  if (index !== repeated && putPlainAddresses(block, table.valueAt(index), table.endAt(index), out)) return;
  let list = '';
  for (let other = 0; other < table.count; other += 1) {
    if (table.nameAt(other) === name) list += addressList(fieldText(block, fieldAt(table, other)));
  }
  if (list !== '') out.text(`(${list})`);
}

/** @returns false, and nothing is written, when some address needs the parser */
function putPlainAddresses(block: Buffer, start: number, end: number, out: OctetBlocks): boolean {
  if (end - start > maxPlainBytes) return false;
  // The shortest address, `a@b,`, becomes `("" NIL "a" "b")`.
  out.reserve((end - start) * 6 + 32);
  const begun = out.at;
  let at = skipSpace(block, start, end);
  out.bytes[out.at] = 0x28;
  out.at += 1;
  while (at < end) {
    at = putPlainAddress(block, at, end, out);
    if (at < 0) {
      out.at = begun;
      return false;
    }
    at = skipSpace(block, at, end);
    if (at < end) {
      // A list may not end with a comma here, nor have two: the parser knows about such.
      at = block[at] === 0x2c ? skipSpace(block, at + 1, end) : end + 1;
      if (at >= end) {
        out.at = begun;
        return false;
      }
    }
  }
  if (out.at === begun + 1) {
    out.at = begun;
    return true;
  }
  out.bytes[out.at] = 0x29;
  out.at += 1;
  return true;
}

/** `local@domain`, `words <local@domain>` or `"words" <local@domain>`. @returns the place behind it; -1: anything else */
function putPlainAddress(block: Buffer, start: number, end: number, out: OctetBlocks): number {
  let nameStart = start;
  let nameEnd = start;
  let at = start;
  if (block[at] === 0x22) {
    at += 1;
    nameStart = at;
    while (at < end && isPlain[block[at] as number] === 1) at += 1;
    if (block[at] !== 0x22 || at === nameStart || at >= end) return -1;
    nameEnd = at;
    at = skipSpace(block, at + 1, end);
  } else {
    // Words with single spaces between them.
    for (;;) {
      const wordStart = at;
      while (at < end && isAtom[block[at] as number] === 1) at += 1;
      if (at === wordStart) break;
      nameEnd = at;
      if (at >= end || block[at] !== 0x20) break;
      at += 1;
    }
    if (block[at] === 0x40 && at < end) {
      // A bare address; words in front of it are for the parser.
      if (nameEnd !== at || at === start || hasSpace(block, start, at)) return -1;
      return putParts(block, { nameStart, nameEnd: nameStart, localStart: start, at, end }, false, out);
    }
  }
  if (at >= end || block[at] !== 0x3c) return -1;
  const localStart = at + 1;
  at = localStart;
  while (at < end && isAtom[block[at] as number] === 1) at += 1;
  if (at === localStart || at >= end || block[at] !== 0x40) return -1;
  return putParts(block, { nameStart, nameEnd, localStart, at, end }, true, out);
}

interface Parts {
  readonly nameStart: number;
  readonly nameEnd: number;
  readonly localStart: number;
  /** The `@`. */
  readonly at: number;
  readonly end: number;
}

function putParts(block: Buffer, parts: Parts, isAngle: boolean, out: OctetBlocks): number {
  const domainStart = parts.at + 1;
  let at = domainStart;
  while (at < parts.end && isAtom[block[at] as number] === 1) at += 1;
  if (at === domainStart || block[at - 1] === 0x2e) return -1;
  const domainEnd = at;
  if (isAngle) {
    if (at >= parts.end || block[at] !== 0x3e) return -1;
    at += 1;
  }
  out.bytes[out.at] = 0x28;
  out.at += 1;
  if (parts.nameEnd === parts.nameStart) putNil(out);
  else putQuoted(block, parts.nameStart, parts.nameEnd, out);
  out.bytes[out.at] = 0x20;
  out.at += 1;
  putNil(out);
  out.bytes[out.at] = 0x20;
  out.at += 1;
  putQuoted(block, parts.localStart, parts.at, out);
  out.bytes[out.at] = 0x20;
  out.at += 1;
  putQuoted(block, domainStart, domainEnd, out);
  out.bytes[out.at] = 0x29;
  out.at += 1;
  return at;
}

function putNil(out: OctetBlocks): void {
  const { bytes, at } = out;
  bytes[at] = 0x4e;
  bytes[at + 1] = 0x49;
  bytes[at + 2] = 0x4c;
  out.at = at + 3;
}

function putQuoted(block: Buffer, start: number, end: number, out: OctetBlocks): void {
  const { bytes } = out;
  let to = out.at;
  bytes[to] = 0x22;
  to += 1;
  for (let at = start; at < end; at += 1) {
    bytes[to] = block[at] as number;
    to += 1;
  }
  bytes[to] = 0x22;
  out.at = to + 1;
}

function fieldAt(
  table: FieldTable,
  index: number,
): { readonly name: string; readonly start: number; readonly valueStart: number; readonly end: number } {
  return { name: '', start: table.startAt(index), valueStart: table.valueAt(index), end: table.endAt(index) };
}

function skipSpace(block: Buffer, start: number, end: number): number {
  let at = start;
  while (at < end && isSpace(block[at] as number)) at += 1;
  return at;
}

function hasSpace(block: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at += 1) if (block[at] === 0x20) return true;
  return false;
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09 || code === 0x0d || code === 0x0a;
}
