// Seals what goes out into records (RFC 8446 5.2), without padding.
import type { Direction } from './direction.js';
import { type AlertName, alerts, contentTypes, headerBytes, maxContentBytes, overheadBytes, writeHeader } from './record.js';

/** AES-GCM is safe for some 24 million records of full size under one key (RFC 8446 5.5). */
export const recordsPerKey = 2 ** 24;

const levels = { warning: 1, fatal: 2 } as const;
const keyUpdateType = 24;

export class RecordSealer {
  readonly #direction: Direction;
  readonly #recordsPerKey: number;

  constructor(direction: Direction, keyLife = recordsPerKey) {
    this.#direction = direction;
    this.#recordsPerKey = keyLife;
  }

  /** The records for what was written together, in one piece. */
  seal(parts: readonly Buffer[]): Buffer {
    const [only] = parts;
    const content = parts.length === 1 && only !== undefined ? only : Buffer.concat(parts);
    if (content.length <= maxContentBytes && !this.#isKeyOld) return this.#record(contentTypes.applicationData, content);
    const records: Buffer[] = [];
    for (let offset = 0; offset < content.length; offset += maxContentBytes) {
      if (this.#isKeyOld) records.push(this.keyUpdate(false));
      records.push(this.#record(contentTypes.applicationData, content.subarray(offset, offset + maxContentBytes)));
    }
    return Buffer.concat(records);
  }

  alert(name: AlertName): Buffer {
    const level = name === 'closeNotify' ? levels.warning : levels.fatal;
    return this.#record(contentTypes.alert, Buffer.from([level, alerts[name]]));
  }

  /**
   * Tells the other end that the next key follows, and goes on with it (RFC 8446 4.6.3).
   * @param isAsking it shall do the same
   */
  keyUpdate(isAsking: boolean): Buffer {
    const record = this.#record(contentTypes.handshake, Buffer.from([keyUpdateType, 0, 0, 1, isAsking ? 1 : 0]));
    this.#direction.update();
    return record;
  }

  get #isKeyOld(): boolean {
    return this.#direction.sequence >= this.#recordsPerKey;
  }

  #record(type: number, content: Buffer): Buffer {
    const direction = this.#direction;
    const inner = Buffer.allocUnsafe(content.length + 1);
    content.copy(inner);
    inner[content.length] = type;
    const record = Buffer.allocUnsafe(content.length + overheadBytes);
    writeHeader(record, content.length + overheadBytes - headerBytes);
    direction.aead.seal(direction.key, direction.nextNonce(), record.subarray(0, headerBytes), inner, record.subarray(headerBytes));
    return record;
  }
}

/** What a KeyUpdate asks for; undefined when the message is none, or more than one. */
export function parseKeyUpdate(content: Buffer): { readonly isAsking: boolean } | undefined {
  if (content.length !== 5 || content.readUInt32BE(0) !== ((keyUpdateType << 24) | 1)) return undefined;
  const asked = content[4];
  return asked === 0 || asked === 1 ? { isAsking: asked === 1 } : undefined;
}
