// One direction of a connection with TLS 1.3: its secret, and the number of the next record.
import { type Aead, aeadOf } from './aead.js';
import { type CipherSuite, cipherSuite, ivBytes, nextSecret, trafficKeys } from './suites.js';

/**
 * All that somebody needs who goes on with this direction. Only one may: two records with the same number under the same secret would give away what
 * they hold (RFC 8446 5.3).
 */
export interface DirectionState {
  /** The suite's name in the registry, `TLS_AES_256_GCM_SHA384`. */
  readonly suite: string;
  readonly secret: Buffer;
  /** Of the next record. */
  readonly sequence: number;
}

export class Direction {
  readonly suite: CipherSuite;
  readonly aead: Aead;
  readonly #suiteName: string;
  #secret: Buffer;
  #key: Buffer;
  #iv: Buffer;
  #sequence: number;

  /** @throws RangeError for a suite that is not known, or a secret of another length than it has */
  constructor({ suite: name, secret, sequence }: DirectionState) {
    const suite = cipherSuite(name);
    if (suite === undefined) throw new RangeError(`unknown cipher suite ${name}`);
    if (secret.length !== suite.secretBytes) throw new RangeError(`a secret of ${secret.length} octets for ${name}`);
    this.suite = suite;
    this.aead = aeadOf(suite);
    this.#suiteName = name;
    this.#secret = secret;
    this.#sequence = sequence;
    const { key, iv } = trafficKeys(suite, secret);
    this.#key = key;
    this.#iv = iv;
  }

  get state(): DirectionState {
    return { suite: this.#suiteName, secret: this.#secret, sequence: this.#sequence };
  }

  get key(): Buffer {
    return this.#key;
  }

  get sequence(): number {
    return this.#sequence;
  }

  /** For the next record, whose number is used up with it (RFC 8446 5.3). */
  nextNonce(): Buffer {
    const nonce = Buffer.allocUnsafe(ivBytes);
    this.#iv.copy(nonce);
    const sequence = this.#sequence;
    this.#sequence = sequence + 1;
    nonce.writeUInt32BE((nonce.readUInt32BE(ivBytes - 4) ^ (sequence >>> 0)) >>> 0, ivBytes - 4);
    if (sequence > 0xffff_ffff)
      nonce.writeUInt32BE((nonce.readUInt32BE(ivBytes - 8) ^ Math.floor(sequence / 0x1_0000_0000)) >>> 0, ivBytes - 8);
    return nonce;
  }

  /** @param count of records that somebody else has sealed */
  skip(count: number): void {
    this.#sequence += count;
  }

  /** After a KeyUpdate (RFC 8446 7.2). */
  update(): void {
    this.#secret = nextSecret(this.suite, this.#secret);
    const { key, iv } = trafficKeys(this.suite, this.#secret);
    this.#key = key;
    this.#iv = iv;
    this.#sequence = 0;
  }
}
