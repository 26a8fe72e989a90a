// Encoded words in header text (RFC 2047, language tags of RFC 2231 5), read leniently, written strictly.
import { Buffer } from 'node:buffer';
import { decodeCharset } from './charset.js';
import type { OctetString } from './mime-part.js';

const maxCharsetLength = 80;
/** RFC 2047 2: an encoded word is at most 75 characters. */
const maxWordLength = 75;

interface Word {
  readonly charset: string;
  readonly octets: Buffer;
  readonly end: number;
}

/**
 * Header text to characters: encoded words are decoded, white space between two of them goes, other octets are UTF-8 or else windows-1252.
 *
 * Words of one charset that follow one another are decoded together, since mailers cut characters in two.
 */
export function decodeWords(text: OctetString): string {
  if (!text.includes('=?')) return decodePlain(text);
  let result = '';
  let plainFrom = 0;
  let position = 0;
  let pending: { charset: string; octets: Buffer[] } | undefined;
  const flush = (): void => {
    if (pending !== undefined) result += decodeCharset(Buffer.concat(pending.octets), pending.charset);
    pending = undefined;
  };
  for (;;) {
    const start = text.indexOf('=?', position);
    // Without an end there is no word, neither here nor later.
    if (start === -1 || text.indexOf('?=', start + 2) === -1) break;
    const word = readWord(text, start);
    if (word === undefined) {
      position = start + 2;
      continue;
    }
    const between = text.slice(plainFrom, start);
    if (pending === undefined || !isBlank(between)) {
      flush();
      result += decodePlain(between);
    }
    if (pending !== undefined && pending.charset !== word.charset) flush();
    if (pending === undefined) pending = { charset: word.charset, octets: [] };
    pending.octets.push(word.octets);
    position = word.end;
    plainFrom = word.end;
  }
  flush();
  return result + decodePlain(text.slice(plainFrom));
}

function isBlank(text: string): boolean {
  return /^[ \t\r\n]*$/.test(text);
}

function decodePlain(text: OctetString): string {
  return /[\x80-\xff]/.test(text) ? decodeCharset(Buffer.from(text, 'latin1'), undefined) : text;
}

/** `=?charset*language?B|Q?text?=` at `start`. */
function readWord(text: OctetString, start: number): Word | undefined {
  const charsetEnd = text.indexOf('?', start + 2);
  if (charsetEnd === -1 || charsetEnd === start + 2 || charsetEnd - start > maxCharsetLength) return undefined;
  const encoding = text.charAt(charsetEnd + 1).toUpperCase();
  if ((encoding !== 'B' && encoding !== 'Q') || text.charAt(charsetEnd + 2) !== '?') return undefined;
  const from = charsetEnd + 3;
  const end = text.indexOf('?=', from);
  if (end === -1) return undefined;
  const charset = (text.slice(start + 2, charsetEnd).split('*', 1)[0] ?? '').toLowerCase();
  if (/\s/.test(charset)) return undefined;
  const content = text.slice(from, end);
  return { charset, octets: encoding === 'B' ? Buffer.from(content, 'base64') : decodeQ(content), end: end + 2 };
}

/** RFC 2047 4.2. */
function decodeQ(content: OctetString): Buffer {
  const octets = Buffer.allocUnsafe(content.length);
  let used = 0;
  for (let index = 0; index < content.length; index += 1) {
    const code = content.charCodeAt(index);
    if (code === 0x5f) octets[used++] = 0x20;
    else if (code === 0x3d && /^[0-9a-fA-F]{2}$/.test(content.slice(index + 1, index + 3))) {
      octets[used++] = Number.parseInt(content.slice(index + 1, index + 3), 16);
      index += 2;
    } else octets[used++] = code;
  }
  return octets.subarray(0, used);
}

/**
 * Text for an unstructured field: as it is when it is printable ASCII without anything that looks like an encoded word, else as UTF-8 encoded
 * words, separated by single spaces where a field may be folded. `decodeWords` gives the text back.
 */
export function encodeWords(text: string): string {
  if (/^[\x20-\x7e]*$/.test(text) && !text.includes('=?')) return text;
  const words: string[] = [];
  let piece = '';
  let bytes = 0;
  let qLength = 0;
  const overhead = '=?utf-8?q??='.length;
  const room = maxWordLength - overhead;
  // Base64 pays off when more than a third of the octets would need three characters each.
  const octets = Buffer.from(text, 'utf8');
  const special = octets.reduce((count, code) => count + (isQSafe(code) || code === 0x20 ? 0 : 1), 0);
  const useBase64 = special * 2 > octets.length / 3 + 2;
  const flush = (): void => {
    if (piece === '') return;
    const utf8 = Buffer.from(piece, 'utf8');
    words.push(useBase64 ? `=?utf-8?b?${utf8.toString('base64')}?=` : `=?utf-8?q?${encodeQ(utf8)}?=`);
    piece = '';
    bytes = 0;
    qLength = 0;
  };
  for (const character of text) {
    const utf8 = Buffer.from(character, 'utf8');
    const length = encodeQ(utf8).length;
    const isFull = useBase64 ? Math.ceil((bytes + utf8.length) / 3) * 4 > room : qLength + length > room;
    if (isFull) flush();
    piece += character;
    bytes += utf8.length;
    qLength += length;
  }
  flush();
  return words.join(' ');
}

/** Safe in every place where an encoded word may stand (RFC 2047 5, rule 3). */
function isQSafe(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a);
}

function encodeQ(octets: Buffer): string {
  let text = '';
  for (const code of octets) {
    if (code === 0x20) text += '_';
    else if (isQSafe(code)) text += String.fromCharCode(code);
    else text += `=${code.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return text;
}
