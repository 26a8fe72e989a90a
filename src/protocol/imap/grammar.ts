// Character classes and limits of the IMAP grammar (RFC 9051 9, RFC 3501 9).

/** Limits of the codec. The command line's is a setting; the others have no reason to differ between sites. */
export const grammarLimits = {
  /** Parentheses inside each other. */
  nesting: 50,
  /** OR and NOT inside each other: clients write a long choice as OR a OR b OR c ... */
  searchDepth: 2_000,
  searchKeys: 20_000,
  listItems: 10_000,
  /** Ranges in one sequence set. */
  numberRanges: 20_000,
  /** Part numbers in a section path. */
  sectionDepth: 100,
} as const;

/** What a client wrote is not IMAP. `reason` is safe to send. */
export class ImapSyntaxError extends Error {
  override readonly name = 'ImapSyntaxError';
}

/** A mailbox name that is well-formed as a string but cannot be a name: a tagged NO, not a BAD. */
export class MailboxNameError extends Error {
  override readonly name = 'MailboxNameError';
}

/** A text in a charset that we do not know (RFC 9051 7.1 BADCHARSET). */
export class BadCharsetError extends Error {
  override readonly name = 'BadCharsetError';
}

const atomBit = 1;
const astringBit = 2;
const tagBit = 4;
const listBit = 8;

/** Class bits per octet. */
const classes = new Uint8Array(256);
for (let octet = 0x21; octet < 0x7f; octet++) {
  const character = String.fromCharCode(octet);
  let bits = 0;
  if (!'(){%*"\\]'.includes(character)) bits |= atomBit | astringBit | listBit;
  if (character === ']') bits |= astringBit | listBit;
  if (character === '%' || character === '*') bits |= listBit;
  if ((bits & astringBit) !== 0 && character !== '+') bits |= tagBit;
  classes[octet] = bits;
}
// UTF-8 in atoms is not allowed by any RFC, but clients write search words and mailbox names so; servers in the field accept it.
for (let octet = 0x80; octet < 0x100; octet++) classes[octet] = astringBit | listBit;

const hasBit = (octet: number, bit: number): boolean => ((classes[octet] ?? 0) & bit) !== 0;
export const isAtomChar = (octet: number): boolean => hasBit(octet, atomBit);
export const isAstringChar = (octet: number): boolean => hasBit(octet, astringBit);
export const isTagChar = (octet: number): boolean => hasBit(octet, tagBit);
export const isListChar = (octet: number): boolean => hasBit(octet, listBit);

/** Binary string (one char per octet) to text; octets that are not UTF-8 become U+FFFD. */
export function decodeUtf8(binary: string): string {
  for (let index = 0; index < binary.length; index++) {
    if (binary.charCodeAt(index) >= 0x80) return Buffer.from(binary, 'latin1').toString('utf8');
  }
  return binary;
}

/** Text to binary string; the same string object when it is ASCII. */
export function encodeUtf8(text: string): string {
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) >= 0x80) return Buffer.from(text, 'utf8').toString('latin1');
  }
  return text;
}
