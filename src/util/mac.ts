// HMAC-SHA-256 (RFC 2104) of short texts, again and again under one key. Node's Hmac is an object with a native half, which costs several times what its
// two digests do, and more when it is collected; Node's one-shot digest, which Node has since 20.12, has neither.
import crypto from 'node:crypto';

const blockBytes = 64;
const digestBytes = 32;
const innerPad = 0x36;
const outerPad = 0x5c;
const algorithm = 'sha256';
/** Longer texts take a buffer of their own. */
const keptTextBytes = 1_024;

export class Mac {
  readonly #key: Buffer;
  /** The padded key, and behind it room for what is digested. */
  readonly #inner = Buffer.alloc(blockBytes + keptTextBytes);
  readonly #outer = Buffer.alloc(blockBytes + digestBytes);

  /** @param key at most 64 octets */
  constructor(key: Buffer) {
    if (key.length > blockBytes) throw new RangeError(`key of ${key.length} octets`);
    this.#key = Buffer.from(key);
    for (let at = 0; at < blockBytes; at += 1) {
      const octet = key[at] ?? 0;
      this.#inner[at] = octet ^ innerPad;
      this.#outer[at] = octet ^ outerPad;
    }
  }

  /** @returns base64, 44 characters */
  of(text: string): string {
    if (crypto.hash === undefined) return crypto.createHmac(algorithm, this.#key).update(text).digest('base64');
    const padded = this.#padded(text);
    this.#outer.write(crypto.hash(algorithm, padded, 'binary'), blockBytes, 'latin1');
    // It may have held a password.
    padded.fill(0, blockBytes);
    return crypto.hash(algorithm, this.#outer, 'base64');
  }

  #padded(text: string): Buffer {
    const length = Buffer.byteLength(text);
    if (length > keptTextBytes) return Buffer.concat([this.#inner.subarray(0, blockBytes), Buffer.from(text)]);
    this.#inner.write(text, blockBytes);
    return this.#inner.subarray(0, blockBytes + length);
  }
}

/** In a time that does not tell how much of a seal that somebody made up is right. */
export function isSameSeal(right: string, given: string): boolean {
  const a = Buffer.from(right);
  const b = Buffer.from(given);
  return a.length === b.length && crypto.timingSafeEqual(a, b);
}
