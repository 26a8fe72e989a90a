// Text in headers and bodies for SEARCH: decoded (RFC 2047, MIME), compared without case.
import { Buffer } from 'node:buffer';
import { dayOf, type MessageDate, parseMessageDate } from '#mail/date.js';
import { decodeWords } from '#mail/encoded-word.js';
import { fieldText, splitHeader } from '#mail/header.js';
import type { FieldTable } from '#mail/header-scan.js';
import { isMessagePart, type MimePart } from '#mail/mime-part.js';
import { allParts, partTexts, searchKey } from '#mail/text.js';
import type { MessageReader } from './mailbox.js';
import { isRuledOut, quickNeedle } from './search-quick.js';
import { type Outcome, unknown } from './search-source.js';

/** Octets of one header block that are searched. */
const maxHeaderBytes = 1024 * 1024;

/** Texts looked for in one message after the other. */
export class TextNeedles {
  readonly #needles: { readonly text: string; readonly inHeaders: boolean }[] = [];
  readonly #quick: ReturnType<typeof quickNeedle>[] = [];
  #found: Outcome[] = [];
  #longest = 0;

  /**
   * @param inHeaders TEXT: also in the message's own header
   * @returns handle for `outcomeOf`
   */
  add(text: string, inHeaders: boolean): number {
    const folded = searchKey(text);
    this.#longest = Math.max(this.#longest, folded.length);
    this.#needles.push({ text: folded, inHeaders });
    this.#quick.push(quickNeedle(folded, inHeaders));
    return this.#needles.length - 1;
  }

  /** Characters of the longest text, folded. */
  get longest(): number {
    return this.#longest;
  }

  get wantHeaders(): boolean {
    return this.#needles.some((needle, index) => needle.inHeaders && this.#found[index] === unknown);
  }

  outcomeOf(needle: number): Outcome {
    return this.#found[needle] ?? unknown;
  }

  /** Another message. */
  begin(): void {
    this.#found = this.#needles.map(() => unknown);
  }

