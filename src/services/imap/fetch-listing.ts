// FETCH of UIDs, flags and modseqs only: what clients ask of whole mailboxes. Replies are written as octets into large blocks, without a string
// for any of them.
import { Buffer } from 'node:buffer';
import type { SimpleItem } from '#protocol/imap/fetch-item.js';
import type { MailboxView } from '#storage/mailbox.js';
import { type NumberRange, numbersOf } from '#util/number-set.js';
import { putDecimal, putOctets } from '#util/put-text.js';
import type { FetchPlan } from './fetch-plan.js';
import { writeFlagRows } from './flag-rows.js';
import type { FlagText } from './flag-text.js';
import type { Session } from './session.js';
import { TimeSlice } from './time-slice.js';

export type ListingItem = Extract<SimpleItem, 'UID' | 'FLAGS' | 'MODSEQ'>;

/** A block goes to the socket when it is full. */
const blockBytes = 65_536;
/** The first one, as often few messages are asked for; each is twice as large as the one before. */
const firstBlockBytes = 4096;
/** More than a row without its flags: fixed text, a sequence number, a UID and a modseq. */
const maxRowBytes = 128;
/** Rows between two looks at the clock; where few rows of many are named, a block fills slowly. */
const stride = 1024;

/** The items in reply order when the plan asks for nothing else, each once. */
export function listingItems(plan: FetchPlan): readonly ListingItem[] | undefined {
  const names = [...plan.includes];
  if (names.length !== plan.steps.length || !plan.isPlain || plan.setsSeen) return undefined;
  const items = names.filter((name) => name === 'UID' || name === 'FLAGS' || name === 'MODSEQ');
  return items.length === names.length && items.length > 0 ? items : undefined;
}

/** Sequence numbers one by one, or as runs of them. */
export type Listed = { readonly seqs: Iterable<number> } | { readonly runs: readonly NumberRange[] };

/** @throws the signal's reason */
export async function writeListing(session: Session, listed: Listed, items: readonly ListingItem[], signal: AbortSignal): Promise<void> {
  if ('seqs' in listed) return writeRows(session, listed.seqs, items, signal);
  const order = items.join(' ');
  const isPlain = (order === 'UID FLAGS' || order === 'FLAGS') && !session.has('UIDONLY');
  const left = isPlain ? await writeFlagRows(session, listed.runs, order !== 'FLAGS', signal) : listed.runs;
  if (left.length > 0) await writeRows(session, numbersOf(left), items, signal);
}

async function writeRows(session: Session, seqs: Iterable<number>, items: readonly ListingItem[], signal: AbortSignal): Promise<void> {
  const { output, view } = session;
  const rows = new RowBlocks(view, session.flagText, items, session.has('UIDONLY'));
  const slice = new TimeSlice();
  const numbers = seqs[Symbol.iterator]();
  while (!rows.isDone) {
    const full = rows.addSome(numbers);
    if (full !== undefined) {
      output.octets(full);
      await output.drain();
    }
    if (slice.isOver) await slice.giveWay();
    signal.throwIfAborted();
  }
  output.octets(rows.rest());
}

/** Rows of replies, gathered into blocks. */
class RowBlocks {
  readonly #view: MailboxView;
  readonly #flagText: FlagText;
  readonly #items: readonly ListingItem[];
  readonly #hasFlags: boolean;
  readonly #isUidOnly: boolean;
  readonly #texts = new Map<readonly string[], (Buffer | undefined)[]>();
  #lastKeywords: readonly string[] | undefined;
  #lastTexts: (Buffer | undefined)[] = [];
  #block = Buffer.allocUnsafe(firstBlockBytes);
  #at = 0;

  constructor(view: MailboxView, flagText: FlagText, items: readonly ListingItem[], isUidOnly: boolean) {
    this.#view = view;
    this.#flagText = flagText;
    this.#items = items;
    this.#hasFlags = items.includes('FLAGS');
    this.#isUidOnly = isUidOnly;
  }

  /** All numbers have been added. */
  isDone = false;

  /** Adds some more rows, in a loop that is compiled for itself. @returns a block that is full, if one is; it is the caller's */
  addSome(seqs: Iterator<number>): Buffer | undefined {
    for (let left = stride; left > 0; left -= 1) {
      const next = seqs.next();
      if (next.done === true) {
        this.isDone = true;
        return undefined;
      }
      const full = this.#add(next.value);
      if (full !== undefined) return full;
    }
    return undefined;
  }

  #add(seq: number): Buffer | undefined {
    const view = this.#view;
    const flags = this.#hasFlags ? this.#flagsOf(view.systemFlagsAt(seq), view.keywordsAt(seq)) : nothing;
    let full: Buffer | undefined;
    if (this.#at + maxRowBytes + flags.length > this.#block.length) {
      full = this.rest();
      this.#block = Buffer.allocUnsafeSlow(Math.max(Math.min(blockBytes, full.length * 2), maxRowBytes + flags.length));
      this.#at = 0;
    }
    const block = this.#block;
    let at = putOctets(block, this.#at, lineStart);
    at = putDecimal(block, at, this.#isUidOnly ? view.uidAt(seq) : seq);
    at = putOctets(block, at, this.#isUidOnly ? uidFetchText : fetchText);
    const items = this.#items;
    for (let index = 0; index < items.length; index += 1) {
      if (index > 0) at = putOctets(block, at, spaceText);
      const item = items[index];
      if (item === 'FLAGS') at = putOctets(block, at, flags);
      else if (item === 'UID') at = putDecimal(block, putOctets(block, at, uidText), view.uidAt(seq));
      else {
        at = putOctets(block, at, modSeqText);
        at += block.write(`${view.modSeqAt(seq)})`, at, 'latin1');
      }
    }
    this.#at = putOctets(block, at, lineEnd);
    return full;
  }

  /** What is in the block now. */
  rest(): Buffer {
    return this.#block.subarray(0, this.#at);
  }

  /** `FLAGS (...)`, made once for each set. */
  #flagsOf(system: number, keywords: readonly string[]): Buffer {
    if (keywords !== this.#lastKeywords) {
      let texts = this.#texts.get(keywords);
      if (texts === undefined) {
        texts = [];
        this.#texts.set(keywords, texts);
      }
      this.#lastKeywords = keywords;
      this.#lastTexts = texts;
    }
    let text = this.#lastTexts[system];
    if (text === undefined) {
      text = Buffer.from(`FLAGS ${this.#flagText.list(system, keywords)}`, 'latin1');
      this.#lastTexts[system] = text;
    }
    return text;
  }
}

const nothing = Buffer.alloc(0);
const lineStart = Buffer.from('* ');
const fetchText = Buffer.from(' FETCH (');
const uidFetchText = Buffer.from(' UIDFETCH (');
const uidText = Buffer.from('UID ');
const modSeqText = Buffer.from('MODSEQ (');
const spaceText = Buffer.from(' ');
const lineEnd = Buffer.from(')\r\n');
