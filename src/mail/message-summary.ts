// What a mailbox keeps of each message (ENVELOPE, BODY, BODYSTRUCTURE, header fields), written one behind the other: for many small messages in a
// row, with as few objects as possible. The same answers as header.ts, wire.ts and mime-tree.ts.
import type { Buffer } from 'node:buffer';
import type { OctetBlocks } from '#util/octet-blocks.js';
import { contentNames, parseContentFields } from './content-fields.js';
import { envelopeNames, putEnvelope } from './envelope-octets.js';
import { FieldNames, FieldTable, scanHeader } from './header-scan.js';
import { countLines } from './line-count.js';
import type { MimePart, OctetString } from './mime-part.js';
import { parseStructure } from './mime-tree.js';
import { body, bodyStructure, leafTexts } from './wire.js';

/** Of a message with one part: what does not depend on its body. */
interface LeafShape {
  readonly head: OctetString;
  readonly tail: OctetString;
  readonly isText: boolean;
}

/** MIME fields that come again and again, like those of plain text, are worked out once. */
const maxShapes = 500;
const maxShapeBytes = 500;
const multipart = /multipart/i;
const firstContent = envelopeNames.length;
const lastContent = firstContent + contentNames.length - 1;

export class MessageSummary {
  readonly #names: FieldNames;
  /** By number of a name: 1 for those to keep. */
  readonly #isKept: Uint8Array;
  readonly #table = new FieldTable();
  readonly #shapes = new Map<OctetString, LeafShape>();
  #message: Buffer | undefined;
  #bodyStart = 0;
  #shape: LeafShape | undefined;
  #structure: MimePart | undefined;

  /** @param keptNames header fields to keep, lower-case */
  constructor(keptNames: readonly string[]) {
    const names = [...new Set<string>([...envelopeNames, ...contentNames, ...keptNames])];
    const kept = new Set(keptNames);
    this.#names = new FieldNames(names);
    this.#isKept = Uint8Array.from(names, (name) => (kept.has(name) ? 1 : 0));
  }

  /** Reads the header of the next message. @param message as the client sees it; must stay as it is until everything has been put */
  begin(message: Buffer): void {
    this.#message = message;
    this.#bodyStart = scanHeader(message, this.#names, this.#table);
    this.#shape = undefined;
    this.#structure = undefined;
  }

  /** Octets of the header with the empty line. */
  get headerBytes(): number {
    return this.#bodyStart;
  }

  putEnvelope(out: OctetBlocks): void {
    if (this.#message !== undefined) putEnvelope(this.#message, this.#table, out);
  }

  /** The fields to keep, each with its line end, in message order. */
  putKept(out: OctetBlocks): void {
    const table = this.#table;
    const message = this.#message;
    if (message === undefined) return;
    let from = 0;
    let to = 0;
    for (let index = 0; index < table.count; index += 1) {
      if (this.#isKept[table.nameAt(index)] !== 1) continue;
      const start = table.startAt(index);
      if (start !== to) {
        if (to > from) out.copy(message, from, to);
        from = start;
      }
      to = table.endAt(index);
    }
    if (to > from) out.copy(message, from, to);
  }

  putBody(out: OctetBlocks): void {
    if (!this.#putLeaf(out, false)) out.text(body(this.#parsed()).toString('latin1'));
  }

  putBodyStructure(out: OctetBlocks): void {
    if (!this.#putLeaf(out, true)) out.text(bodyStructure(this.#parsed()).toString('latin1'));
  }

  #putLeaf(out: OctetBlocks, isExtended: boolean): boolean {
    const message = this.#message;
    if (message === undefined || this.#structure !== undefined) return false;
    this.#shape ??= this.#shapeOf(message);
    const shape = this.#shape;
    if (shape === undefined) return false;
    out.text(shape.head);
    out.decimal(message.length - this.#bodyStart);
    if (shape.isText) {
      out.octet(0x20);
      out.decimal(countLines(message, this.#bodyStart, message.length));
    }
    if (isExtended) out.text(shape.tail);
    out.octet(0x29);
    return true;
  }

  /** @returns undefined when the message has parts, or odd MIME fields */
  #shapeOf(message: Buffer): LeafShape | undefined {
    const table = this.#table;
    let fields = '';
    for (let index = 0; index < table.count; index += 1) {
      const name = table.nameAt(index);
      if (name < firstContent || name > lastContent) continue;
      const length = table.endAt(index) - table.startAt(index);
      if (length + fields.length > maxShapeBytes) return undefined;
      fields += message.toString('latin1', table.startAt(index), table.endAt(index));
    }
    // Not worth keeping: a boundary is new in each message.
    if (multipart.test(fields)) return undefined;
    const known = this.#shapes.get(fields);
    if (known !== undefined) return known;
    const shape = leafShape(message.subarray(0, this.#bodyStart));
    // What comes again will be learned again soon.
    if (this.#shapes.size >= maxShapes) this.#shapes.clear();
    if (shape !== undefined) this.#shapes.set(fields, shape);
    return shape;
  }

  #parsed(): MimePart {
    this.#structure ??= parseStructure(this.#message as Buffer);
    return this.#structure;
  }
}

function leafShape(header: Buffer): LeafShape | undefined {
  const attributes = parseContentFields(header);
  if (attributes.type === 'multipart' || attributes.type === 'message') return undefined;
  return { ...leafTexts(attributes), isText: attributes.type === 'text' };
}
