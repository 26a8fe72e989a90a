// Text in headers and bodies for SEARCH: decoded (RFC 2047, MIME), compared without case.
import { dayOf, parseMessageDate } from '#mail/date.js';
import { decodeWords } from '#mail/encoded-word.js';
import { fieldText, splitHeader } from '#mail/header.js';
import type { MimePart } from '#mail/mime-part.js';
import { partTexts, searchKey } from '#mail/text.js';
import type { MessageReader } from './mailbox.js';
import { type Outcome, unknown } from './search-source.js';

/** Octets of one header block that are searched. */
const maxHeaderBytes = 1024 * 1024;

/** Texts looked for in one message after the other. */
export class TextNeedles {
  readonly #needles: { readonly text: string; readonly inHeaders: boolean }[] = [];
  #found: Outcome[] = [];
  #longest = 0;

  /**
   * @param inHeaders TEXT: also in the message's own header
   * @returns handle for `outcomeOf`
   */
  add(text: string, inHeaders: boolean): number {
    const folded = searchKey(text);
    this.#longest = Math.max(this.#longest, folded.length);
    this.#needles.push({ text: folded, inHeaders });
    return this.#needles.length - 1;
  }

  /** Characters of the longest text, folded. */
  get longest(): number {
    return this.#longest;
  }

  get wantHeaders(): boolean {
    return this.#needles.some((needle, index) => needle.inHeaders && this.#found[index] === unknown);
  }

  outcomeOf(needle: number): Outcome {
    return this.#found[needle] ?? unknown;
  }

  /** Another message. */
  begin(): void {
    this.#found = this.#needles.map(() => unknown);
  }

  /** What was not found up to now is not there. */
  finish(): void {
    this.#found = this.#found.map((outcome) => (outcome === unknown ? 0 : outcome));
  }

  /** @param folded through `searchKey` */
  lookInto(folded: string, isMessageHeader: boolean): void {
    for (const [index, needle] of this.#needles.entries()) {
      if (this.#found[index] === unknown && (needle.inHeaders || !isMessageHeader) && folded.includes(needle.text)) this.#found[index] = 1;
    }
  }
}

/** A test of raw header fields of one name: some field contains the text; '' asks for the field only. */
export function headerContains(text: string): (rawFields: Buffer) => boolean {
  const needle = searchKey(text);
  return (rawFields) =>
    rawFields.length > 0 &&
    (needle === '' || splitHeader(rawFields).some((field) => searchKey(decodeWords(fieldText(rawFields, field))).includes(needle)));
}

/** Day of a Date field as written, without its time zone (RFC 9051 6.4.4 SENTON); undefined when there is none. */
export function dayOfHeaderDate(rawFields: Buffer): number | undefined {
  const field = splitHeader(rawFields)[0];
  if (field === undefined) return undefined;
  const date = parseMessageDate(fieldText(rawFields, field));
  return date === undefined ? undefined : dayOf(date);
}

/**
 * Looks for all needles in one message: its header, the headers of its parts, and the text of its text parts, decoded. Stops as soon as
 * `isDecided`. Never holds more than a few hundred kilobytes of it.
 * @param breathe lets the event loop run when it is time
 */
export async function scanMessage(
  reader: MessageReader,
  needles: TextNeedles,
  isDecided: () => boolean,
  breathe: () => Promise<void>,
): Promise<void> {
  const scan = new MessageScan(reader, needles, isDecided, breathe);
  const root = await reader.structure();
  if (needles.wantHeaders) await scan.header(root, true);
  const parts = [root];
  for (let part = parts.pop(); part !== undefined && !isDecided(); part = parts.pop()) {
    if (part !== root) await scan.header(part, false);
    if (part.children.length > 0) parts.push(...part.children.toReversed());
    else if (part.type === 'text') await scan.body(part);
  }
}

class MessageScan {
  readonly #reader: MessageReader;
  readonly #needles: TextNeedles;
  readonly #isDecided: () => boolean;
  readonly #breathe: () => Promise<void>;

  constructor(reader: MessageReader, needles: TextNeedles, isDecided: () => boolean, breathe: () => Promise<void>) {
    this.#reader = reader;
    this.#needles = needles;
    this.#isDecided = isDecided;
    this.#breathe = breathe;
  }

  /** Field by field, unfolded and decoded, with its name, as a person reads it. */
  async header(part: MimePart, isMessageHeader: boolean): Promise<void> {
    const length = Math.min(part.bodyStart - part.headerStart, maxHeaderBytes);
    if (length <= 0) return;
    const block = await this.#reader.read(part.headerStart, length);
    for (const field of splitHeader(block)) {
      const name = block.toString('latin1', field.start, field.valueStart);
      this.#needles.lookInto(searchKey(`${name} ${decodeWords(fieldText(block, field))}`), isMessageHeader);
    }
    await this.#breathe();
  }

  async body(part: MimePart): Promise<void> {
    let overlap = '';
    for await (const text of partTexts(this.#reader, part)) {
      const folded = overlap + searchKey(text);
      this.#needles.lookInto(folded, false);
      if (this.#isDecided()) return;
      overlap = this.#needles.longest > 1 ? folded.slice(1 - this.#needles.longest) : '';
      await this.#breathe();
    }
  }
}
