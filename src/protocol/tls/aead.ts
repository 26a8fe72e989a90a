// The encryption of records: AES-GCM and ChaCha20-Poly1305 with tags of 16 octets (RFC 5116).
//
// Where OpenSSL can be called directly, one of its contexts serves all connections, with the key set anew for each record: everything here is done in one
// turn. An object of node:crypto for each record costs five times as much, and later the collector.
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { type NativeFunction, openNativeLibraries } from '#util/native-calls.js';
import { type CipherSuite, ivBytes, tagBytes } from './suites.js';

type Algorithm = CipherSuite['algorithm'];

export interface Aead {
  /** @param target gets what `plain` becomes, and the tag */
  seal(key: Buffer, nonce: Buffer, header: Buffer, plain: Buffer, target: Buffer): void;
  /** @param sealed with the tag. @returns undefined when it is not what was sealed */
  open(key: Buffer, nonce: Buffer, header: Buffer, sealed: Buffer): Buffer | undefined;
}

const known = new Map<Algorithm, Aead>();

export function aeadOf({ algorithm, keyBytes }: CipherSuite): Aead {
  let aead = known.get(algorithm);
  if (aead === undefined) {
    aead = openNative(algorithm, keyBytes) ?? new NodeAead(algorithm);
    known.set(algorithm, aead);
  }
  return aead;
}

const authOptions = { authTagLength: tagBytes } as const;

/** The same through node:crypto. */
export class NodeAead implements Aead {
  // The types know no name for "an AEAD, whichever": all three have the methods of GCM.
  readonly #algorithm: 'aes-256-gcm';

  constructor(algorithm: Algorithm) {
    this.#algorithm = algorithm as 'aes-256-gcm';
  }

  seal(key: Buffer, nonce: Buffer, header: Buffer, plain: Buffer, target: Buffer): void {
    const cipher = createCipheriv(this.#algorithm, key, nonce, authOptions);
    cipher.setAAD(header);
    cipher.update(plain).copy(target);
    cipher.final();
    cipher.getAuthTag().copy(target, plain.length);
  }

  open(key: Buffer, nonce: Buffer, header: Buffer, sealed: Buffer): Buffer | undefined {
    const tagAt = sealed.length - tagBytes;
    const decipher = createDecipheriv(this.#algorithm, key, nonce, authOptions);
    decipher.setAAD(header);
    decipher.setAuthTag(sealed.subarray(tagAt));
    const plain = decipher.update(sealed.subarray(0, tagAt));
    try {
      decipher.final();
    } catch {
      return undefined;
    }
    return plain;
  }
}

const getTag = 0x10;
const setTag = 0x11;

const names: Readonly<Record<Algorithm, string>> = {
  'aes-128-gcm': 'EVP_aes_128_gcm',
  'aes-256-gcm': 'EVP_aes_256_gcm',
  'chacha20-poly1305': 'EVP_chacha20_poly1305',
};

interface Calls {
  readonly init: NativeFunction;
  readonly update: NativeFunction;
  readonly final: NativeFunction;
  readonly control: NativeFunction;
}

/** Undefined where Node shows its OpenSSL to nobody. */
function openNative(algorithm: Algorithm, keyBytes: number): Aead | undefined {
  try {
    const library = openNativeLibraries()?.load(null);
    if (library === undefined) return undefined;
    const pointer = 'intptr_t';
    const calls: Calls = {
      init: library.func('EVP_CipherInit_ex', 'int', [pointer, pointer, pointer, 'void *', 'void *', 'int']),
      update: library.func('EVP_CipherUpdate', 'int', [pointer, 'void *', 'void *', 'void *', 'int']),
      final: library.func('EVP_CipherFinal_ex', 'int', [pointer, 'void *', 'void *']),
      control: library.func('EVP_CIPHER_CTX_ctrl', 'int', [pointer, 'int', 'int', 'void *']),
    };
    const newContext = library.func('EVP_CIPHER_CTX_new', pointer, []);
    const cipher = library.func(names[algorithm], pointer, [])();
    const [sealing, opening] = [newContext(), newContext()];
    if (calls.init(sealing, cipher, 0, null, null, 1) !== 1 || calls.init(opening, cipher, 0, null, null, 0) !== 1) return undefined;
    return new NativeAead(calls, sealing, opening, keyBytes);
  } catch {
    return undefined;
  }
}

class NativeAead implements Aead {
  readonly #calls: Calls;
  /** Contexts, which stay for as long as the process. */
  readonly #sealing: number;
  readonly #opening: number;
  readonly #keyBytes: number;
  readonly #length = Buffer.alloc(4);

  constructor(calls: Calls, sealing: number, opening: number, keyBytes: number) {
    this.#calls = calls;
    this.#sealing = sealing;
    this.#opening = opening;
    this.#keyBytes = keyBytes;
  }

  seal(key: Buffer, nonce: Buffer, header: Buffer, plain: Buffer, target: Buffer): void {
    const { init, update, final, control } = this.#calls;
    const context = this.#sealing;
    const length = this.#length;
    this.#check(key, nonce);
    // Written by native code, which knows no bounds.
    if (target.length < plain.length + tagBytes) throw new RangeError('no room for what is sealed');
    const isDone =
      init(context, 0, 0, key, nonce, -1) === 1 &&
      update(context, null, length, header, header.length) === 1 &&
      update(context, target, length, plain, plain.length) === 1 &&
      final(context, target, length) === 1 &&
      control(context, getTag, tagBytes, target.subarray(plain.length)) === 1;
    if (!isDone) throw new Error('OpenSSL could not seal a record');
  }

  open(key: Buffer, nonce: Buffer, header: Buffer, sealed: Buffer): Buffer | undefined {
    const { init, update, final, control } = this.#calls;
    const context = this.#opening;
    const length = this.#length;
    const tagAt = sealed.length - tagBytes;
    this.#check(key, nonce);
    if (tagAt <= 0) return undefined;
    const plain = Buffer.allocUnsafe(tagAt);
    const isDone =
      init(context, 0, 0, key, nonce, -1) === 1 &&
      control(context, setTag, tagBytes, sealed.subarray(tagAt)) === 1 &&
      update(context, null, length, header, header.length) === 1 &&
      update(context, plain, length, sealed, tagAt) === 1 &&
      final(context, plain, length) === 1;
    return isDone ? plain : undefined;
  }

  #check(key: Buffer, nonce: Buffer): void {
    if (key.length !== this.#keyBytes || nonce.length !== ivBytes) throw new RangeError('a key or a nonce of another length');
  }
}
