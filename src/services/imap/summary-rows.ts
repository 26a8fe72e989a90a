// FETCH of envelopes, structures, dates and sizes of messages that lie one behind the other in a view, from the cache: what clients ask of whole
// mailboxes. Replies are copied together out of a piece of the cache file.
import { Buffer } from 'node:buffer';
import { DateTimeTexts } from '#protocol/imap/date.js';
import type { SimpleItem } from '#protocol/imap/fetch-item.js';
import type { WireForm, WireRun } from '#storage/wire-run.js';
import type { NumberRange } from '#util/number-set.js';
import { type FetchPlan, zoneMinutesAt } from './fetch-plan.js';
import { digitsOf, type HeadItem, noTemplates, RowTemplates, replaceDigits } from './row-template.js';
import type { Session } from './session.js';
import { TimeSlice } from './time-slice.js';

/** Octets of the cache looked at in one go, and of replies: at most so many, for few messages what most of them need, as large buffers are dear. */
const largestWindowBytes = 262_144;
const commonRecordBytes = 1536;
const leastWindowBytes = 16_384;
/** Messages in one go. */
const runLength = 1024;
/** Where fewer lie together, looking for them costs more than it spares. */
const minRun = 32;
/** Messages that are left to others before the cache is looked at again: each time it was in vain, twice as many. */
const firstStep = 200;
const longestStep = 3200;
const unknownNumber = 0xffffffff;
/** Of system flags. */
const flagSets = 64;
/** Sizes are below 2^32. */
const maxSizeDigits = 10;
const zero = 0x30;

const formNames: { readonly [Item in SimpleItem]?: WireForm } = { ENVELOPE: 'envelope', BODY: 'body', BODYSTRUCTURE: 'bodyStructure' };
/** As the cache has them. */
const formOrder: readonly WireForm[] = ['envelope', 'body', 'bodyStructure'];
const headNames: ReadonlySet<SimpleItem> = new Set(['UID', 'FLAGS', 'INTERNALDATE', 'RFC822.SIZE']);

export interface SummaryItems {
  readonly heads: readonly HeadItem[];
  /** Behind the others; at least one. */
  readonly forms: readonly (readonly [label: SimpleItem, form: WireForm])[];
}

/** The items when the plan asks for nothing else, each once. */
export function summaryItems({ includes, steps, isPlain, setsSeen }: FetchPlan): SummaryItems | undefined {
  const names = [...includes];
  if (names.length !== steps.length || !isPlain || setsSeen) return undefined;
  const firstForm = names.findIndex((name) => formNames[name] !== undefined);
  if (firstForm < 0) return undefined;
  const heads = names.slice(0, firstForm).filter((name) => headNames.has(name)) as HeadItem[];
  const forms = names.slice(firstForm).flatMap((name) => {
    const form = formNames[name];
    return form === undefined ? [] : [[name, form] as const];
  });
  return heads.length + forms.length === names.length ? { heads, forms } : undefined;
}

/**
 * @param runs sequence numbers, each run within the view
 * @param writeOthers writes the replies of messages that cannot be written here, in their turn
 * @throws the signal's reason
 */
export async function writeSummaries(
  session: Session,
  runs: readonly NumberRange[],
  items: SummaryItems,
  writeOthers: (run: NumberRange) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const { output, view } = session;
  const rows = new SummaryRows(session, items, Math.max(0, ...runs.map(([first, last]) => last - first + 1)));
  const slice = new TimeSlice();
  let step = firstStep;
  for (const [first, last] of runs) {
    for (let next = first; next <= last; ) {
      const end = Math.min(last, next + runLength - 1);
      const run = await view.wireRun?.([next, end], rows.forms, rows.begin(output.isSent), signal);
      // From here to the output without a pause.
      const count = run === undefined ? 0 : rows.fill(run, next);
      if (count > 0) {
        output.octets(rows.written());
        await output.drain();
        next += count;
      }
      if (count >= minRun) step = firstStep;
      else if (next <= last) {
        const others = Math.min(last, next + step - 1);
        await writeOthers([next, others]);
        next = others + 1;
        step = Math.min(step * 2, longestStep);
      }
      if (slice.isOver) await slice.giveWay();
      signal.throwIfAborted();
    }
  }
}

class SummaryRows {
  /** In the order of `formOrder`. */
  readonly forms: readonly WireForm[];
  readonly #templates: RowTemplates;
  readonly #hasUid: boolean;
  readonly #hasDate: boolean;
  readonly #hasSize: boolean;
  /** What stands before each form but the first, and which of `forms` it is. */
  readonly #labels: readonly Buffer[];
  readonly #order: readonly number[];
  readonly #dates = new DateTimeTexts();
  readonly #dateText = Buffer.alloc(28);
  #date = -1;
  readonly #places: Uint32Array;
  /** A piece of the cache, and behind it replies. */
  #room = Buffer.alloc(0);
  readonly #windowBytes: number;
  #at = 0;

