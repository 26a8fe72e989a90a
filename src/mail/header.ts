// Header blocks as octets: fields with offsets, unfolding, selection. Nothing is decoded here.
import { Buffer } from 'node:buffer';
import type { OctetString } from './mime-part.js';

/** One field of a header block; all offsets count from the start of the block. */
export interface RawField {
  /** Lower-case; empty for a line that is not a field (no colon, or white space in front of the first field). */
  readonly name: string;
  readonly start: number;
  /** Behind the colon. */
  readonly valueStart: number;
  /** Behind the line end of the last continuation line. */
  readonly end: number;
}

export const maxNameBytes = 998;

/** A to Z become a to z, everything else stays. */
export const lowerCase = Uint8Array.from({ length: 256 }, (_, code) => (code >= 0x41 && code <= 0x5a ? code + 0x20 : code));

/** Field names to look for, prepared once so that a scan compares octets and makes no strings. */
export class FieldSet {
  readonly names: ReadonlySet<string>;
  /** Names by their length. */
  readonly #candidates: (readonly string[] | undefined)[] = [];

  /** @param names lower-case */
  constructor(names: Iterable<string>) {
    this.names = new Set(names);
    for (const name of this.names) {
      if (name.length <= maxNameBytes) this.#candidates[name.length] = [...(this.#candidates[name.length] ?? []), name];
    }
  }

  /** The name that these octets are, in any case; undefined when they are none. */
  find(block: Buffer, start: number, end: number): string | undefined {
    const candidates = this.#candidates[end - start];
    if (candidates === undefined) return undefined;
    for (let index = 0; index < candidates.length; index += 1) {
      const name = candidates[index] as string;
      let at = start;
      while (at < end && lowerCase[block[at] as number] === name.charCodeAt(at - start)) at += 1;
      if (at === end) return name;
    }
    return undefined;
  }
}

/**
 * Splits a header block into its fields in message order.
 *
 * Ends at the first empty line or at the end of the block. Line ends are LF or CRLF; a lone CR is part of the value. Lines that begin with a
 * space or tab continue the field before.
 * @param wanted only these fields are returned
 */
export function splitHeader(block: Buffer, wanted?: FieldSet): RawField[] {
  const fields: RawField[] = [];
  const size = block.length;
  let start = 0;
  while (start < size) {
    const first = block[start];
    if (first === 0x0a || (first === 0x0d && block[start + 1] === 0x0a)) break;
    let end = lineEnd(block, start);
    while (end < size && (block[end] === 0x20 || block[end] === 0x09)) end = lineEnd(block, end);
    const field = readField(block, start, end, wanted);
    if (field !== undefined) fields.push(field);
    start = end;
  }
  return fields;
}

/** Lines of headers are short: a loop finds their end sooner than a call. */
const shortLine = 120;

/** @returns behind the next LF, or the end of the block */
export function lineEnd(block: Buffer, from: number): number {
  const stop = Math.min(block.length, from + shortLine);
  for (let at = from; at < stop; at += 1) if (block[at] === 0x0a) return at + 1;
  const at = block.indexOf(0x0a, stop);
  return at === -1 ? block.length : at + 1;
}

function readField(block: Buffer, start: number, end: number, wanted: FieldSet | undefined): RawField | undefined {
  let colon = start;
  const limit = Math.min(end, start + maxNameBytes);
  while (colon < limit && block[colon] !== 0x3a && block[colon] !== 0x0a) colon += 1;
  let nameEnd = colon;
  // RFC 5322 4.5.3 (obsolete): white space before the colon.
  while (nameEnd > start && (block[nameEnd - 1] === 0x20 || block[nameEnd - 1] === 0x09)) nameEnd -= 1;
  if (block[colon] !== 0x3a || colon >= limit || block[start] === 0x20 || block[start] === 0x09) {
    return wanted === undefined || wanted.names.has('') ? { name: '', start, valueStart: start, end } : undefined;
  }
  const name = wanted === undefined ? lowerName(block.toString('latin1', start, nameEnd)) : wanted.find(block, start, nameEnd);
  return name === undefined ? undefined : { name, start, valueStart: colon + 1, end };
}

/** Octets above 127 are no letters in a field name (RFC 5322 2.2), whatever Latin-1 calls them. */
function lowerName(name: OctetString): string {
  return /[\x80-\xff]/.test(name) ? name.replace(/[A-Z]+/g, (letters) => letters.toLowerCase()) : name.toLowerCase();
}

/**
 * A field's value as octets: unfolded (RFC 5322 2.2.3), trimmed at both ends. A fold, however wide, becomes one space: mailers fold with tabs
 * and indents that nobody meant to show.
 */
export function fieldText(block: Buffer, field: RawField, maxBytes = Number.POSITIVE_INFINITY): OctetString {
  const { valueStart } = field;
  const end = Math.min(field.end, valueStart + maxBytes);
  let from = valueStart;
  let to = end;
  while (from < to && isSpace(block[from])) from += 1;
  while (to > from && isSpace(block[to - 1])) to -= 1;
  const text = block.toString('latin1', from, to);
  return text.includes('\n') ? text.replace(/[ \t]*(?:\r?\n[ \t]*)+/g, ' ') : text;
}

function isSpace(code: number | undefined): boolean {
  return code === 0x20 || code === 0x09 || code === 0x0d || code === 0x0a;
}

/** Value of the first field with this lower-case name. */
export function findField(block: Buffer, name: string): OctetString | undefined {
  const field = splitHeader(block, new FieldSet([name]))[0];
  return field === undefined ? undefined : fieldText(block, field);
}

/**
 * Raw fields for BODY[HEADER.FIELDS] (`keep` true) or BODY[HEADER.FIELDS.NOT], each with its line end; without the empty line
 * (RFC 9051 6.4.5.1). Lines that are not fields belong to HEADER.FIELDS.NOT.
 * @param names lower-case
 */
export function selectFields(block: Buffer, names: readonly string[] | FieldSet, keep = true): Buffer {
  const wanted = names instanceof FieldSet ? names : new FieldSet(names);
  const fields = keep ? splitHeader(block, wanted) : splitHeader(block).filter(({ name }) => !wanted.names.has(name));
  const ranges: [number, number][] = [];
  for (const { start, end } of fields) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === start) last[1] = end;
    else ranges.push([start, end]);
  }
  const [only] = ranges;
  if (only !== undefined && ranges.length === 1) return block.subarray(only[0], only[1]);
  return Buffer.concat(ranges.map(([start, end]) => block.subarray(start, end)));
}
