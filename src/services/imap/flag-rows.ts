// FETCH (FLAGS) of messages that lie one behind the other in a view: `UID FETCH 1:* (FLAGS)` of a whole mailbox, which many clients begin with.
// One loop writes the replies from the columns that the storage keeps: a process that has just started runs it uncompiled, so it is all there is.
import { Buffer } from 'node:buffer';
import type { FlagColumns } from '#storage/mailbox.js';
import type { NumberRange } from '#util/number-set.js';
import { putDecimal } from '#util/put-text.js';
import type { Session } from './session.js';
import { TimeSlice } from './time-slice.js';

/** A block goes to the socket when it is full. */
const blockBytes = 131_072;
/** More than a row without its flags. */
const maxNumbersBytes = 64;
const nine = 0x39;
const zero = 0x30;

/**
 * @param runs sequence numbers, each run within the view
 * @returns the runs that have to be written otherwise
 * @throws the signal's reason
 */
export async function writeFlagRows(
  session: Session,
  runs: readonly NumberRange[],
  hasUid: boolean,
  signal: AbortSignal,
): Promise<readonly NumberRange[]> {
  const { output, view } = session;
  const rows = new FlagRows(session, hasUid);
  const slice = new TimeSlice();
  for (const [index, [first, last]] of runs.entries()) {
    for (let next = first; next <= last; ) {
      // Asked for again each time: others had their turn.
      const columns = view.flagColumns?.(next, last);
      const end = columns === undefined ? next : rows.fill(columns, next, last);
      if (end === next && rows.isEmpty) return [[next, last], ...runs.slice(index + 1)];
      next = end;
      if (next <= last) {
        output.octets(rows.written());
        await output.drain();
        rows.begin(output.isSent);
        if (slice.isOver) await slice.giveWay();
        signal.throwIfAborted();
      }
    }
  }
  output.octets(rows.written());
  return [];
}

class FlagRows {
  readonly #session: Session;
  readonly #middle: Buffer;
  readonly #hasUid: boolean;
  /** What follows the UID, by keyword set and flags: ` FLAGS (\Seen))` and the line end. */
  readonly #tails: ((Buffer | undefined)[] | undefined)[] = [];
  readonly #seqDigits = Buffer.alloc(16);
  readonly #uidDigits = Buffer.alloc(16);
  #block = Buffer.allocUnsafeSlow(blockBytes);
  #at = 0;

  constructor(session: Session, hasUid: boolean) {
    this.#session = session;
    this.#hasUid = hasUid;
    this.#middle = Buffer.from(hasUid ? ' FETCH (UID ' : ' FETCH (');
  }

  get isEmpty(): boolean {
    return this.#at === 0;
  }

  /** Good until `begin`. */
  written(): Buffer {
    return this.#block.subarray(0, this.#at);
  }

  /** @param isReusable what was written has been sent */
  begin(isReusable: boolean): void {
    if (!isReusable) this.#block = Buffer.allocUnsafeSlow(blockBytes);
    this.#at = 0;
  }

  /** Adds rows until the block is full. @returns the first number that was not added */
  fill({ uid, flags, keywordSet, keywordsOf }: FlagColumns, first: number, last: number): number {
    const block = this.#block;
    const middle = this.#middle;
    const hasUid = this.#hasUid;
    const seqDigits = this.#seqDigits;
    const uidDigits = this.#uidDigits;
    const middleLength = middle.length;
    let at = this.#at;
    let seqLength = putDecimal(seqDigits, 0, first);
    let uidLength = 0;
    let lastUid = -1;
    let lastSet = -1;
    let tails: (Buffer | undefined)[] = [];
    let seq = first;
    for (; seq <= last; seq += 1) {
      const row = seq - 1;
      const set = keywordSet[row] as number;
      if (set !== lastSet) {
        tails = this.#tails[set] ?? [];
        this.#tails[set] = tails;
        lastSet = set;
      }
      const system = flags[row] as number;
      const tail = tails[system] ?? this.#makeTail(tails, system, keywordsOf(set));
      const tailLength = tail.length;
      if (at + maxNumbersBytes + tailLength > block.length) break;
      if (seq > first) {
        // One more than the number before.
        let place = seqLength - 1;
        while (place >= 0 && seqDigits[place] === nine) {
          seqDigits[place] = zero;
          place -= 1;
        }
        if (place >= 0) seqDigits[place] = (seqDigits[place] as number) + 1;
        else seqLength = putDecimal(seqDigits, 0, seq);
      }
      block[at] = 0x2a;
      block[at + 1] = 0x20;
      at += 2;
      for (let index = 0; index < seqLength; index += 1) block[at + index] = seqDigits[index] as number;
      at += seqLength;
      for (let index = 0; index < middleLength; index += 1) block[at + index] = middle[index] as number;
      at += middleLength;
      if (hasUid) {
        const value = uid[row] as number;
        let place = -1;
        if (value === lastUid + 1) {
          place = uidLength - 1;
          while (place >= 0 && uidDigits[place] === nine) {
            uidDigits[place] = zero;
            place -= 1;
          }
        }
        if (place >= 0) uidDigits[place] = (uidDigits[place] as number) + 1;
        else uidLength = putDecimal(uidDigits, 0, value);
        lastUid = value;
        for (let index = 0; index < uidLength; index += 1) block[at + index] = uidDigits[index] as number;
        at += uidLength;
      }
      for (let index = 0; index < tailLength; index += 1) block[at + index] = tail[index] as number;
      at += tailLength;
    }
    this.#at = at;
    return seq;
  }

  #makeTail(tails: (Buffer | undefined)[], system: number, keywords: readonly string[]): Buffer {
    const tail = Buffer.from(`${this.#hasUid ? ' FLAGS' : 'FLAGS'} ${this.#session.flagText.list(system, keywords)})\r\n`, 'latin1');
    tails[system] = tail;
    return tail;
  }
}
