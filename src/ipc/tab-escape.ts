// Dovecot's tab-separated lines (auth, anvil, master client, stats): fields are separated by TAB, lines end with LF, and the octets that would
// break this travel as \001 followed by a digit or letter.
//
// NUL = \001 0, \001 = \001 1, TAB = \001 t, LF = \001 n, CR = \001 r. A reader takes any other octet after \001 for itself, and drops a
// \001 at the very end.

const needsEscape = /[\0\u0001\t\n\r]/;
const needsEscapeAll = /[\0\u0001\t\n\r]/g;
const escapedAll = /\u0001([\s\S]?)/g;

const escapes: Readonly<Record<string, string>> = { '\0': '0', '\u0001': '1', '\t': 't', '\n': 'n', '\r': 'r' };
const unescapes: Readonly<Record<string, string>> = { '0': '\0', '1': '\u0001', t: '\t', n: '\n', r: '\r' };

export function tabEscape(text: string): string {
  if (!needsEscape.test(text)) return text;
  return text.replace(needsEscapeAll, (octet) => `\u0001${escapes[octet] ?? ''}`);
}

export function tabUnescape(text: string): string {
  if (!text.includes('\u0001')) return text;
  return text.replace(escapedAll, (_, octet: string) => unescapes[octet] ?? octet);
}

/** One line without its LF to its fields, unescaped. */
export function parseTabLine(line: string): string[] {
  const fields = line.split('\t');
  return line.includes('\u0001') ? fields.map(tabUnescape) : fields;
}

/** Fields to one line with its LF. */
export function encodeTabLine(fields: readonly string[]): string {
  return `${fields.map(tabEscape).join('\t')}\n`;
}
