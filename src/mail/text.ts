// The readable text of a message, for SEARCH and previews: text parts decoded (transfer encoding, charset), HTML without its tags. Large parts are
// read in windows, so memory stays bounded.
import { Buffer } from 'node:buffer';
import { decodeCharset, isKnownCharset, loadCharset } from './charset.js';
import { casemap } from './collation.js';
import { htmlToText } from './html-text.js';
import type { MimePart } from './mime-part.js';
import { parameterText } from './parameters.js';
import { createTransferDecoder } from './transfer-encoding.js';

/** Random access to the octets of a message; storage's MessageReader fits. */
export interface OctetSource {
  read(offset: number, length: number): Promise<Buffer>;
}

/** Octets read at a time. */
export const windowBytes = 256 * 1024;

/** A message that is in memory as a whole. */
export function bufferSource(message: Buffer): OctetSource {
  return { read: async (offset, length) => message.subarray(offset, offset + length) };
}

/**
 * Text as SEARCH compares it: under i;unicode-casemap, any white space as one space, so that words are found across line ends. A text is found
 * where its key is contained in another's.
 */
export function searchKey(text: string): string {
  return casemap(text.replace(/\s{2,}|[^\S ]/g, ' '));
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

/**
 * Decoded text of one text part in pieces that end at line ends; HTML as plain text with its link targets. Text in a transfer encoding that is
 * not known comes as it is.
 */
export async function* partTexts(source: OctetSource, part: MimePart): AsyncGenerator<string> {
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
