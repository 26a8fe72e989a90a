// Dot stuffing both ways (RFC 5321 4.5.2, RFC 1939 3). Only CRLF "." CRLF ends the data: accepting LF "." LF or the mixtures is how one
// message is smuggled inside another (CVE-2023-51764 and its relatives).

const cr = 0x0d;
const lf = 0x0a;
const dot = 0x2e;
const terminatorLine = Buffer.from('.\r\n');
const crlfDot = Buffer.from('\r\n.');

export interface DotChunk {
  /** Message octets, dots unstuffed; views into what was pushed. */
  readonly content: readonly Buffer[];
  /** Octets after the terminator, once it was seen. */
  readonly rest: Buffer | undefined;
}

/** Takes the octets after `354`/`+OK` until the terminating line. */
export class DotDecoder {
  /** The tail that cannot be judged yet: at most `\r\n.\r`. At the start a line begins, as if CRLF had come before. */
  #held: Buffer = Buffer.alloc(0);
  #atLineStart = true;
  readonly #looksForBareNewlines: boolean;
  #hasBareNewline = false;
  #lastByte = lf;

  /** @param looksForBareNewlines each line end is looked at, which costs as much as the rest */
  constructor({ looksForBareNewlines }: { readonly looksForBareNewlines: boolean }) {
    this.#looksForBareNewlines = looksForBareNewlines;
  }

  /** True once a CR or LF outside a CRLF pair has been seen, where they are looked for. */
  get hasBareNewline(): boolean {
    return this.#hasBareNewline;
  }

  push(chunk: Buffer): DotChunk {
    const data = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    this.#held = data.subarray(0, 0);
    const content: Buffer[] = [];
    let from = 0;
    let lineStart = this.#atLineStart ? 0 : -1;
    for (;;) {
      if (lineStart < 0) {
        const found = data.indexOf(crlfDot, from);
        if (found < 0) break;
        lineStart = found + 2;
      }
      if (lineStart >= data.length) {
        this.#keep(data, from, lineStart, content);
        this.#atLineStart = true;
        return { content, rest: undefined };
      }
      if (data[lineStart] === dot) {
        const follow = data.subarray(lineStart, lineStart + 3);
        if (follow.equals(terminatorLine)) {
          this.#emit(data.subarray(from, lineStart), content);
          return { content, rest: data.subarray(lineStart + 3) };
        }
        if (follow.length < 3 && terminatorLine.subarray(0, follow.length).equals(follow)) {
          this.#keep(data, from, lineStart, content);
          this.#atLineStart = true;
          return { content, rest: undefined };
        }
        this.#emit(data.subarray(from, lineStart), content);
        from = lineStart + 1;
      }
      lineStart = -1;
    }
    // Hold back what may be the beginning of CRLF ".".
    const held =
      data.length > from && data[data.length - 1] === cr
        ? 1
        : data.length - from >= 2 && data[data.length - 2] === cr && data[data.length - 1] === lf
          ? 2
          : 0;
    if (held === 2) {
      this.#emit(data.subarray(from), content);
      this.#atLineStart = true;
      return { content, rest: undefined };
    }
    this.#keep(data, from, data.length - held, content);
    this.#atLineStart = false;
    return { content, rest: undefined };
  }

  #keep(data: Buffer, from: number, end: number, content: Buffer[]): void {
    this.#emit(data.subarray(from, end), content);
    this.#held = data.subarray(end);
  }

  #emit(part: Buffer, content: Buffer[]): void {
    if (part.length === 0) return;
    if (this.#looksForBareNewlines && !this.#hasBareNewline) this.#checkNewlines(part);
    content.push(part);
  }

  #checkNewlines(part: Buffer): void {
    if (this.#lastByte === cr && part[0] !== lf) this.#hasBareNewline = true;
    for (let at = part.indexOf(lf); at >= 0; at = part.indexOf(lf, at + 1)) {
      if ((at === 0 ? this.#lastByte : part[at - 1]) !== cr) {
        this.#hasBareNewline = true;
        return;
      }
    }
    for (let at = part.indexOf(cr); at >= 0 && at < part.length - 1; at = part.indexOf(cr, at + 1)) {
      if (part[at + 1] !== lf) {
        this.#hasBareNewline = true;
        return;
      }
    }
    this.#lastByte = part[part.length - 1] ?? this.#lastByte;
  }
}

/**
 * Doubles dots at line starts of message octets on their way to a client. Bare LF is left alone (a line starts only after CRLF for SMTP,
 * but clients of POP3 also treat LF as a line end, so a dot after any LF is doubled).
 */
export class DotEncoder {
  #lastByte = lf;

  /** @returns buffers to send, in order; views into `chunk` */
  encode(chunk: Buffer): Buffer[] {
    const parts: Buffer[] = [];
    let from = 0;
    if (chunk.length > 0 && this.#lastByte === lf && chunk[0] === dot) parts.push(Buffer.from('.'));
    for (let at = chunk.indexOf('\n.'); at >= 0; at = chunk.indexOf('\n.', at + 1)) {
      parts.push(chunk.subarray(from, at + 1), Buffer.from('.'));
      from = at + 1;
    }
    parts.push(chunk.subarray(from));
    this.#lastByte = chunk[chunk.length - 1] ?? this.#lastByte;
    return parts;
  }

  /** The closing line, with a line end before it when the content had none. */
  end(): Buffer {
    return Buffer.from(this.#lastByte === lf ? '.\r\n' : '\r\n.\r\n');
  }
}
