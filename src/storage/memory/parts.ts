// What FETCH needs of a message, computed by src/mail from its octets.
import { selectFields } from '#mail/header.js';
import type { MimePart } from '#mail/mime-part.js';
import { parseStructure } from '#mail/mime-tree.js';
import { body, bodyStructure, envelope } from '#mail/wire.js';

/** Wire forms of one message. */
export interface MessageParts {
  readonly envelope: Buffer;
  readonly body: Buffer;
  readonly bodyStructure: Buffer;
}

export function partsOf(content: Buffer, structure: MimePart): MessageParts {
  return { envelope: envelope(content.subarray(0, structure.bodyStart)), body: body(structure), bodyStructure: bodyStructure(structure) };
}

export function structureOf(content: Buffer): MimePart {
  return parseStructure(content);
}

/** A copy, as the contract leaves the buffer to the caller. */
export function headerFieldsOf(content: Buffer, names: readonly string[]): Buffer {
  return Buffer.from(selectFields(content, names));
}
