// Content transfer encodings (RFC 2045 6), decoded in pieces of any size. The sum of the pieces' lengths is the exact decoded size that
// BINARY.SIZE reports (RFC 3516 4.3). Broken input is decoded as far as it makes sense; nothing throws.
import { Buffer } from 'node:buffer';

export interface TransferDecoder {
  /** Takes encoded octets, gives decoded ones; the result is not tied to the chunk. */
  push(chunk: Buffer): Buffer;
  /** What was held back. */
  end(): Buffer;
}

const nothing = Buffer.alloc(0);

/** @param encoding lower-case. @returns undefined for an encoding that is not known (IMAP: UNKNOWN-CTE) */
export function createTransferDecoder(encoding: string): TransferDecoder | undefined {
  switch (encoding) {
    case '7bit':
    case '8bit':
    case 'binary':
      return new IdentityDecoder();
    case 'base64':
      return new Base64Decoder();
    case 'quoted-printable':
      return new QuotedPrintableDecoder();
    default:
      return undefined;
  }
}

/** Decodes a whole body; octets of an unknown encoding are returned as they are. */
export function decodeTransfer(body: Buffer, encoding: string): Buffer {
  const decoder = createTransferDecoder(encoding);
  if (decoder === undefined || decoder instanceof IdentityDecoder) return body;
  const first = decoder.push(body);
  const rest = decoder.end();
  return rest.length === 0 ? first : Buffer.concat([first, rest]);
}

class IdentityDecoder implements TransferDecoder {
  push(chunk: Buffer): Buffer {
    return Buffer.from(chunk);
  }

  end(): Buffer {
    return nothing;
  }
}

const skip = 64;
const pad = 65;
const base64Values = new Uint8Array(256).fill(skip);
for (const [index, char] of [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'].entries()) {
  base64Values[char.charCodeAt(0)] = index;
}
base64Values[0x3d] = pad;

/** RFC 2045 6.8: characters outside the alphabet are ignored. Padding ends a quantum; what follows is decoded on (joined encodings). */
export class Base64Decoder implements TransferDecoder {
  #bits = 0;
  #count = 0;

  push(chunk: Buffer): Buffer {
    const out = Buffer.allocUnsafe(Math.ceil(((chunk.length + 3) * 3) / 4));
    let used = 0;
    let bits = this.#bits;
    let count = this.#count;
    for (let index = 0; index < chunk.length; index += 1) {
      const value = base64Values[chunk[index] as number] as number;
      if (value < skip) {
        bits = (bits << 6) | value;
        count += 1;
        if (count === 4) {
          out[used] = bits >> 16;
          out[used + 1] = bits >> 8;
          out[used + 2] = bits;
          used += 3;
          bits = 0;
          count = 0;
        }
      } else if (value === pad) {
        used += writeQuantum(out, used, bits, count);
        bits = 0;
        count = 0;
      }
    }
    this.#bits = bits;
    this.#count = count;
    return out.subarray(0, used);
  }

  end(): Buffer {
    const out = Buffer.allocUnsafe(2);
    const used = writeQuantum(out, 0, this.#bits, this.#count);
    this.#bits = 0;
    this.#count = 0;
    return out.subarray(0, used);
  }
}

/** An incomplete quantum: two characters hold one octet, three hold two. */
function writeQuantum(out: Buffer, at: number, bits: number, count: number): number {
  if (count === 2) {
    out[at] = bits >> 4;
    return 1;
  }
  if (count === 3) {
    out[at] = bits >> 10;
    out[at + 1] = bits >> 2;
    return 2;
  }
  return 0;
}

/** White space before a line end is padding added on the way (RFC 2045 6.7 rule 3), but a run longer than this is kept. */
const maxPaddingBytes = 1000;

/** RFC 2045 6.7. An `=` that is neither an octet nor a soft line break stays as it is. */
export class QuotedPrintableDecoder implements TransferDecoder {
  /** From a `=` or a run of white space whose meaning the next octets decide. */
  #held: Buffer = nothing;
  /** Inside a run of white space that is too long to be padding. */
  #isKeepingRun = false;

  push(chunk: Buffer): Buffer {
    return this.#decode(this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]), false);
  }

  end(): Buffer {
    return this.#decode(this.#held, true);
  }

  #decode(input: Buffer, isFinal: boolean): Buffer {
    const out = Buffer.allocUnsafe(input.length);
    const { length } = input;
    let used = 0;
    let position = 0;
    this.#held = nothing;
    while (position < length) {
      const code = input[position] as number;
      if (code === 0x3d) {
        const step = readEscape(input, position, isFinal);
        if (step === undefined) break;
        this.#isKeepingRun = false;
        if (step.octet !== undefined) out[used++] = step.octet;
        position = step.next;
      } else if (isBlankAt(input, position) && !this.#isKeepingRun) {
        const end = blankEnd(input, position, position + maxPaddingBytes);
        this.#isKeepingRun = end - position === maxPaddingBytes;
        const isOpen = end === length || (input[end] === 0x0d && end + 1 === length);
        if (isOpen && !this.#isKeepingRun && !isFinal) break;
        const isPadding = !this.#isKeepingRun && (end === length || isLineEnd(input, end));
        if (!isPadding) used += input.copy(out, used, position, end);
        position = end;
      } else {
        this.#isKeepingRun = this.#isKeepingRun && isBlankAt(input, position);
        out[used++] = code;
        position += 1;
      }
    }
    if (position < length) this.#held = Buffer.from(input.subarray(position));
    return out.subarray(0, used);
  }
}

function isBlankAt(input: Buffer, position: number): boolean {
  return input[position] === 0x20 || input[position] === 0x09;
}

function blankEnd(input: Buffer, from: number, limit: number): number {
  let end = from;
  const stop = Math.min(limit, input.length);
  while (end < stop && isBlankAt(input, end)) end += 1;
  return end;
}

function isLineEnd(input: Buffer, position: number): boolean {
  return input[position] === 0x0a || (input[position] === 0x0d && input[position + 1] === 0x0a);
}

/** What `=` at `position` stands for; undefined when more octets are needed. */
function readEscape(input: Buffer, position: number, isFinal: boolean): { readonly next: number; readonly octet?: number } | undefined {
  const { length } = input;
  const high = hexValue(input[position + 1]);
  const low = hexValue(input[position + 2]);
  if (high >= 0 && low >= 0) return { next: position + 3, octet: high * 16 + low };
  if (high >= 0 && position + 2 >= length && !isFinal) return undefined;
  const end = blankEnd(input, position + 1, position + 1 + maxPaddingBytes);
  const isRunTooLong = end - position > maxPaddingBytes;
  if (!isRunTooLong && (end >= length || (input[end] === 0x0d && end + 1 >= length))) {
    // At the very end a soft line break may lack its line end.
    return isFinal ? { next: end >= length ? length : end + 1 } : undefined;
  }
  if (input[end] === 0x0a) return { next: end + 1 };
  if (input[end] === 0x0d && input[end + 1] === 0x0a) return { next: end + 2 };
  return { next: position + 1, octet: 0x3d };
}

function hexValue(code: number | undefined): number {
  if (code === undefined) return -1;
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}
