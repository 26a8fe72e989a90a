// Ruling a message out by its octets, without decoding what needs none: most of the messages that a search for text looks at do not match.
//
// A text that is found has all its words in what was decoded. Where decoding leaves ASCII as it is, a word of ASCII characters is found in
// the octets too, whatever the white space around it became. So one word that is not there rules the message out; anything else, a hit included, is left
// to the search proper (search-text.ts), which alone decides what matches.
import { isAscii } from 'node:buffer';
import { isAsciiBased } from '#mail/charset.js';
import { isMessagePart, type MimePart } from '#mail/mime-part.js';
import { parseStructure } from '#mail/mime-tree.js';
import { parameterText } from '#mail/parameters.js';
import { allParts } from '#mail/text.js';
import { createTransferDecoder } from '#mail/transfer-encoding.js';

const encodedWord = '=?';

/** One text that is looked for. */
interface QuickNeedle {
  /** The longest word, upper case; '' where it has none of ASCII characters alone. */
  readonly word: string;
  /** No ASCII text has it. */
  readonly isBeyondAscii: boolean;
  readonly inHeaders: boolean;
}

/** @param key through `searchKey` */
export function quickNeedle(key: string, inHeaders: boolean): QuickNeedle {
  const words = key.split(' ').filter((word) => /^[\x21-\x7e]+$/.test(word));
  const word = words.reduce((longest, candidate) => (candidate.length > longest.length ? candidate : longest), '');
  return { word, isBeyondAscii: /[^\x00-\x7f]/.test(key), inHeaders };
}

/**
 * True when no part of the message can have any of the texts.
 * @param message the whole message, as the client sees it
 */
export function isRuledOut(message: Buffer, needles: readonly QuickNeedle[]): boolean {
  const wantHeaders = needles.some(({ inHeaders }) => inHeaders);
  const root = parseStructure(message);
  if (root.children.length === 0) return (!wantHeaders || isHeaderOut(message, root, needles)) && isBodyOut(message, root, needles);
  for (const part of allParts(root)) {
    // Of a forwarded message the header is text that BODY finds; who tells them apart is the search proper.
    const isForwarded = isMessagePart(part);
    if (isForwarded && !part.children.every((inner) => isHeaderOut(message, inner, needles))) return false;
    if (wantHeaders && !isHeaderOut(message, part, needles)) return false;
    if (part.children.length === 0 && !isBodyOut(message, part, needles)) return false;
  }
  return true;
}

function isHeaderOut(message: Buffer, part: MimePart, needles: readonly QuickNeedle[]): boolean {
  const block = message.subarray(part.headerStart, part.bodyStart);
  if (!isAscii(block)) return false;
  const text = block.toString('latin1');
  return !text.includes(encodedWord) && isTextOut(text, needles);
}

function isBodyOut(message: Buffer, part: MimePart, needles: readonly QuickNeedle[]): boolean {
  if (part.type !== 'text') return true;
  // Tags may stand inside words.
  if (part.subtype === 'html' || part.subtype === 'xhtml+xml') return false;
  const octets = decodedBody(message, part);
  if (!isAscii(octets)) return false;
  const charset = part.parameters.length === 0 ? undefined : parameterText(part.parameters, 'charset');
  if (charset !== undefined && !isAsciiBased(charset)) return false;
  return isTextOut(octets.toString('latin1'), needles);
}

function decodedBody(message: Buffer, { encoding, bodyStart, bodyEnd }: MimePart): Buffer {
  const body = message.subarray(bodyStart, bodyEnd);
  if (encoding !== 'base64' && encoding !== 'quoted-printable') return body;
  const decoder = createTransferDecoder(encoding);
  return decoder === undefined ? body : Buffer.concat([decoder.push(body), decoder.end()]);
}

/** @param text ASCII */
function isTextOut(text: string, needles: readonly QuickNeedle[]): boolean {
  const upper = text.toUpperCase();
  for (const { word, isBeyondAscii } of needles) {
    if (isBeyondAscii) continue;
    if (word === '' || upper.includes(word)) return false;
  }
  return true;
}
