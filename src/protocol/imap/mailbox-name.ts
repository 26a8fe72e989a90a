// Mailbox names on the wire: modified UTF-7 (RFC 3501 5.1.3) or UTF-8 (RFC 6855, RFC 9051 5.1).
import { decodeUtf8 } from './grammar.js';

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,';
const values = new Int8Array(128).fill(-1);
for (let index = 0; index < alphabet.length; index++) values[alphabet.charCodeAt(index)] = index;

const ampersand = 0x26;
const minus = 0x2d;

/**
 * Modified UTF-7 to text.
 * @param binary one char per octet
 * @returns undefined when it is not valid: octets outside printable ASCII, broken base64, unpaired surrogates, ASCII that was encoded,
 * two adjacent shifts (each name has exactly one form, RFC 3501 5.1.3)
 */
export function decodeModifiedUtf7(binary: string): string | undefined {
  if (!binary.includes('&')) return isPrintableAscii(binary) ? binary : undefined;
  let out = '';
  let index = 0;
  while (index < binary.length) {
    const code = binary.charCodeAt(index);
    if (code !== ampersand) {
      if (code < 0x20 || code > 0x7e) return undefined;
      out += binary[index];
      index += 1;
      continue;
    }
    const end = binary.indexOf('-', index + 1);
    if (end < 0) return undefined;
    if (end === index + 1) {
      out += '&';
    } else {
      const run = decodeRun(binary, index + 1, end);
      if (run === undefined) return undefined;
      out += run;
      if (binary.charCodeAt(end + 1) === ampersand && binary.charCodeAt(end + 2) !== minus) return undefined;
    }
    index = end + 1;
  }
  return out;
}

function isPrintableAscii(binary: string): boolean {
  for (let index = 0; index < binary.length; index++) {
    const code = binary.charCodeAt(index);
    if (code < 0x20 || code > 0x7e) return false;
  }
  return true;
}

function decodeRun(binary: string, start: number, end: number): string | undefined {
  let out = '';
  let bits = 0;
  let pending = 0;
  let high = 0;
  for (let index = start; index < end; index++) {
    const value = values[binary.charCodeAt(index)] ?? -1;
    if (value < 0) return undefined;
    bits = (bits << 6) | value;
    pending += 6;
    if (pending < 16) continue;
    pending -= 16;
    const unit = (bits >> pending) & 0xffff;
    bits &= (1 << pending) - 1;
    if (unit >= 0xd800 && unit < 0xdc00) {
      if (high !== 0) return undefined;
      high = unit;
    } else if (unit >= 0xdc00 && unit < 0xe000) {
      if (high === 0) return undefined;
      out += String.fromCharCode(high, unit);
      high = 0;
    } else {
      if (high !== 0 || (unit >= 0x20 && unit <= 0x7e)) return undefined;
      out += String.fromCharCode(unit);
    }
  }
  if (high !== 0 || pending >= 6 || bits !== 0 || out === '') return undefined;
  return out;
}

/** Text to modified UTF-7. Unpaired surrogates become U+FFFD. */
export function encodeModifiedUtf7(text: string): string {
  if (!text.includes('&') && isPrintableAscii(text)) return text;
  const wellFormed = Buffer.from(text, 'utf8').toString('utf8');
  let out = '';
  let run = '';
  const flush = (): void => {
    if (run === '') return;
    out += `&${encodeRun(run)}-`;
    run = '';
  };
  for (let index = 0; index < wellFormed.length; index++) {
    const code = wellFormed.charCodeAt(index);
    if (code >= 0x20 && code <= 0x7e) {
      flush();
      out += code === ampersand ? '&-' : wellFormed[index];
    } else run += wellFormed[index];
  }
  flush();
  return out;
}

function encodeRun(run: string): string {
  const units = Buffer.from(run, 'utf16le').swap16();
  return units.toString('base64').replaceAll('=', '').replaceAll('/', ',');
}

/**
 * A mailbox name as a client wrote it to text. INBOX is found in any case, alone or as the first level.
 * @param isUtf8 names are UTF-8 (UTF8=ACCEPT or IMAP4rev2 is on)
 * @returns undefined when it cannot be a name
 */
export function decodeMailboxName(binary: string, isUtf8: boolean): string | undefined {
  let name: string | undefined;
  if (isUtf8) {
    name = decodeUtf8(binary);
    if (name.includes('\ufffd')) return undefined;
  } else name = decodeModifiedUtf7(binary);
  if (name === undefined) return undefined;
  return name.length === 5 && name.toUpperCase() === 'INBOX' ? 'INBOX' : name;
}