  /** True when the message, whole and as the client sees it, has none of the texts; false says nothing. */
  areRuledOut(message: Buffer): boolean {
    return isRuledOut(message, this.#quick);
  }

  /** What was not found up to now is not there. */
  finish(): void {
    this.#found = this.#found.map((outcome) => (outcome === unknown ? 0 : outcome));
  }

  /**
   * @param folded through `searchKey`
   * @param onlyText BODY does not look here
   */
  lookInto(folded: string, onlyText: boolean): void {
    for (const [index, needle] of this.#needles.entries()) {
      if (this.#found[index] === unknown && (needle.inHeaders || !onlyText) && folded.includes(needle.text)) this.#found[index] = 1;
    }
  }
}

/** All raw fields of one name as they are compared, a line each; null when there is none. */
export function headerKey(rawFields: Buffer): string | null {
  if (rawFields.length === 0) return null;
  return splitHeader(rawFields)
    .map((field) => searchKey(decodeWords(fieldText(rawFields, field))))
    .join('\n');
}

/** Room for the key of one field; longer values take the long way. */
const plainKey = Buffer.allocUnsafeSlow(1024);

/** `headerKey` of the fields with this number in the table of a header block. */
export function keyOfFields(block: Buffer, table: FieldTable, name: number): string | null {
  let key: string | null = null;
  for (let index = 0; index < table.count; index += 1) {
    if (table.nameAt(index) !== name) continue;
    const start = table.startAt(index);
    const end = table.endAt(index);
    const field = plainKeyOf(block, table.valueAt(index), end) ?? headerKey(block.subarray(start, end)) ?? '';
    key = key === null ? field : `${key}\n${field}`;
  }
  return key;
}

const maxPatternName = 100;
const nowhere = /(?!)/;

/**
 * Finds the first field of this name in a header block of latin1 text. Group 1 is its value where that is all there is to know: printable ASCII with
 * single spaces in one line, and no other field of the name. Then, or when there is no value, group 2 is undefined.
 */
export function plainFieldPattern(name: string): RegExp {
  // No field has an empty name, or a very long one.
  if (name === '' || name.length > maxPatternName) return nowhere;
  const escaped = name.replace(/[^a-z0-9]/gi, '\\$&');
  const field = `${escaped}[ \\t]*:`;
  const value = '[ \\t]*(?:([\\x21-\\x7e]+(?: [\\x21-\\x7e]+)*)[ \\t\\r]*|\\r)?\\n';
  return new RegExp(`(?:^|\\n)${field}(?:${value}(?![ \\t])(?!(?:[^]*?\\n)?${field})|())`, 'i');
}

/** `headerKey` of the fields of one name, found without looking at the others; undefined when that takes a closer look. */
export function plainKeyIn(text: string, pattern: RegExp): string | undefined {
  const match = pattern.exec(text);
  if (match === null || match[2] !== undefined) return undefined;
  const value = match[1];
  if (value === undefined) return '';
  if (value.includes('=?')) return undefined;
  const key = value.toUpperCase();
  // What is upper case already is still a part of the whole text, and would keep it in memory.
  return key === value ? Buffer.from(key, 'latin1').toString('latin1') : key;
}

/** The key of a value of printable ASCII with single spaces and no encoded words, as most are; undefined for any other. */
function plainKeyOf(block: Buffer, start: number, end: number): string | undefined {
  let from = start;
  let to = end;
  while (from < to && isBlank(block[from] as number)) from += 1;
  while (to > from && isBlank(block[to - 1] as number)) to -= 1;
  const length = to - from;
  if (length > plainKey.length) return undefined;
  let last = 0;
  for (let index = 0; index < length; index += 1) {
    const code = block[from + index] as number;
    // Two spaces, or `=?`.
    if (code < 0x20 || code > 0x7e || (code === 0x20 && last === 0x20) || (code === 0x3f && last === 0x3d)) return undefined;
    plainKey[index] = code >= 0x61 && code <= 0x7a ? code - 0x20 : code;
    last = code;
  }
  return plainKey.toString('latin1', 0, length);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09 || code === 0x0d || code === 0x0a;
}

/** A test of a `headerKey`: some field contains the text, which went through `searchKey`; '' asks for the field only. */
export function keyContains(needle: string): (key: string | null) => boolean {
  return (key) => key?.includes(needle) === true;
}

/** Day of a Date field as written, without its time zone (RFC 9051 6.4.4 SENTON); undefined when there is none. */
export function dayOfHeaderDate(rawFields: Buffer): number | undefined {
  const date = headerDate(rawFields);
  return date === undefined ? undefined : dayOf(date);
}

/** The date of a Date field; undefined without a usable one. */
export function headerDate(rawFields: Buffer): MessageDate | undefined {
  const field = splitHeader(rawFields)[0];
  return field === undefined ? undefined : parseMessageDate(fieldText(rawFields, field));
}

/**
 * Looks for all needles in one message: headers and the text of text parts, decoded. Stops as soon as `isDecided`. Never holds more than a few hundred kilobytes of it.
 * @param breathe lets the event loop run when it is time
 */
export async function scanMessage(
  reader: MessageReader,
  needles: TextNeedles,
  isDecided: () => boolean,
  breathe: () => Promise<void>,
): Promise<void> {
  const scan = new MessageScan(reader, needles, isDecided, breathe);
  const root = await reader.structure();
  // The header of a forwarded message is part of the body that a person reads; MIME headers are not (RFC 9051 6.4.4: only TEXT has them).
  const forwarded = new Set<MimePart>();
  for (const part of allParts(root)) {
    if (isMessagePart(part)) for (const message of part.children) forwarded.add(message);
    if (forwarded.has(part)) await scan.header(part, false);
    else if (needles.wantHeaders) await scan.header(part, true);
    if (isDecided()) return;
    if (part.type === 'text' && part.children.length === 0) await scan.body(part);
  }
}

class MessageScan {
  readonly #reader: MessageReader;
  readonly #needles: TextNeedles;
  readonly #isDecided: () => boolean;
  readonly #breathe: () => Promise<void>;

  constructor(reader: MessageReader, needles: TextNeedles, isDecided: () => boolean, breathe: () => Promise<void>) {
    this.#reader = reader;
    this.#needles = needles;
    this.#isDecided = isDecided;
    this.#breathe = breathe;
  }

  /** Field by field, unfolded and decoded, with its name, as a person reads it. */
  async header(part: MimePart, onlyText: boolean): Promise<void> {
    const length = Math.min(part.bodyStart - part.headerStart, maxHeaderBytes);
    if (length <= 0) return;
    const block = await this.#reader.read(part.headerStart, length);
    for (const field of splitHeader(block)) {
      const name = block.toString('latin1', field.start, field.valueStart);
      this.#needles.lookInto(searchKey(`${name} ${decodeWords(fieldText(block, field))}`), onlyText);
    }
    await this.#breathe();
  }

  async body(part: MimePart): Promise<void> {
    let overlap = '';
    for await (const piece of partTexts(this.#reader, part)) {
      const key = searchKey(piece);
      // White space on both sides of a cut is one run.
      const text = overlap.endsWith(' ') ? overlap + key.trimStart() : overlap + key;
      this.#needles.lookInto(text, false);
      if (this.#isDecided()) return;
      overlap = this.#needles.longest > 1 ? text.slice(1 - this.#needles.longest) : '';
      await this.#breathe();
    }
  }
}
