// Received octets as lines, for POP3, SMTP and LMTP. Pure: octets in, lines out; the caller owns sockets and clocks.

export type LineStep =
  /** Without its line end. `isBare`: ended by LF alone. */
  | { readonly kind: 'line'; readonly line: Buffer; readonly isBare: boolean }
  /** No whole line yet. */
  | { readonly kind: 'more' }
  /** A line longer than the limit has ended and was dropped. */
  | { readonly kind: 'too-long' };

const lf = 0x0a;
const cr = 0x0d;
const empty = Buffer.alloc(0);
const more: LineStep = { kind: 'more' };

/**
 * Cuts a stream into lines ended by CRLF (or LF alone, as every server accepts).
 *
 * Never holds more than `maxLineBytes` of an unfinished line: a longer one is dropped while it arrives and reported once it ends.
 */
export class LineReader {
  readonly #maxLineBytes: number;
  #pending: Buffer = empty;
  /** Where to look for LF next, so that a slowly arriving line is not scanned again. */
  #scanned = 0;
  #isSkipping = false;

  /** @param maxLineBytes without the line end */
  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes;
  }

  /** Takes ownership of the chunk. Call `next` until it says `more` before pushing again. */
  push(chunk: Buffer): void {
    this.#pending = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
  }

  next(): LineStep {
    const end = this.#pending.indexOf(lf, this.#scanned);
    if (end < 0) {
      this.#scanned = this.#pending.length;
      if (this.#isSkipping || this.#pending.length > this.#maxLineBytes + 1) {
        this.#isSkipping = true;
        this.#pending = empty;
        this.#scanned = 0;
      }
      return more;
    }
    const isBare = end === 0 || this.#pending[end - 1] !== cr;
    const line = this.#pending.subarray(0, isBare ? end : end - 1);
    this.#pending = this.#pending.subarray(end + 1);
    this.#scanned = 0;
    if (this.#isSkipping || line.length > this.#maxLineBytes) {
      this.#isSkipping = false;
      return { kind: 'too-long' };
    }
    return { kind: 'line', line, isBare };
  }

  /** Octets received and not yet returned as lines. */
  get pendingBytes(): number {
    return this.#pending.length;
  }

  /** Takes out everything not yet returned, for a change of mode (message data, TLS). */
  takeRest(): Buffer {
    const rest = this.#pending;
    this.#pending = empty;
    this.#scanned = 0;
    return rest;
  }
}
