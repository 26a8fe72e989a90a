// What `prepare` makes ready for a slice of messages: structures in wire form, header fields, previews.
import { selectFields } from '#mail/header.js';
import type { MimePart } from '#mail/mime-part.js';
import { parseStructure } from '#mail/mime-tree.js';
import { previewOf } from '#mail/preview.js';
import { body, bodyStructure, envelope } from '#mail/wire.js';
import { StorageError } from '../errors.js';
import type { MessageReader } from '../mailbox.js';
import type { MessageNeeds } from '../types.js';
import type { MaildirBox } from './box.js';
import { eachLimit, filesInFlight, openReader } from './message-files.js';

export interface Contents {
  envelope: Buffer | undefined;
  body: Buffer | undefined;
  bodyStructure: Buffer | undefined;
  /** Octets that hold at least the fields `headerNames`; undefined names: the whole header. */
  header: Buffer | undefined;
  preview: string | undefined;
}

const wholeBytes = 1024 * 1024;
const headerFirstBytes = 16 * 1024;
const maxHeaderBytes = 10 * 1024 * 1024;

export function needsContents(needs: MessageNeeds): boolean {
  return (
    needs.envelope === true || needs.body === true || needs.bodyStructure === true || needs.headers !== undefined || needs.preview === true
  );
}

/** @returns by UID; those not in it are gone */
export async function loadContents(
  box: MaildirBox,
  uids: readonly number[],
  needs: MessageNeeds,
  signal: AbortSignal,
): Promise<Map<number, Contents>> {
  const loaded = new Map<number, Contents>();
  await eachLimit(uids, filesInFlight, async (uid) => {
    signal.throwIfAborted();
    try {
      const reader = await openReader(box, uid, signal);
      try {
        loaded.set(uid, await readContents(reader, needs));
      } finally {
        await reader.close();
      }
    } catch (error) {
      if (!(error instanceof StorageError) || error.code !== 'expunged') throw error;
    }
  });
  return loaded;
}

async function readContents(reader: MessageReader, needs: MessageNeeds): Promise<Contents> {
  const needsStructure = needs.body === true || needs.bodyStructure === true;
  const { header, structure } = needsStructure ? await readStructure(reader) : { header: await readHeader(reader), structure: undefined };
  return {
    envelope: needs.envelope === true ? envelope(header) : undefined,
    body: needs.body === true && structure !== undefined ? body(structure) : undefined,
    bodyStructure: needs.bodyStructure === true && structure !== undefined ? bodyStructure(structure) : undefined,
    header: needs.headers === undefined ? undefined : header,
    preview: needs.preview === true ? await previewOf(reader, structure ?? (await reader.structure())) : undefined,
  };
}

async function readStructure(reader: MessageReader): Promise<{ readonly header: Buffer; readonly structure: MimePart }> {
  if (reader.size <= wholeBytes) {
    const bytes = await reader.read(0, reader.size);
    const structure = parseStructure(bytes);
    return { header: bytes.subarray(0, structure.bodyStart), structure };
  }
  const structure = await reader.structure();
  return { header: await reader.read(0, Math.min(structure.bodyStart, maxHeaderBytes)), structure };
}

/** The header with the empty line, read without the rest of the message. */
export async function readHeader(reader: MessageReader): Promise<Buffer> {
  for (let length = headerFirstBytes; ; length *= 4) {
    const bytes = await reader.read(0, Math.min(length, maxHeaderBytes));
    const end = headerEnd(bytes);
    if (end >= 0) return bytes.subarray(0, end);
    if (bytes.length >= reader.size || bytes.length >= maxHeaderBytes) return bytes;
  }
}

/** Behind the empty line; -1. */
function headerEnd(bytes: Buffer): number {
  if (bytes[0] === 0x0a) return 1;
  if (bytes[0] === 0x0d && bytes[1] === 0x0a) return 2;
  for (let at = bytes.indexOf(0x0a); at >= 0; at = bytes.indexOf(0x0a, at + 1)) {
    if (bytes[at + 1] === 0x0a) return at + 2;
    if (bytes[at + 1] === 0x0d && bytes[at + 2] === 0x0a) return at + 3;
  }
  return -1;
}

/** Fields by name, in message order. A copy. */
export function fieldsOf(header: Buffer, names: readonly string[]): Buffer {
  return Buffer.from(selectFields(header, names));
}
