/** `\r`, `\n`, `\0`, `\t`, `\\`, `\xHH` to octets (a binary string); other text becomes UTF-8. */
export function decodeEscapes(text: string): string {
  const octets = Buffer.from(text, 'utf8').toString('latin1');
  const single: Readonly<Record<string, string>> = { r: '\r', n: '\n', 0: '\0', t: '\t', '\\': '\\' };
  return octets.replace(/\\(?:x([0-9a-f]{2})|([rn0t\\]))/gi, (whole, hex: string | undefined, name: string | undefined) =>
    hex === undefined ? (single[name ?? ''] ?? whole) : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}
