// Text in headers and bodies for SEARCH: decoded, compared without case.
import { fieldText, splitHeader } from '#mail/header.js';
import type { MimePart } from '#mail/mime-part.js';
import type { MessageReader } from './mailbox.js';
import type { Outcome } from './search-source.js';

const readBytes = 64 * 1024;
const dayMs = 86_400_000;

/** Texts looked for in one message after the other. */
export class TextNeedles {
  readonly #needles: { readonly text: string; readonly inHeaders: boolean }[] = [];
  #found: Outcome[] = [];

  /** @returns handle for `outcomeOf` */
  add(text: string, inHeaders: boolean): number {
    this.#needles.push({ text: fold(text), inHeaders });
    return this.#needles.length - 1;
  }

  outcomeOf(needle: number): Outcome {
    return this.#found[needle] ?? 2;
  }

  begin(): void {
    this.#found = this.#needles.map(() => 2);
  }

  /** What was not found up to now is not there. */
  finish(): void {
    this.#found = this.#found.map((outcome) => (outcome === 2 ? 0 : outcome));
  }

  get longest(): number {
    return this.#needles.reduce((longest, needle) => Math.max(longest, needle.text.length), 0);
  }

  get needsHeaders(): boolean {
    return this.#needles.some((needle) => needle.inHeaders);
  }

  /** @param folded through `fold` */
  lookInto(folded: string, isTopHeader: boolean): void {
    this.#needles.forEach((needle, index) => {
      if (this.#found[index] !== 1 && (needle.inHeaders || !isTopHeader) && folded.includes(needle.text)) this.#found[index] = 1;
    });
  }
}

/** A test of raw header fields of one name: some field contains the text; '' asks for the field only. */
export function headerContains(text: string): (rawFields: Buffer) => boolean {
  const needle = fold(text);
  return (rawFields) =>
    rawFields.length > 0 &&
    (needle === '' || splitHeader(rawFields).some((field) => fold(decode(fieldText(rawFields, field))).includes(needle)));
}

/** Day of a Date field as written, without its time zone (RFC 9051 6.4.4 SENTON); undefined when there is none. */
export function dayOfHeaderDate(rawFields: Buffer): number | undefined {
  const field = splitHeader(rawFields)[0];
  if (field === undefined) return undefined;
  const ms = Date.parse(fieldText(rawFields, field).replace(/\s*([+-]\d{4}|[A-Z]{1,3})(\s*\(.*)?$/, ' +0000'));
  return Number.isNaN(ms) ? undefined : Math.floor(ms / dayMs);
}

/** Looks for all needles in one message; stops as soon as `isDecided`. */
export async function scanMessage(
  reader: MessageReader,
  needles: TextNeedles,
  isDecided: () => boolean,
  breathe: () => Promise<void>,
): Promise<void> {
  const structure = await reader.structure();
  const parts: MimePart[] = [structure];
  for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
    await scanRange(reader, part.headerStart, part.bodyStart, part === structure, needles, isDecided, breathe);
    if (part.children.length > 0) parts.push(...[...part.children].reverse());
    else if (part.type === 'text') await scanRange(reader, part.bodyStart, part.bodyEnd, false, needles, isDecided, breathe);
    if (isDecided()) return;
  }
}

async function scanRange(
  reader: MessageReader,
  from: number,
  to: number,
  isTopHeader: boolean,
  needles: TextNeedles,
  isDecided: () => boolean,
  breathe: () => Promise<void>,
): Promise<void> {
  let tail = '';
  for (let at = from; at < to && !isDecided(); at += readBytes) {
    const text = tail + fold(decode((await reader.read(at, Math.min(readBytes, to - at))).toString('latin1')));
    needles.lookInto(text, isTopHeader);
    tail = text.slice(-(needles.longest - 1 || text.length));
    await breathe();
  }
}

function decode(octets: string): string {
  return Buffer.from(octets, 'latin1').toString('utf8');
}

function fold(text: string): string {
  return text.toLowerCase();
}
