// Writes BODY[...], BINARY[...] and BINARY.SIZE[...] of an open message.
import { findPart } from '#mail/section.js';
import type { MessageReader } from '#storage/mailbox.js';
import { decodePart } from './binary-part.js';
import type { ContentItem } from './fetch-plan.js';
import { cutOctets, locateSection, type SectionContent } from './message-section.js';
import type { Session } from './session.js';

/** Read and sent in pieces of this size. */
const chunkBytes = 131_072;

/**
 * A literal was announced and its octets cannot be delivered: nothing can be said to the client any more, the connection has to end
 * (imap_fetch_failure is about failures before that).
 */
export class BrokenLiteralError extends Error {
  override readonly name = 'BrokenLiteralError';
}

/** RFC 3516 4.3: the part's encoding is not known. */
export class UnknownEncodingError extends Error {
  override readonly name = 'UnknownEncodingError';
}

export async function writeContent(session: Session, reader: MessageReader, item: ContentItem): Promise<void> {
  if (item.kind === 'section') {
    const { section } = item;
    const content = await locateSection(reader, section, item.partial);
    count(session, section.part.kind, content);
    await writeSection(session, reader, item.label, content, '');
    return;
  }
  const octets = await decodedPart(reader, item.path);
  if (item.kind === 'binary-size') {
    session.text(`${item.label} ${octets?.length ?? 0}`);
    return;
  }
  const cutDown = octets === undefined ? undefined : cutOctets(octets, item.partial);
  const content: SectionContent = cutDown === undefined ? { kind: 'nil' } : { kind: 'octets', octets: cutDown };
  count(session, 'all', content);
  // literal8 only where it is needed: NUL may not stand in a plain literal (RFC 3516 4.2).
  await writeSection(session, reader, item.label, content, cutDown?.includes(0) ? '~' : '');
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

async function decodedPart(reader: MessageReader, path: readonly number[]): Promise<Buffer | undefined> {
  // BINARY[] is the whole message, whose octets need no decoding.
  if (path.length === 0) return reader.read(0, reader.size);
  const part = findPart(await reader.structure(), path);
  if (part === undefined) return undefined;
  const raw = await reader.read(part.bodyStart, part.bodyEnd - part.bodyStart);
  const decoded = decodePart(raw, part.encoding);
  if (decoded === undefined) throw new UnknownEncodingError(`content-transfer-encoding ${part.encoding}`);
  return decoded;
}

async function writeSection(
  session: Session,
  reader: MessageReader,
  label: string,
  content: SectionContent,
  mark: '' | '~',
): Promise<void> {
  const { output } = session;
  switch (content.kind) {
    case 'nil':
      output.text(`${label} NIL`);
      return;
    case 'octets':
      output.text(`${label} ${mark}{${content.octets.length}}\r\n`);
      output.octets(content.octets);
      return;
    case 'range':
      await writeRange(session, reader, label, content.start, content.length);
  }
}

async function writeRange(session: Session, reader: MessageReader, label: string, start: number, length: number): Promise<void> {
  const { output } = session;
  // The first piece is read before anything is promised.
  let piece = length === 0 ? undefined : await reader.read(start, Math.min(length, chunkBytes));
  output.text(`${label} {${length}}\r\n`);
  let sent = 0;
  while (sent < length) {
    if (piece === undefined || piece.length === 0) throw new BrokenLiteralError(`message ends ${length - sent} octets early`);
    output.octets(piece);
    sent += piece.length;
    if (output.isFull) await output.drain();
    if (sent >= length) break;
    if (session.signal.aborted) throw new BrokenLiteralError('client is gone');
    try {
      piece = await reader.read(start + sent, Math.min(length - sent, chunkBytes));
    } catch (error) {
      throw new BrokenLiteralError('message cannot be read to its end', { cause: error });
    }
  }
}
