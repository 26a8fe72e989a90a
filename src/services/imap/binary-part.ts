// Content-transfer-encodings undone for BINARY (RFC 3516).

const known: ReadonlySet<string> = new Set(['', '7bit', '8bit', 'binary', 'base64', 'quoted-printable']);

export function isKnownEncoding(encoding: string): boolean {
  return known.has(encoding);
}

/** @returns undefined when the encoding is not known */
export function decodePart(raw: Buffer, encoding: string): Buffer | undefined {
  switch (encoding) {
    case '':
    case '7bit':
    case '8bit':
    case 'binary':
      return raw;
    case 'base64':
      return Buffer.from(raw.toString('latin1'), 'base64');
    case 'quoted-printable':
      return decodeQuotedPrintable(raw);
    default:
      return undefined;
  }
}

function hexValue(octet: number | undefined): number {
  if (octet === undefined) return -1;
  if (octet >= 0x30 && octet <= 0x39) return octet - 0x30;
  const lower = octet | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/** RFC 2045 6.7; broken escapes stay as they are. */
function decodeQuotedPrintable(raw: Buffer): Buffer {
  const out = Buffer.allocUnsafe(raw.length);
  let length = 0;
  let at = 0;
  while (at < raw.length) {
    const octet = raw[at] ?? 0;
    if (octet === 0x20 || octet === 0x09) {
      // Blanks at the end of a line were added on the way (rule 3).
      let end = at;
      while (raw[end] === 0x20 || raw[end] === 0x09) end += 1;
      const isLineEnd = end === raw.length || raw[end] === 0x0a || (raw[end] === 0x0d && raw[end + 1] === 0x0a);
      if (!isLineEnd) length += raw.copy(out, length, at, end);
      at = end;
      continue;
    }
    if (octet !== 0x3d) {
      out[length++] = octet;
      at += 1;
      continue;
    }
    const high = hexValue(raw[at + 1]);
    const low = hexValue(raw[at + 2]);
    if (high >= 0 && low >= 0) {
      out[length++] = high * 16 + low;
      at += 3;
      continue;
    }
    const softEnd = softBreakEnd(raw, at + 1);
    if (softEnd > 0) at = softEnd;
    else {
      out[length++] = octet;
      at += 1;
    }
  }
  return out.subarray(0, length);
}

/** Position behind a soft line break whose `=` stands before `from`; 0 when it is none. */
function softBreakEnd(raw: Buffer, from: number): number {
  let at = from;
  while (raw[at] === 0x20 || raw[at] === 0x09) at += 1;
  if (raw[at] === 0x0a) return at + 1;
  if (raw[at] === 0x0d && raw[at + 1] === 0x0a) return at + 2;
  return at === raw.length ? at : 0;
}
