// FETCH (FLAGS) of messages that lie one behind the other in a view: `UID FETCH 1:* (FLAGS)` of a whole mailbox, which many clients begin with.
// One loop writes the replies from the columns that the storage keeps. A process that has just started runs it uncompiled, so there is little in it: a
// reply is one copy of the last one with the same flags, in which digits are changed.
import { Buffer } from 'node:buffer';
import type { FlagColumns } from '#storage/wire-run.js';
import type { NumberRange } from '#util/number-set.js';
import { noTemplates, RowTemplates } from './row-template.js';
import type { Session } from './session.js';
import { TimeSlice } from './time-slice.js';

/** A block goes to the socket when it is full. */
const blockBytes = 131_072;
/** Room for one reply with common flags: blocks for few messages are not larger than what is put there, as making a large one costs as much as filling it. */
const commonRowBytes = 64;
const leastBlockBytes = 4096;
const zero = 0x30;
/** Of system flags. */
const flagSets = 64;

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
  const rows = new FlagRows(
    session,
    hasUid,
    runs.reduce((sum, [first, last]) => sum + last - first + 1, 0),
  );
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
  readonly #hasUid: boolean;
  readonly #templates: RowTemplates;
  #block: Buffer;
  #at = 0;

  /** @param count how many there will be */
  constructor(session: Session, hasUid: boolean, count: number) {
    this.#hasUid = hasUid;
    this.#block = Buffer.allocUnsafeSlow(Math.min(blockBytes, Math.max(leastBlockBytes, count * commonRowBytes)));
    this.#templates = new RowTemplates(hasUid ? ['UID', 'FLAGS'] : ['FLAGS'], ')\r\n', session.flagText, flagSets);
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
    let templates = noTemplates;
    let seq = first;
    for (; seq <= last; seq += 1) {
      const row = seq - 1;
      const set = keywordSet[row] as number;
      if (set !== lastSet) {
        templates = this.#templates.ofSet(set);
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
        template ??= this.#templates.add(system, keywordsOf(set));
        templates[system] = template;
        this.#templates.renew(template, seqTens, uidTens);
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
}
