// BODY[...], BINARY[...] and BINARY.SIZE[...] of an open message: first everything is found, then written. Once a reply has begun nothing
// may fail any more but the connection itself.
import { findPart } from '#mail/section.js';
import { createTransferDecoder } from '#mail/transfer-encoding.js';
import type { MessageReader } from '#storage/mailbox.js';
import type { ContentItem } from './fetch-plan.js';
import { locateSection, type SectionContent } from './message-section.js';
import type { Session } from './session.js';

/** Read and sent in pieces of this size. */
const chunkBytes = 262_144;
/** Buffers for pieces that are kept for the next message: memory fresh from the kernel costs as much as the copy into it. */
const maxSpareBuffers = 4;
const spareBuffers: Buffer[] = [];

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
  if (createTransferDecoder(part.encoding) === undefined) throw new UnknownEncodingError(`content-transfer-encoding ${part.encoding}`);
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

/** All of a small message, or a part cut out of it. @param message is copied */
export function writeWhole(session: Session, { label, partial }: ContentItem & { kind: 'section' }, message: Buffer): void {
  const { counters, output } = session;
  const from = partial === undefined ? 0 : Math.min(partial.offset, message.length);
  const to = partial === undefined ? message.length : Math.min(from + partial.length, message.length);
  counters.fetchBodyCount += 1;
  counters.fetchBodyBytes += to - from;
  output.text(`${label} {${to - from}}\r\n`);
  output.copy(message, from, to);
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

/** Decoded octets of a part, piece by piece. */
async function* decoded(reader: MessageReader, part: EncodedPart): AsyncGenerator<Buffer> {
  const decoder = createTransferDecoder(part.encoding);
  if (decoder === undefined) return;
  for (let done = 0; done < part.length; ) {
    const piece = await reader.read(part.start + done, Math.min(part.length - done, chunkBytes));
    if (piece.length === 0) throw new BrokenLiteralError(`message ends ${part.length - done} octets early`);
    done += piece.length;
    yield decoder.push(piece);
  }
  yield decoder.end();
}

/** The length of a decoded part stands before it, so a large part is decoded twice rather than kept. */
const maxKeptBytes = 1_048_576;

async function writeBinary(
  session: Session,
  reader: MessageReader,
  located: LocatedContent & { part: EncodedPart | undefined },
): Promise<void> {
  const { item, part } = located;
  if (part === undefined) {
    session.text(item.kind === 'binary-size' ? `${item.label} 0` : `${item.label} NIL`);
    return;
  }
  let size = 0;
  let hasNul = false;
  let kept: Buffer[] | undefined = [];
  for await (const piece of decoded(reader, part)) {
    size += piece.length;
    if (size > maxKeptBytes || item.kind === 'binary-size') kept = undefined;
    kept?.push(piece);
    hasNul ||= piece.includes(0);
  }
  if (item.kind !== 'binary') {
    session.text(`${item.label} ${size}`);
    return;
  }
  const from = Math.min(item.partial?.offset ?? 0, size);
  const to = Math.min(from + (item.partial?.length ?? size), size);
  session.counters.fetchBodyCount += 1;
  session.counters.fetchBodyBytes += to - from;
  // literal8 only where it is needed: NUL may not stand in a plain literal (RFC 3516 4.2).
  session.text(`${item.label} ${hasNul ? '~' : ''}{${to - from}}\r\n`);
  let at = 0;
  for await (const piece of kept ?? decoded(reader, part)) {
    session.output.octets(piece.subarray(Math.max(from - at, 0), Math.max(to - at, 0)));
    at += piece.length;
    if (session.output.isFull) await session.output.drain();
    if (at >= to) break;
  }
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
  if (length > chunkBytes / 2) await writePieces(session, reader, start, length);
  else writePiece(session, await reader.read(start, length), length);
}

function writePiece(session: Session, piece: Buffer, left: number): void {
  const expected = Math.min(left, chunkBytes);
  if (piece.length < expected) throw new BrokenLiteralError(`message ends ${left - piece.length} octets early`);
  session.output.octets(piece);
}

/** While one piece goes to the client the next one is read, into two buffers in turn. */
async function writePieces(session: Session, reader: MessageReader, start: number, length: number): Promise<void> {
  const { output } = session;
  const buffers = [takeBuffer(), takeBuffer()] as const;
  let isReusable = true;
  const readPiece = (at: number): Promise<Buffer> =>
    reader.read(start + at, Math.min(length - at, chunkBytes), isReusable ? buffers[(at / chunkBytes) & 1] : undefined);
  let next: Promise<Buffer> | undefined = readPiece(0);
  try {
    for (let at = 0; next !== undefined; at += chunkBytes) {
      if (session.isGone) throw new BrokenLiteralError('client is gone');
      const piece: Buffer = await next;
      next = at + chunkBytes < length ? readPiece(at + chunkBytes) : undefined;
      writePiece(session, piece, length - at);
      await output.drain();
      // What a broken or unusual stream still holds must not be written to.
      isReusable &&= output.isSent;
    }
  } finally {
    // A read ahead that nobody waits for any more ends before the file is closed.
    await next?.catch(() => undefined);
    if (isReusable && output.isSent) spareBuffers.push(...buffers.slice(0, maxSpareBuffers - spareBuffers.length));
  }
}

function takeBuffer(): Buffer {
  return spareBuffers.pop() ?? Buffer.allocUnsafeSlow(chunkBytes);
}