  /** @param longest messages of the longest run */
  constructor({ flagText }: Session, { heads, forms }: SummaryItems, longest: number) {
    this.#windowBytes = Math.min(largestWindowBytes, Math.max(leastWindowBytes, longest * commonRecordBytes));
    const labels = forms.map(([label]) => ` ${label} `);
    this.#templates = new RowTemplates(
      heads,
      heads.length === 0 ? (labels[0] ?? '').slice(1) : (labels[0] ?? ''),
      flagText,
      flagSets * (maxSizeDigits + 1),
    );
    this.#labels = labels.map((label) => Buffer.from(label));
    this.forms = formOrder.filter((form) => forms.some(([, other]) => other === form));
    this.#order = forms.map(([, form]) => this.forms.indexOf(form));
    this.#hasUid = heads.includes('UID');
    this.#hasDate = heads.includes('INTERNALDATE');
    this.#hasSize = heads.includes('RFC822.SIZE');
    this.#places = new Uint32Array(Math.min(runLength, longest) * this.forms.length * 2);
  }

  /** @param isReusable what was written has been sent */
  begin(isReusable: boolean): { readonly octets: Buffer; readonly places: Uint32Array } {
    if (!isReusable || this.#room.length === 0) this.#room = Buffer.allocUnsafeSlow(this.#windowBytes * 2);
    this.#at = this.#windowBytes;
    return { octets: this.#room.subarray(0, this.#windowBytes), places: this.#places };
  }

  /** Good until `begin`. */
  written(): Buffer {
    return this.#room.subarray(this.#windowBytes, this.#at);
  }

  /** @returns messages written */
  fill({ uid, flags, keywordSet, keywordsOf, virtualSize, internalDate, count }: WireRun, first: number): number {
    const room = this.#room;
    const places = this.#places;
    const order = this.#order;
    const labels = this.#labels;
    const forms = order.length;
    const hasUid = this.#hasUid;
    const hasDate = this.#hasDate;
    const hasSize = this.#hasSize;
    const end = room.length;
    let at = this.#at;
    let lastSet = -1;
    let templates = noTemplates;
    let done = 0;
    for (; done < count; done += 1) {
      const seq = first + done;
      const row = seq - 1;
      const size = hasSize ? (virtualSize[row] as number) : 0;
      const date = hasDate ? (internalDate[row] as number) : 0;
      if (size === unknownNumber || date === unknownNumber) break;
      const set = keywordSet[row] as number;
      if (set !== lastSet) {
        templates = this.#templates.ofSet(set);
        lastSet = set;
      }
      const system = flags[row] as number;
      const digits = hasSize ? digitsOf(size) : 1;
      const kind = digits * flagSets + system;
      let template = templates[kind];
      if (template === undefined) {
        template = this.#templates.add(system, keywordsOf(set), digits);
        templates[kind] = template;
      }
      const seqTens = Math.floor(seq / 10);
      const value = hasUid ? (uid[row] as number) : 0;
      const uidTens = Math.floor(value / 10);
      if (template.seqTens !== seqTens || template.uidTens !== uidTens) this.#templates.renew(template, seqTens, uidTens);
      const { octets } = template;
      let length = octets.length + 3;
      let place = done * forms * 2;
      for (let index = 0; index < forms; index += 1) {
        length += (places[place + 1] as number) - (places[place] as number) + (labels[index] as Buffer).length;
        place += 2;
      }
      if (at + length > end) break;
      octets[template.uidEnd] = value - uidTens * 10 + zero;
      octets[template.seqEnd] = seq - seqTens * 10 + zero;
      if (hasDate && template.date !== date) {
        if (date !== this.#date) this.#renewDate(date);
        octets.set(this.#dateText, template.dateAt);
        template.date = date;
      }
      if (hasSize && template.size !== size) {
        replaceDigits(octets, template.sizeEnd, template.size, size);
        template.size = size;
      }
      room.set(octets, at);
      at += octets.length;
      for (let index = 0; index < forms; index += 1) {
        if (index > 0) {
          const label = labels[index] as Buffer;
          room.set(label, at);
          at += label.length;
        }
        const from = (done * forms + (order[index] as number)) * 2;
        const formEnd = places[from + 1] as number;
        const formStart = places[from] as number;
        room.copyWithin(at, formStart, formEnd);
        at += formEnd - formStart;
      }
      room[at] = 0x29;
      room[at + 1] = 0x0d;
      room[at + 2] = 0x0a;
      at += 3;
    }
    this.#at = at;
    return done;
  }

  #renewDate(seconds: number): void {
    const ms = seconds * 1000;
    this.#dateText.write(this.#dates.format(ms, zoneMinutesAt(ms)), 'latin1');
    this.#date = seconds;
  }
}
