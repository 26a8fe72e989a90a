// Beginnings of FETCH replies, `* 7 FETCH (UID 9 FLAGS (\Seen)`, of many messages that follow each other. Each is made of the last one with the same
// flags by changing digits, so that a process that has just started, and runs all this uncompiled, has little to run.
import { Buffer } from 'node:buffer';
import type { SimpleItem } from '#protocol/imap/fetch-item.js';
import type { FlagText } from './flag-text.js';

export type HeadItem = Extract<SimpleItem, 'UID' | 'FLAGS' | 'INTERNALDATE' | 'RFC822.SIZE'>;

/** Octets of a date-time with its quotes (RFC 9051 9). */
const dateBytes = 28;
const zero = 0x30;

/** Octets that are copied, and what their numbers say. Places of numbers that are not there are places of others, which are put later. */
export interface RowTemplate {
  octets: Buffer;
  /** Sequence number and UID without their last digits, which are the caller's; -1: nothing is written yet. */
  seqTens: number;
  uidTens: number;
  /** Places of the last digits. The UID's is to be put first. */
  seqEnd: number;
  uidEnd: number;
  /** From here on they have more digits. */
  seqLimit: number;
  uidLimit: number;
  /** Seconds, and where their text goes; -1: not written yet. */
  date: number;
  dateAt: number;
  /** -1: not written yet. */
  size: number;
  /** Behind its last digit. */
  sizeEnd: number;
  readonly flags: string;
  readonly sizeDigits: number;
}

/** One for each kind of row; undefined: not met yet. */
export type KindTemplates = (RowTemplate | undefined)[];

/** Before the first row. */
export const noTemplates: KindTemplates = emptyKinds(1);

/** Holds objects and holes from the beginning: V8 compiles loops for what they have met in arrays. */
function emptyKinds(kinds: number): KindTemplates {
  return new Array<RowTemplate | undefined>(kinds).fill(undefined);
}

export class RowTemplates {
  readonly #items: readonly HeadItem[];
  readonly #tail: string;
  readonly #flagText: FlagText;
  readonly #kinds: number;
  readonly #bySet = new Map<number, KindTemplates>();

  /**
   * @param items each at most once, in reply order
   * @param tail what follows them
   * @param kinds of rows with the same keywords
   */
  constructor(items: readonly HeadItem[], tail: string, flagText: FlagText, kinds: number) {
    this.#items = items;
    this.#tail = tail;
    this.#flagText = flagText;
    this.#kinds = kinds;
  }

  /** Those of rows with this keyword set, for the caller to fill. */
  ofSet(keywordSet: number): KindTemplates {
    let templates = this.#bySet.get(keywordSet);
    if (templates === undefined) {
      templates = emptyKinds(this.#kinds);
      this.#bySet.set(keywordSet, templates);
    }
    return templates;
  }

  /** @param sizeDigits of all sizes that it will hold */
  add(system: number, keywords: readonly string[], sizeDigits = 1): RowTemplate {
    return {
      octets: nothing,
      seqTens: -1,
      uidTens: -1,
      seqEnd: 0,
      uidEnd: 0,
      seqLimit: 0,
      uidLimit: 0,
      date: -1,
      dateAt: 0,
      size: -1,
      sizeEnd: 0,
      flags: this.#flagText.list(system, keywords),
      sizeDigits,
    };
  }

  /** Puts other numbers into a template; the last digits of both are up to the caller. */
  renew(template: RowTemplate, seqTens: number, uidTens: number): void {
    const isLonger = seqTens >= template.seqLimit || uidTens >= template.uidLimit;
    if (isLonger || seqTens < template.seqTens || uidTens < template.uidTens) this.#write(template, seqTens, uidTens);
    else {
      replaceDigits(template.octets, template.seqEnd, template.seqTens, seqTens);
      replaceDigits(template.octets, template.uidEnd, template.uidTens, uidTens);
    }
    template.seqTens = seqTens;
    template.uidTens = uidTens;
  }

  #write(template: RowTemplate, seqTens: number, uidTens: number): void {
    let text = `* ${seqTens * 10}`;
    template.seqEnd = text.length - 1;
    template.seqLimit = limitOf(seqTens);
    template.uidEnd = template.seqEnd;
    template.uidLimit = Number.POSITIVE_INFINITY;
    text += ' FETCH (';
    for (const [index, item] of this.#items.entries()) {
      text += index === 0 ? `${item} ` : ` ${item} `;
      if (item === 'UID') {
        text += uidTens * 10;
        template.uidEnd = text.length - 1;
        template.uidLimit = limitOf(uidTens);
      } else if (item === 'FLAGS') text += template.flags;
      else if (item === 'INTERNALDATE') {
        template.dateAt = text.length;
        template.date = -1;
        text += ' '.repeat(dateBytes);
      } else {
        text += '0'.repeat(template.sizeDigits);
        template.sizeEnd = text.length;
        template.size = 0;
      }
    }
    template.octets = Buffer.from(text + this.#tail, 'latin1');
  }
}

const nothing = Buffer.alloc(0);

/** Above all numbers with as many digits, without the last one. */
function limitOf(tens: number): number {
  return 10 ** (String(tens * 10).length - 1);
}

/**
 * Writes `value` where `old` stands, which has as many digits: from the last one up to where they agree.
 * @param end behind the last digit
 */
export function replaceDigits(octets: Buffer, end: number, old: number, value: number): void {
  let known = old;
  let rest = value;
  for (let place = end - 1; known !== rest; place -= 1) {
    const tenth = Math.floor(rest / 10);
    octets[place] = rest - tenth * 10 + zero;
    rest = tenth;
    known = Math.floor(known / 10);
  }
}

export function digitsOf(value: number): number {
  let digits = 1;
  for (let limit = 10; value >= limit; limit *= 10) digits += 1;
  return digits;
}
