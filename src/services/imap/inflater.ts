// The compressed octets of a client (RFC 4978), taken apart so that the stream can be left again.
//
// UNAUTHENTICATE ends the compression right behind its line end (RFC 8437 4.1), and what follows, perhaps in the same packet, is not compressed.
// Inflating may therefore never run ahead of the commands. A client has to flush after UNAUTHENTICATE: its octets then end with the empty block
// 00 00 FF FF, or with the end of the deflate stream. So they are inflated up to such a mark at a time, and where the text so far ends with a line
// that looks like UNAUTHENTICATE the rest is held until its reader asks for more: it was no command then. The line itself is held while its mark
// may still be on the way, for a moment: the end of a stream cannot be told from a pause, and some clients flush without a mark.
import { createInflateRaw, type InflateRaw } from 'node:zlib';

const lineFeed = 10;
/** What Z_SYNC_FLUSH and Z_FULL_FLUSH end with. Inside compressed data it may come by chance, which does no harm. */
const flushMark = Buffer.from([0, 0, 0xff, 0xff]);
/** Compressed octets that wait: above this the connection is not read. */
const maxWaitingBytes = 65_536;
/** Text kept to look for the command; longer tags are not found, and then nothing is held. */
const maxTailChars = 300;
/** For octets that were sent together. */
const markGraceMs = 50;
const leavePattern = /(?:^|\n)[^\s]+ UNAUTHENTICATE\r?\n$/i;

export interface InflaterEvents {
  readonly onData: (chunk: Buffer) => void;
  /** The octets are no deflate stream, or go on behind its end. */
  readonly onError: () => void;
  /** Shall the connection be read? */
  readonly onPressure: (isFull: boolean) => void;
  /** Everything that came has been passed on. */
  readonly onIdle: () => void;
}

export class Inflater {
  readonly #inflate: InflateRaw = createInflateRaw();
  readonly #events: InflaterEvents;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #isFull = false;
  /** The piece that is being inflated. */
  #piece: Buffer | undefined;
  /** It was inflated; its text may still wait to be read. */
  #isPieceDone = false;
  #isHeld = false;
  /** The deflate stream has ended in the current piece, with this many octets left over. */
  #restBytes: number | undefined;
  /** Octets in the pieces before this one. */
  #fedBytes = 0;
  /** Last octets of what was fed, in which a mark may begin. */
  #markHead: Buffer = Buffer.alloc(0);
  #isAtMark = false;
  #tail = '';

  readonly #graceMs: number;
  /** Text that ends with the line, while its mark has not come. */
  #withheld: Buffer | undefined;
  #grace: NodeJS.Timeout | undefined;

  constructor(events: InflaterEvents, graceMs = markGraceMs) {
    this.#events = events;
    this.#graceMs = graceMs;
    this.#inflate.on('data', (chunk: Buffer) => {
      this.#tail = (this.#tail + chunk.subarray(-maxTailChars).toString('latin1')).slice(-maxTailChars);
      this.#deliver();
      if (chunk[chunk.length - 1] === lineFeed && leavePattern.test(this.#tail)) this.#withheld = chunk;
      else events.onData(chunk);
      this.#settle();
    });
    this.#inflate.on('error', () => events.onError());
  }

  get isIdle(): boolean {
    return this.#piece === undefined && this.#waiting.length === 0 && this.#withheld === undefined;
  }

  push(chunk: Buffer): void {
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.length;
    this.#pump();
    this.#tellPressure();
  }

  pause(): void {
    this.#inflate.pause();
  }

  resume(): void {
    this.#inflate.resume();
  }

  isPaused(): boolean {
    return this.#inflate.isPaused();
  }

  /** The reader has everything so far and wants more. */
  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    if (this.#restBytes !== undefined) this.#events.onError();
    this.#pump();
    this.#tellPressure();
  }

  /** Ends the compression. @returns what came behind it, as it came */
  end(): Buffer {
    const piece = this.#piece;
    const rest = piece === undefined || this.#restBytes === undefined ? [] : [piece.subarray(piece.length - this.#restBytes)];
    const octets = Buffer.concat([...rest, ...this.#waiting]);
    this.destroy();
    return octets;
  }

  destroy(): void {
    clearTimeout(this.#grace);
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#inflate.destroy();
  }

  #pump(): void {
    if (this.#piece !== undefined || this.#isHeld) return;
    const piece = this.#takePiece();
    if (piece === undefined) return;
    this.#piece = piece;
    this.#isPieceDone = false;
    this.#inflate.write(piece, () => {
      const left = this.#fedBytes + piece.length - this.#inflate.bytesWritten;
      if (left > 0) this.#restBytes = left;
      this.#isPieceDone = true;
      this.#settle();
    });
  }

  /** The octets up to the next mark, or all there are. */
  #takePiece(): Buffer | undefined {
    const chunk = this.#waiting.shift();
    if (chunk === undefined) return undefined;
    const head = this.#markHead.subarray(-(flushMark.length - 1));
    const seam = Buffer.concat([head, chunk.subarray(0, flushMark.length - 1)]);
    const acrossAt = seam.indexOf(flushMark);
    const insideAt = chunk.indexOf(flushMark);
    const ends = [
      acrossAt < 0 ? chunk.length : acrossAt + flushMark.length - head.length,
      insideAt < 0 ? chunk.length : insideAt + flushMark.length,
    ];
    const piece = chunk.subarray(0, Math.min(...ends));
    if (piece.length < chunk.length) this.#waiting.unshift(chunk.subarray(piece.length));
    this.#waitingBytes -= piece.length;
    this.#markHead = Buffer.concat([head, piece]).subarray(-flushMark.length);
    return piece;
  }

  #settle(): void {
    const piece = this.#piece;
    if (piece === undefined || !this.#isPieceDone || this.#inflate.readableLength > 0) return;
    if (this.#restBytes === undefined) this.#nextPiece(piece);
    if (this.#withheld !== undefined && (this.#restBytes !== undefined || this.#isAtMark)) {
      this.#isHeld = true;
      this.#deliver();
      return;
    }
    if (this.#restBytes !== undefined) {
      this.#events.onError();
      return;
    }
    if (this.#withheld !== undefined && this.#waiting.length === 0) {
      this.#grace ??= setTimeout(() => {
        this.#deliver();
        if (this.isIdle) this.#events.onIdle();
      }, this.#graceMs);
    }
    this.#pump();
    this.#tellPressure();
    if (this.isIdle) this.#events.onIdle();
  }

  #deliver(): void {
    const text = this.#withheld;
    if (text === undefined) return;
    clearTimeout(this.#grace);
    this.#grace = undefined;
    this.#withheld = undefined;
    this.#events.onData(text);
  }

  #nextPiece(piece: Buffer): void {
    this.#fedBytes += piece.length;
    this.#isAtMark = this.#markHead.equals(flushMark);
    this.#piece = undefined;
  }

  #tellPressure(): void {
    const isFull = this.#waitingBytes > maxWaitingBytes;
    if (isFull === this.#isFull) return;
    this.#isFull = isFull;
    this.#events.onPressure(isFull);
  }
}
