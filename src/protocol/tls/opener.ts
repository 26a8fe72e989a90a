// Opens the records that come in: octets in any pieces become what each record holds (RFC 8446 5.2).
import type { Direction } from './direction.js';
import { contentTypes, headerBytes, maxCiphertextBytes, maxContentBytes, RecordError } from './record.js';
import { tagBytes } from './suites.js';

export interface OpenedRecord {
  /** One of `contentTypes`, or what the other end made up. */
  readonly type: number;
  readonly content: Buffer;
}

const nothing: Buffer = Buffer.alloc(0);

/** Holds one record that has not come whole, 16,645 octets at most, beside what was pushed last. */
export class RecordOpener {
  readonly #direction: Direction;
  #received: Buffer;

  /** @param received of the next record, already there */
  constructor(direction: Direction, received: Buffer) {
    this.#direction = direction;
    this.#received = received;
  }

  /** What `next` has taken no record from yet. */
  get rest(): Buffer {
    return this.#received;
  }

  /** Takes the octets over. `next` is to be called until it has nothing more. */
  push(octets: Buffer): void {
    if (this.#received.length === 0) this.#received = octets;
    else if (octets.length > 0) this.#received = Buffer.concat([this.#received, octets]);
  }

  /**
   * The next record; undefined when it has not come whole.
   * @throws RecordError; the connection is over then
   */
  next(): OpenedRecord | undefined {
    const received = this.#received;
    if (received.length < headerBytes) return undefined;
    // Everything else ended with the handshake, also the change_cipher_spec that means nothing (RFC 8446 5).
    if (received[0] !== contentTypes.applicationData || received[1] !== 3 || received[2] !== 3)
      throw new RecordError('unexpectedMessage', `a record of type ${received[0]} that is not encrypted`);
    const length = received.readUInt16BE(3);
    if (length > maxCiphertextBytes) throw new RecordError('recordOverflow', `a record of ${length} octets`);
    const end = headerBytes + length;
    if (received.length < end) return undefined;
    this.#received = received.length === end ? nothing : received.subarray(end);
    return this.#open(received, end);
  }

  #open(record: Buffer, end: number): OpenedRecord {
    if (end - tagBytes <= headerBytes) throw new RecordError('decodeError', 'a record that is too short');
    const direction = this.#direction;
    const inner = direction.aead.open(
      direction.key,
      direction.nextNonce(),
      record.subarray(0, headerBytes),
      record.subarray(headerBytes, end),
    );
    if (inner === undefined) throw new RecordError('badRecordMac', 'a record that was changed on its way');
    let last = inner.length - 1;
    while (last >= 0 && inner[last] === 0) last -= 1;
    const type = inner[last];
    if (type === undefined) throw new RecordError('unexpectedMessage', 'a record that holds padding alone');
    if (last > maxContentBytes) throw new RecordError('recordOverflow', `a record that holds ${last} octets`);
    return { type, content: inner.subarray(0, last) };
  }
}
