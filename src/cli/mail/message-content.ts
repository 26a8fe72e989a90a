// Octets of messages as `fetch` prints them. What people read (hdr, body, text) has line feeds; what programs ask for by section has CRLF.
import { findPart, findSection, type SectionKind } from '#mail/section.js';
import { decodeTransfer } from '#mail/transfer-encoding.js';
import type { MessageReader } from '#storage/mailbox.js';
import type { Cell } from '../print/format.js';

type Range = readonly [start: number, end: number];

const chunkBytes = 128 * 1024;
/** Decoding and rendering hold the message in memory. */
const maxRenderedBytes = 256 * 1024 * 1024;

/** The empty line that ends the header included. */
export async function headerRange(reader: MessageReader): Promise<Range> {
  const { headerStart, bodyStart } = await reader.structure();
  return [headerStart, bodyStart];
}

/** With line feeds. */
export function readablePart(reader: MessageReader, range: Range = [0, reader.size]): Cell {
  return { chunks: withoutCarriageReturns(chunksOf(reader, range)) };
}

async function* chunksOf(reader: MessageReader, [start, end]: Range): AsyncGenerator<Buffer> {
  for (let at = start; at < end; at += chunkBytes) {
    const chunk = await reader.read(at, Math.min(chunkBytes, end - at));
    if (chunk.length === 0) return;
    yield chunk;
  }
}

/** CRLF becomes LF; a carriage return alone stays. */
export async function* withoutCarriageReturns(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let holdsCr = false;
  for await (const chunk of chunks) {
    const source: Buffer = holdsCr ? Buffer.concat([Buffer.from('\r'), chunk]) : chunk;
    holdsCr = source[source.length - 1] === 0x0d;
    const text = holdsCr ? source.subarray(0, -1) : source;
    yield text.includes('\r\n') ? Buffer.from(text.toString('latin1').replaceAll('\r\n', '\n'), 'latin1') : text;
  }
  if (holdsCr) yield Buffer.from('\r');
}

/** @param isDecoded without its transfer encoding @returns undefined when there is no such part */
export async function partCell(
  reader: MessageReader,
  path: readonly number[],
  kind: SectionKind,
  isDecoded: boolean,
): Promise<Cell | undefined> {
  const structure = await reader.structure();
  const range = findSection(structure, path, kind);
  if (range === undefined) return undefined;
  if (!isDecoded) return { chunks: chunksOf(reader, [range.start, range.end]) };
  const encoding = findPart(structure, path)?.encoding ?? '8bit';
  const body = await reader.read(range.start, Math.min(range.end - range.start, maxRenderedBytes));
  const decoded = path.length === 0 ? body : decodeTransfer(body, encoding);
  return { chunks: one(decoded) };
}

async function* one(octets: Uint8Array): AsyncGenerator<Uint8Array> {
  yield octets;
}

/** Header with its encoded words decoded, then the text of the message, HTML rendered. */
export async function renderedText(reader: MessageReader): Promise<Cell> {
  const [{ renderMessageText }, { decodeWords }, { splitHeader, fieldText }] = await Promise.all([
    import('#mail/mailparser-text.js'),
    import('#mail/encoded-word.js'),
    import('#mail/header.js'),
  ]);
  const { bodyStart } = await reader.structure();
  const message = await reader.read(0, Math.min(reader.size, maxRenderedBytes));
  const block = message.subarray(0, bodyStart);
  const header = splitHeader(block).map((field) => {
    const nameEnd = block.indexOf(0x3a, field.start);
    return `${block.toString('latin1', field.start, nameEnd)}: ${decodeWords(fieldText(block, field))}\n`;
  });
  const text = `${header.join('')}\n${await renderMessageText(message)}`;
  return { chunks: one(Buffer.from(text.endsWith('\n') ? text : `${text}\n`)) };
}
