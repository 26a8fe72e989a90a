import type { MimePart } from '#mail/mime-part.js';
import { parseStructure } from '#mail/mime-tree.js';
import type { MessageReader } from '../mailbox.js';
import type { StructureStore } from './reader.js';

const nothing = Promise.resolve();

/** Random access to a message that was read as a whole. */
export class MemoryMessageReader implements MessageReader {
  readonly size: number;
  readonly storedSize: number;
  readonly #bytes: Buffer;
  readonly #structures: StructureStore | undefined;
  #structure: Promise<MimePart> | undefined;

  /** @param bytes as the client sees them; never changed afterwards, pieces of it are handed out */
  constructor(bytes: Buffer, storedSize: number, structures?: StructureStore) {
    this.#bytes = bytes;
    this.size = bytes.length;
    this.storedSize = storedSize;
    this.#structures = structures;
  }

  read(offset: number, length: number): Promise<Buffer> {
    return Promise.resolve(this.#bytes.subarray(offset, offset + Math.max(0, length)));
  }

  structure(): Promise<MimePart> {
    this.#structure ??= this.#findStructure();
    return this.#structure;
  }

  close(): Promise<void> {
    return nothing;
  }

  async #findStructure(): Promise<MimePart> {
    const known = await this.#structures?.find();
    if (known !== undefined) return known;
    const structure = parseStructure(this.#bytes);
    this.#structures?.keep(structure);
    return structure;
  }
}
