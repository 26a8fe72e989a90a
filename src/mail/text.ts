// The readable text of a message for SEARCH BODY and TEXT: text parts decoded (transfer encoding, charset), HTML without its tags, header fields
// with their encoded words decoded. Large parts are read in windows, so memory stays bounded.
import { Buffer } from 'node:buffer';
import { decodeCharset, isKnownCharset, loadCharset } from './charset.js';
import { casemap } from './collation.js';
import { decodeWords } from './encoded-word.js';
import { htmlToText } from './html-text.js';
import type { MimePart } from './mime-part.js';
import { parameterText } from './parameters.js';
import { createTransferDecoder } from './transfer-encoding.js';

/** Random access to the octets of a message; storage's MessageReader fits. */
export interface OctetSource {
  read(offset: number, length: number): Promise<Buffer>;
}

/** Octets read at a time. */
const windowBytes = 1024 * 1024;

/** A message that is in memory as a whole. */
export function bufferSource(message: Buffer): OctetSource {
  return { read: async (offset, length) => message.subarray(offset, offset + length) };
}

/** A text to look for in messages, case-insensitively under i;unicode-casemap; any white space in it matches any white space. */
export class SearchText {
  readonly #needle: string;
  readonly #hasSpace: boolean;

  constructor(text: string) {
    this.#hasSpace = /\s/.test(text);
    this.#needle = casemap(this.#hasSpace ? oneSpaced(text) : text);
  }

  /** Characters of the needle, for overlapping windows. */
  get length(): number {
    return this.#needle.length;
  }

  isIn(text: string): boolean {
    return casemap(this.#hasSpace ? oneSpaced(text) : text).includes(this.#needle);
  }
}

function oneSpaced(text: string): string {
  return text.replace(/\s+/g, ' ');
}

/** SEARCH BODY: true when a text part holds the text. @param root the message's structure */
export async function isInBody(source: OctetSource, root: MimePart, text: SearchText): Promise<boolean> {
  for (const part of allParts(root)) {
    if (part.type === 'text' && part.children.length === 0 && (await isInPart(source, part, text))) return true;
  }
  return false;
}

/** SEARCH TEXT: the same, or in any header, those of parts and embedded messages included. */
export async function isInMessage(source: OctetSource, root: MimePart, text: SearchText): Promise<boolean> {
  for (const part of allParts(root)) {
    const header = await source.read(part.headerStart, part.bodyStart - part.headerStart);
    if (text.isIn(headerText(header))) return true;
    if (part.type === 'text' && part.children.length === 0 && (await isInPart(source, part, text))) return true;
  }
  return false;
}

/** A header block as people read it: unfolded, encoded words decoded. */
export function headerText(block: Buffer): string {
  return decodeWords(
    block
      .toString('latin1')
      .replace(/\r\n([ \t])/g, '$1')
      .replace(/\n([ \t])/g, '$1'),
  );
}

/** Decoded value of one field, as SEARCH HEADER compares it. @param value raw, unfolded or not */
export function fieldSearchText(value: string): string {
  return decodeWords(value.replace(/\r?\n/g, ''));
}

async function isInPart(source: OctetSource, part: MimePart, text: SearchText): Promise<boolean> {
  let before = '';
  for await (const window of partWindows(source, part)) {
    if (text.isIn(before + window)) return true;
    before = window.slice(-2 * text.length);
  }
  return false;
}

/** The parts of a message in order, a part before its children. */
export function* allParts(root: MimePart): Generator<MimePart> {
  const stack: MimePart[] = [root];
  for (let part = stack.pop(); part !== undefined; part = stack.pop()) {
    yield part;
    for (let index = part.children.length - 1; index >= 0; index -= 1) {
      const child = part.children[index];
      if (child !== undefined) stack.push(child);
    }
  }
}

/** Decoded text of a text part in pieces; HTML as plain text with its link targets. Text in an unknown transfer encoding is read as it is. */
export async function* partWindows(source: OctetSource, part: MimePart): AsyncGenerator<string> {
  const charset = parameterText(part.parameters, 'charset');
  if (charset !== undefined && !isKnownCharset(charset)) await loadCharset(charset);
  const isHtml = part.subtype === 'html' || part.subtype === 'xhtml+xml';
  for await (const octets of decodedWindows(source, part)) {
    const text = decodeCharset(octets, charset);
    yield isHtml ? htmlToText(text, { keepLinks: true }) : text;
  }
}

/** Decoded octets, cut at line ends where there are any, so that no character is cut in two. */
async function* decodedWindows(source: OctetSource, part: MimePart): AsyncGenerator<Buffer> {
  const decoder = createTransferDecoder(part.encoding);
  let rest: Buffer = Buffer.alloc(0);
  for (let offset = part.bodyStart; offset < part.bodyEnd; offset += windowBytes) {
    const length = Math.min(windowBytes, part.bodyEnd - offset);
    const chunk = await source.read(offset, length);
    const isLast = offset + length >= part.bodyEnd;
    let octets = decoder === undefined ? chunk : decoder.push(chunk);
    if (isLast && decoder !== undefined) octets = join(octets, decoder.end());
    octets = join(rest, octets);
    if (isLast) {
      yield octets;
      return;
    }
    const cut = octets.lastIndexOf(0x0a) + 1;
    const end = cut > 0 ? cut : octets.length;
    rest = octets.subarray(end);
    if (end > 0) yield octets.subarray(0, end);
  }
}

function join(first: Buffer, second: Buffer): Buffer {
  if (first.length === 0) return second;
  return second.length === 0 ? first : Buffer.concat([first, second]);
}
