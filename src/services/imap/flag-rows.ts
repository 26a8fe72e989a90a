// FETCH (FLAGS) of messages that lie one behind the other in a view: `UID FETCH 1:* (FLAGS)` of a whole mailbox, which many clients begin with.
// One loop writes the replies from the columns that the storage keeps. A process that has just started runs it uncompiled, so there is little in it: a
// reply is one copy of the last one with the same flags, in which digits are changed.
import { Buffer } from 'node:buffer';
import type { FlagColumns } from '#storage/mailbox.js';
import type { NumberRange } from '#util/number-set.js';
import type { Session } from './session.js';
import { TimeSlice } from './time-slice.js';

/** A block goes to the socket when it is full. */
const blockBytes = 131_072;
const nothing = Buffer.alloc(0);
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

/** A whole reply whose numbers are put in place: what differs from the message before with the same flags is a digit or two in most cases. */
interface RowTemplate {
  octets: Buffer;
  /** Sequence number and UID without their last digits, which are right in `octets` but for those; -1: nothing is. */
  seqTens: number;
  uidTens: number;
  /** Place of the last digit of each; the sequence number's for both where there is no UID. */
  seqEnd: number;
  uidEnd: number;
  /** From here on they have more digits. */
  seqLimit: number;
  uidLimit: number;
  /** What follows the UID: ` FLAGS (\Seen))` and the line end. */
  readonly tail: string;
}

class FlagRows {
  readonly #session: Session;
  readonly #hasUid: boolean;
  /** By keyword set and flags. */
  readonly #templates: ((RowTemplate | undefined)[] | undefined)[] = [];
  #block = Buffer.allocUnsafeSlow(blockBytes);
  #at = 0;

  constructor(session: Session, hasUid: boolean) {
    this.#session = session;
    this.#hasUid = hasUid;
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
    const end = block.length;
    const hasUid = this.#hasUid;
    let at = this.#at;
    // Numbers are counted up by their last digit, as that costs less than dividing.
    let seqTens = Math.floor(first / 10);
    let seqUnit = first - seqTens * 10;
    let uidTens = 0;
    let uidUnit = 0;
    let lastUid = -2;
    let lastSet = -1;
    let templates: (RowTemplate | undefined)[] = [];
    let seq = first;
    for (; seq <= last; seq += 1) {
      const row = seq - 1;
      const set = keywordSet[row] as number;
      if (set !== lastSet) {
        templates = this.#templates[set] ?? [];
        this.#templates[set] = templates;
        lastSet = set;
      }
      if (hasUid) {
        const value = uid[row] as number;
        if (value === lastUid + 1 && uidUnit < 9) uidUnit += 1;
        else {
          uidTens = Math.floor(value / 10);
          uidUnit = value - uidTens * 10;
        }
        lastUid = value;
      }
      const system = flags[row] as number;
      let template = templates[system];
      if (template === undefined || template.seqTens !== seqTens || template.uidTens !== uidTens) {
        template ??= this.#newTemplate(keywordsOf(set), system);
        templates[system] = template;
        this.#renew(template, seqTens, uidTens);
      }
      const { octets } = template;
      const next = at + octets.length;
      if (next > end) break;
      octets[template.uidEnd] = uidUnit + zero;
      octets[template.seqEnd] = seqUnit + zero;
      block.set(octets, at);
      at = next;
      if (seqUnit < 9) seqUnit += 1;
      else {
        seqUnit = 0;
        seqTens += 1;
      }
    }
    this.#at = at;
    return seq;
  }

  #newTemplate(keywords: readonly string[], system: number): RowTemplate {
    const tail = `${this.#hasUid ? ' FLAGS' : 'FLAGS'} ${this.#session.flagText.list(system, keywords)})\r\n`;
    return { octets: nothing, seqTens: -1, uidTens: -1, seqEnd: 0, uidEnd: 0, seqLimit: 0, uidLimit: 0, tail };
  }

  /** Puts other numbers into a template; their last digits are up to the caller. */
  #renew(template: RowTemplate, seqTens: number, uidTens: number): void {
    const isLonger = seqTens >= template.seqLimit || uidTens >= template.uidLimit;
    if (isLonger || seqTens < template.seqTens || uidTens < template.uidTens) {
      const head = `* ${seqTens * 10}`;
      const middle = this.#hasUid ? ` FETCH (UID ${uidTens * 10}` : ' FETCH (';
      template.octets = Buffer.from(`${head}${middle}${template.tail}`, 'latin1');
      template.seqEnd = head.length - 1;
      template.seqLimit = 10 ** (head.length - 3);
      template.uidEnd = this.#hasUid ? head.length + middle.length - 1 : template.seqEnd;
      template.uidLimit = this.#hasUid ? 10 ** (middle.length - 13) : Number.POSITIVE_INFINITY;
    } else {
      replaceDigits(template.octets, template.seqEnd, template.seqTens, seqTens);
      replaceDigits(template.octets, template.uidEnd, template.uidTens, uidTens);
    }
    template.seqTens = seqTens;
    template.uidTens = uidTens;
  }
}

/** @param end behind the digits of `old`; those of `value`, as many, take their place */
function replaceDigits(octets: Buffer, end: number, old: number, value: number): void {
  let known = old;
  let rest = value;
  for (let place = end - 1; known !== rest; place -= 1) {
    const tenth = Math.floor(rest / 10);
    octets[place] = rest - tenth * 10 + zero;
    rest = tenth;
    known = Math.floor(known / 10);
  }
}
