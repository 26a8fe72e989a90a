// BODY[...], BINARY[...] and BINARY.SIZE[...] of an open message: first everything is found, then written. Once a reply has begun nothing
// may fail any more but the connection itself.
import { findPart } from '#mail/section.js';
import type { Partial } from '#protocol/imap/fetch-item.js';
import type { MessageReader } from '#storage/mailbox.js';
import { decodePart, isKnownEncoding } from './binary-part.js';
import type { ContentItem } from './fetch-plan.js';
import { cutOctets, locateSection, type SectionContent } from './message-section.js';
import type { Session } from './session.js';

/** Read and sent in pieces of this size. */
const chunkBytes = 131_072;

/** A reply was begun and cannot be ended: nothing can be said to the client any more, the connection has to end. */
export class BrokenLiteralError extends Error {
  override readonly name = 'BrokenLiteralError';
}

/** RFC 3516 4.3: the part's encoding is not known. */
export class UnknownEncodingError extends Error {
  override readonly name = 'UnknownEncodingError';
}

/** What an item will send; octets of the message are still where they are. */
export type LocatedContent =
  | { readonly item: ContentItem & { kind: 'section' }; readonly content: SectionContent }
  | { readonly item: ContentItem & { kind: 'binary' | 'binary-size' }; readonly part: EncodedPart | undefined };

interface EncodedPart {
  readonly start: number;
  readonly length: number;
  readonly encoding: string;
}

/** @throws StorageError, UnknownEncodingError; nothing has been written then */
export async function locateContent(reader: MessageReader, item: ContentItem): Promise<LocatedContent> {
  if (item.kind === 'section') return { item, content: await locateSection(reader, item.section, item.partial) };
  // BINARY[] is the whole message, whose octets need no decoding.
  if (item.path.length === 0) return { item, part: { start: 0, length: reader.size, encoding: '8bit' } };
  const part = findPart(await reader.structure(), item.path);
  if (part === undefined) return { item, part: undefined };
  if (!isKnownEncoding(part.encoding)) throw new UnknownEncodingError(`content-transfer-encoding ${part.encoding}`);
  return { item, part: { start: part.bodyStart, length: part.bodyEnd - part.bodyStart, encoding: part.encoding } };
}

/** @throws BrokenLiteralError */
export async function writeContent(session: Session, reader: MessageReader, located: LocatedContent): Promise<void> {
  try {
    if (located.item.kind === 'section' && 'content' in located) {
      count(session, located.item.section.part.kind, located.content);
      await writeSection(session, reader, located.item.label, located.content);
    } else if ('part' in located) await writeBinary(session, reader, located);
  } catch (error) {
    if (error instanceof BrokenLiteralError) throw error;
    throw new BrokenLiteralError(`message cannot be read: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function count({ counters }: Session, kind: string, content: SectionContent): void {
  const bytes = content.kind === 'range' ? content.length : content.kind === 'octets' ? content.octets.length : 0;
  if (kind === 'all' || kind === 'text') {
    counters.fetchBodyCount += 1;
    counters.fetchBodyBytes += bytes;
  } else {
    counters.fetchHdrCount += 1;
    counters.fetchHdrBytes += bytes;
  }
}

async function writeBinary(
  session: Session,
  reader: MessageReader,
  located: LocatedContent & { part: EncodedPart | undefined },
): Promise<void> {
  const { item, part } = located;
  const decoded = part === undefined ? undefined : decodePart(await reader.read(part.start, part.length), part.encoding);
  if (item.kind === 'binary-size') {
    session.text(`${item.label} ${decoded?.length ?? 0}`);
    return;
  }
  const partial: Partial | undefined = item.kind === 'binary' ? item.partial : undefined;
  if (decoded === undefined) {
    session.text(`${item.label} NIL`);
    return;
  }
  const octets = cutOctets(decoded, partial);
  count(session, 'all', { kind: 'octets', octets });
  // literal8 only where it is needed: NUL may not stand in a plain literal (RFC 3516 4.2).
  session.text(`${item.label} ${octets.includes(0) ? '~' : ''}{${octets.length}}\r\n`);
  session.output.octets(octets);
}

async function writeSection(session: Session, reader: MessageReader, label: string, content: SectionContent): Promise<void> {
  const { output } = session;
  switch (content.kind) {
    case 'nil':
      output.text(`${label} NIL`);
      return;
    case 'octets':
      output.text(`${label} {${content.octets.length}}\r\n`);
      output.octets(content.octets);
      return;
    case 'range':
      output.text(`${label} {${content.length}}\r\n`);
      await writeRange(session, reader, content.start, content.length);
  }
}

async function writeRange(session: Session, reader: MessageReader, start: number, length: number): Promise<void> {
  const { output } = session;
  let sent = 0;
  while (sent < length) {
    if (session.signal.aborted) throw new BrokenLiteralError('client is gone');
    const piece = await reader.read(start + sent, Math.min(length - sent, chunkBytes));
    if (piece.length === 0) throw new BrokenLiteralError(`message ends ${length - sent} octets early`);
    output.octets(piece);
    sent += piece.length;
    if (output.isFull) await output.drain();
  }
}
