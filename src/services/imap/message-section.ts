// What FETCH BODY[...] and BINARY[...] return of one message: a range of its octets, or octets made from them.

import { findSection } from '#mail/section.js';
import type { Partial, Section } from '#protocol/imap/fetch-item.js';
import type { MessageReader } from '#storage/mailbox.js';

/** Octets of the message itself, or new ones. */
export type SectionContent =
  | { readonly kind: 'range'; readonly start: number; readonly length: number }
  | { readonly kind: 'octets'; readonly octets: Buffer }
  /** The message has no such part: NIL. */
  | { readonly kind: 'nil' };

const nil: SectionContent = { kind: 'nil' };

/** Largest header that HEADER.FIELDS looks at. */
const maxHeaderBytes = 10_000_000;

function cut(start: number, end: number, partial: Partial | undefined): SectionContent {
  if (partial === undefined) return { kind: 'range', start, length: end - start };
  // An origin behind the end gives an empty string (RFC 9051 6.4.5).
  const from = Math.min(start + partial.offset, end);
  return { kind: 'range', start: from, length: Math.min(partial.length, end - from) };
}

/** @throws StorageError when the message cannot be read */
export async function locateSection(reader: MessageReader, section: Section, partial: Partial | undefined): Promise<SectionContent> {
  const { path, part } = section;
  if (path.length === 0 && part.kind === 'all') return cut(0, reader.size, partial);
  const structure = await reader.structure();
  if (part.kind !== 'fields' && part.kind !== 'fields-not') {
    const range = findSection(structure, path, part.kind);
    return range === undefined ? nil : cut(range.start, range.end, partial);
  }
  const range = findSection(structure, path, 'header');
  if (range === undefined) return nil;
  const header = await reader.read(range.start, Math.min(range.end - range.start, maxHeaderBytes));
  return { kind: 'octets', octets: cutOctets(selectFields(header, part.names, part.kind === 'fields'), partial) };
}

export function cutOctets(octets: Buffer, partial: Partial | undefined): Buffer {
  return partial === undefined ? octets : octets.subarray(partial.offset, partial.offset + partial.length);
}

const emptyLine = Buffer.from('\r\n');

/** The fields with (or without) these lower-case names, in message order, and an empty line (RFC 9051 6.4.5.1). */
export function selectFields(header: Buffer, names: readonly string[], isWanted: boolean): Buffer {
  const wanted = new Set(names);
  const parts: Buffer[] = [];
  let fieldStart = -1;
  let isTaken = false;
  let at = 0;
  const close = (end: number): void => {
    if (fieldStart >= 0 && isTaken) parts.push(header.subarray(fieldStart, end));
    fieldStart = -1;
  };
  while (at < header.length) {
    const feed = header.indexOf(0x0a, at);
    const next = feed < 0 ? header.length : feed + 1;
    const first = header[at];
    if (first === 0x0a || (first === 0x0d && header[at + 1] === 0x0a)) {
      close(at);
      break;
    }
    if ((first !== 0x20 && first !== 0x09) || fieldStart < 0) {
      close(at);
      fieldStart = at;
      const colon = header.indexOf(0x3a, at);
      const name = colon < 0 || colon >= next ? undefined : header.toString('latin1', at, colon).trimEnd().toLowerCase();
      // A line that is no field goes where unnamed things go: to HEADER.FIELDS.NOT.
      isTaken = name !== undefined && wanted.has(name) === isWanted ? true : name === undefined && !isWanted;
    }
    at = next;
  }
  close(at);
  return Buffer.concat([...parts, emptyLine]);
}
