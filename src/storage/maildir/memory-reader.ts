import type { MimePart } from '#mail/mime-part.js';
import { parseStructure } from '#mail/mime-tree.js';
import type { MessageReader } from '../mailbox.js';

const nothing = Promise.resolve();

/** Random access to a message that was read as a whole. */
export class MemoryMessageReader implements MessageReader {
  readonly size: number;
  readonly storedSize: number;
  readonly #bytes: Buffer;
  #structure: Promise<MimePart> | undefined;

  /** @param bytes as the client sees them; never changed afterwards, pieces of it are handed out */
  constructor(bytes: Buffer, storedSize: number) {
    this.#bytes = bytes;
    this.size = bytes.length;
    this.storedSize = storedSize;
  }

  read(offset: number, length: number): Promise<Buffer> {
    return Promise.resolve(this.#bytes.subarray(offset, offset + Math.max(0, length)));
  }

  structure(): Promise<MimePart> {
    this.#structure ??= Promise.resolve(parseStructure(this.#bytes));
    return this.#structure;
  }

  close(): Promise<void> {
    return nothing;
  }
}
