// Modified UTF-7 (RFC 3501 5.1.3), the encoding of mailbox names on disk.
import { toUSVString } from 'node:util';

/** Text to modified UTF-7. Lone surrogates become U+FFFD. */
export function encodeMailboxUtf7(text: string): string {
  if (/^[\x20-\x25\x27-\x7e]*$/.test(text)) return text;
  return toUSVString(text).replace(/&|[^\x20-\x7e]+/g, (run) => {
    if (run === '&') return '&-';
    const octets = Buffer.from(run, 'utf16le').swap16();
    return `&${octets.toString('base64').replace(/=+$/, '').replaceAll('/', ',')}-`;
  });
}

/**
 * Modified UTF-7 to text.
 * @returns undefined unless the input is the one correct encoding of its text, so that two names on disk never look alike
 */
export function decodeMailboxUtf7(encoded: string): string | undefined {
  if (/[^\x20-\x7e]/.test(encoded)) return undefined;
  if (!encoded.includes('&')) return encoded;
  const text = encoded.replace(/&([^-]*)-/g, (_, base64: string) => {
    if (base64 === '') return '&';
    const octets = Buffer.from(base64.replaceAll(',', '/'), 'base64');
    return octets.length % 2 === 0 ? octets.swap16().toString('utf16le') : '\ufffd';
  });
  return encodeMailboxUtf7(text) === encoded ? text : undefined;
}
