// Strings inside ENVELOPE and BODYSTRUCTURE in IMAP wire form (RFC 9051 4.3), as octet strings.
import type { OctetString } from './mime-part.js';

/** Longer text goes as a literal, so that lines stay short enough for clients with a line buffer. */
const maxQuotedBytes = 4096;
const needsCare = /[^\x01-\x09\x0b\x0c\x0e-\x21\x23-\x5b\x5d-\x7f]/;
const needsLiteral = /[\r\n\x80-\xff]/;

/**
 * A quoted string when 7-bit text allows it, else a literal `{n}`.
 *
 * NUL, which no IMAP string may hold, becomes U+FFFD in UTF-8.
 */
export function wireString(value: OctetString): OctetString {
  if (value.length <= maxQuotedBytes && !needsCare.test(value)) return `"${value}"`;
  const text = value.includes('\0') ? value.replaceAll('\0', '\xef\xbf\xbd') : value;
  if (text.length > maxQuotedBytes || needsLiteral.test(text)) return `{${text.length}}\r\n${text}`;
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}

export function wireNstring(value: OctetString | null | undefined): OctetString {
  return value === null || value === undefined ? 'NIL' : wireString(value);
}
