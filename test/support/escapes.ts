/** `\r`, `\n`, `\0`, `\t`, `\\`, `\xHH` in a binary string to octets. */
export function decodeEscapes(binary: string): string {
  const single: Readonly<Record<string, string>> = { r: '\r', n: '\n', 0: '\0', t: '\t', '\\': '\\' };
  return binary.replace(/\\(?:x([0-9a-f]{2})|([rn0t\\]))/gi, (whole, hex: string | undefined, name: string | undefined) =>
    hex === undefined ? (single[name ?? ''] ?? whole) : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}
