// Values to wire form. Everything is a binary string (one char per octet) so that a reply line is built by plain concatenation and turned
// into octets once per buffer.
import { encodeUtf8, isAstringChar } from './grammar.js';
import { encodeModifiedUtf7 } from './mailbox-name.js';

/** Longer strings go out as literals. */
const maxQuotedChars = 4096;

/** True when the binary string may stand between quotes: no CR, LF, NUL, and 8-bit only where the client understands UTF-8. */
function isQuotable(binary: string, isUtf8: boolean): boolean {
  if (binary.length > maxQuotedChars) return false;
  for (let index = 0; index < binary.length; index++) {
    const octet = binary.charCodeAt(index);
    if (octet === 0 || octet === 0x0a || octet === 0x0d || (octet >= 0x80 && !isUtf8)) return false;
  }
  return true;
}

/** string: quoted, or a literal when it cannot be quoted. */
export function encodeString(binary: string, isUtf8 = false): string {
  if (!isQuotable(binary, isUtf8)) return `{${binary.length}}\r\n${binary}`;
  return /["\\]/.test(binary) ? `"${binary.replace(/["\\]/g, '\\$&')}"` : `"${binary}"`;
}

/** nstring: NIL for undefined. */
export function encodeNString(binary: string | undefined, isUtf8 = false): string {
  return binary === undefined ? 'NIL' : encodeString(binary, isUtf8);
}

/** astring: an atom where possible. */
export function encodeAstring(binary: string, isUtf8 = false): string {
  if (binary === '' || binary.length > 128) return encodeString(binary, isUtf8);
  for (let index = 0; index < binary.length; index++) {
    const octet = binary.charCodeAt(index);
    if (octet >= 0x80 || !isAstringChar(octet)) return encodeString(binary, isUtf8);
  }
  return binary.toUpperCase() === 'NIL' ? `"${binary}"` : binary;
}

/** Text (not octets) as a string. */
export function encodeText(text: string, isUtf8 = false): string {
  return encodeString(encodeUtf8(text), isUtf8);
}

/** A mailbox name as astring: modified UTF-7, or UTF-8 once the client has asked for it. */
export function encodeMailbox(name: string, isUtf8: boolean): string {
  return isUtf8 ? encodeAstring(encodeUtf8(name), true) : encodeAstring(encodeModifiedUtf7(name));
}

/** As most texts are. */
const printableAscii = /^[\x20-\x7e]*$/;

/**
 * Text for the human-readable end of a response line: one line, printable.
 * @param isUtf8 without it other characters than ASCII, which are those of mailbox names, are in modified UTF-7: IMAP4rev1 has no others in texts
 *   (RFC 3501 9 text, RFC 9051 9 text)
 */
export function encodeResponseText(text: string, isUtf8: boolean): string {
  if (printableAscii.test(text)) return text;
  const line = text.replace(/[\r\n\0]+/g, ' ');
  const isAscii = encodeUtf8(line) === line;
  return isAscii || isUtf8 ? encodeUtf8(line) : encodeModifiedUtf7(line);
}
