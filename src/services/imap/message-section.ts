// What FETCH BODY[...] and BINARY[...] return of one message: a range of its octets, or octets made from them.

import { selectFields } from '#mail/header.js';
import { findSection } from '#mail/section.js';
import type { Partial, Section } from '#protocol/imap/fetch-item.js';
import type { MessageReader } from '#storage/mailbox.js';

/** Octets of the message itself, or new ones. */
export type SectionContent =
  | { readonly kind: 'range'; readonly start: number; readonly length: number }
  | { readonly kind: 'octets'; readonly octets: Buffer }
  /** The message has no such part: NIL. */
  | { readonly kind: 'nil' };

const emptyLine = Buffer.from('\r\n');
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
  return {
    kind: 'octets',
    octets: cutOctets(Buffer.concat([selectFields(header, part.names, part.kind === 'fields'), emptyLine]), partial),
  };
}

function cutOctets(octets: Buffer, partial: Partial | undefined): Buffer {
  return partial === undefined ? octets : octets.subarray(partial.offset, partial.offset + partial.length);
}
