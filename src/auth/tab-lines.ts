// The line layer of the auth protocols: LF-terminated lines of tab-separated fields, as in ipc/tab-escape.ts, with a limit.
import { parseTabLine } from '#ipc/tab-escape.js';

/** Longest line either side may send, LF included. */
export const maxAuthLineBytes = 16_384;

const nothing = Buffer.alloc(0);

/** Splits received octets into lines. A line over the limit ends the connection: the peer cannot be trusted to be in step any more. */
export class TabLines {
  #pending: Buffer = nothing;

  /** Complete lines as unescaped fields, or 'too-long'. The incomplete rest is kept. */
  push(chunk: Buffer): readonly (readonly string[])[] | 'too-long' {
    const octets = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    const lines: (readonly string[])[] = [];
    let from = 0;
    for (;;) {
      const end = octets.indexOf(10, from);
      if (end < 0) break;
      if (end + 1 - from > maxAuthLineBytes) return 'too-long';
      lines.push(parseTabLine(octets.toString('utf8', from, end)));
      from = end + 1;
    }
    if (octets.length - from > maxAuthLineBytes) return 'too-long';
    // A copy: the chunk may be a large pooled buffer.
    this.#pending = from === octets.length ? nothing : Buffer.from(octets.subarray(from));
    return lines;
  }
}

/** `name=value` and bare names (value ''), later ones win. */
export function parseParameters(fields: readonly string[]): Map<string, string> {
  const map = new Map<string, string>();
  for (const field of fields) {
    const at = field.indexOf('=');
    if (at < 0) map.set(field, '');
    else map.set(field.slice(0, at), field.slice(at + 1));
  }
  return map;
}

/** Strict base64 of the SASL layer; undefined when it is not. */
export function decodeBase64(text: string): Buffer | undefined {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  return Buffer.from(text, 'base64');
}

/** A 32-bit id as it travels: decimal, no sign. */
export function parseId(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= 0xffff_ffff ? id : undefined;
}
