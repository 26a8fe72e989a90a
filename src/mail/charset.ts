// Octets to text. TextDecoder knows what browsers know; the rest (UTF-7, DOS code pages, ...) is UTF-7 here and iconv-lite, loaded when first met.
import { Buffer, isAscii, isUtf8 } from 'node:buffer';

type Decode = (octets: Buffer) => string;

const maxCachedDecoders = 100;
/** Encodings in which octets below 0x80 do not stand for ASCII. */
const notAsciiBased = /^(utf-?7|unicode-1-1-utf-7|utf-?16|utf-?32|ucs-?[24]|iso-2022-|csiso2022|hz|ebcdic|cp037|ibm037|imap4-utf-7)/;
/** Labels seen in mail that TextDecoder spells differently. */
const aliases: Readonly<Record<string, string>> = {
  cp932: 'shift_jis',
  'cp-932': 'shift_jis',
  'x-ms-cp932': 'shift_jis',
  cp936: 'gbk',
  ms936: 'gbk',
  cp949: 'euc-kr',
  ms949: 'euc-kr',
  cp950: 'big5',
  iso8859_1: 'iso-8859-1',
  iso_8859_1: 'iso-8859-1',
  'latin-1': 'iso-8859-1',
  'latin-9': 'iso-8859-15',
  latin9: 'iso-8859-15',
  '8859-1': 'iso-8859-1',
  utf_8: 'utf-8',
  'utf 8': 'utf-8',
  unicode: 'utf-16le',
  macintosh: 'macintosh',
  'cp-1252': 'windows-1252',
  win1251: 'windows-1251',
};

const decoders = new Map<string, Decode | undefined>();

/**
 * Decodes octets; never fails. Without a charset, with one that is not known, or with a wrongly claimed US-ASCII, the octets are taken for UTF-8
 * when they are valid UTF-8, else for windows-1252.
 */
export function decodeCharset(octets: Buffer, charset: string | undefined): string {
  const label = charset === undefined ? '' : normalise(charset);
  if (isAscii(octets) && !notAsciiBased.test(label)) return octets.toString('latin1');
  if (label === 'utf-8' || label === 'utf8') return octets.toString('utf8');
  const decode = label === '' || label === 'us-ascii' || label === 'ascii' ? undefined : decoderOf(label);
  return decode === undefined ? guess(octets) : decode(octets);
}

/** True when octets below 0x80 stand for ASCII, whether the charset is known or not. */
export function isAsciiBased(charset: string): boolean {
  return !notAsciiBased.test(normalise(charset));
}

/** True when `decodeCharset` knows the charset already; else try `loadCharset`. */
export function isKnownCharset(charset: string): boolean {
  const label = normalise(charset);
  return label === 'us-ascii' || label === 'ascii' || decoderOf(label) !== undefined;
}

/** Makes a charset known that only iconv-lite has. @returns false when nothing knows it */
export async function loadCharset(charset: string): Promise<boolean> {
  if (isKnownCharset(charset)) return true;
  const { default: iconv } = await import('iconv-lite');
  const label = normalise(charset);
  if (!iconv.encodingExists(label)) return false;
  remember(label, (octets) => iconv.decode(octets, label));
  return true;
}

function normalise(charset: string): string {
  const label = charset.trim().toLowerCase().slice(0, 60);
  return aliases[label] ?? label;
}

function decoderOf(label: string): Decode | undefined {
  if (decoders.has(label)) return decoders.get(label);
  const decode = createDecoder(label);
  remember(label, decode);
  return decode;
}

function remember(label: string, decode: Decode | undefined): void {
  // Made-up labels must not fill the memory.
  if (decoders.size >= maxCachedDecoders) decoders.clear();
  decoders.set(label, decode);
}

function createDecoder(label: string): Decode | undefined {
  if (label === 'utf-7' || label === 'utf7' || label === 'unicode-1-1-utf-7') return decodeUtf7;
  if (label === 'utf-16' || label === 'utf16') return decodeUtf16;
  try {
    const decoder = new TextDecoder(label);
    if (decoder.encoding === 'windows-1252') return decodeWindows1252;
    return (octets) => decoder.decode(octets);
  } catch {
    return undefined;
  }
}

function guess(octets: Buffer): string {
  return isUtf8(octets) ? octets.toString('utf8') : decodeWindows1252(octets);
}

/** Characters of windows-1252 at 0x80 to 0x9f. */
const windows1252 = '€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ';

/** Node 20's TextDecoder takes windows-1252 (and ISO 8859-1, which means it) for pure Latin-1. */
function decodeWindows1252(octets: Buffer): string {
  return octets.toString('latin1').replace(/[\x80-\x9f]/g, (char) => windows1252.charAt(char.charCodeAt(0) - 0x80));
}

/** RFC 2781 4.3: big-endian unless a byte order mark says otherwise. */
function decodeUtf16(octets: Buffer): string {
  const label = octets[0] === 0xff && octets[1] === 0xfe ? 'utf-16le' : 'utf-16be';
  return decoderOf(label)?.(octets) ?? octets.toString('latin1');
}

/** RFC 2152. */
function decodeUtf7(octets: Buffer): string {
  return octets.toString('latin1').replace(/\+([A-Za-z0-9+/]*)-?/g, (_, base64: string) => {
    if (base64 === '') return '+';
    const units = Buffer.from(base64, 'base64');
    return units
      .subarray(0, units.length & ~1)
      .swap16()
      .toString('utf16le');
  });
}
