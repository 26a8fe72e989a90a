// HMAC (RFC 2104), of which each connection's keys take eight.
//
// Where OpenSSL can be called directly, one of its contexts for each hash serves all connections, as with records (aead.ts): an object of node:crypto for
// each takes three times as long, and later the collector.
import { createHmac } from 'node:crypto';
import { type NativeFunction, openNativeLibraries } from '#util/native-calls.js';

export type Hash = 'sha256' | 'sha384';

/** @returns as long as the hash; nobody else's */
export type Hmac = (key: Buffer, octets: Buffer) => Buffer;

const known = new Map<Hash, Hmac>();

export function hmacOf(hash: Hash): Hmac {
  let hmac = known.get(hash);
  if (hmac === undefined) {
    hmac = openNative(hash) ?? nodeHmac(hash);
    known.set(hash, hmac);
  }
  return hmac;
}

/** The same through node:crypto. */
export function nodeHmac(hash: Hash): Hmac {
  return (key, octets) => createHmac(hash, key).update(octets).digest();
}

const hashBytes: Readonly<Record<Hash, number>> = { sha256: 32, sha384: 48 };

/** Where addresses and sizes have eight octets, the lowest first. */
const knownProcessors = ['x64', 'arm64', 'riscv64', 'loong64'];
/** OSSL_PARAM: an address, a type, another address and two sizes. */
const parameterBytes = 40;
/** OSSL_PARAM_UTF8_STRING */
const textType = 4;

interface Calls {
  readonly init: NativeFunction;
  readonly update: NativeFunction;
  readonly final: NativeFunction;
}

/** Undefined where Node shows its OpenSSL to nobody. */
function openNative(hash: Hash): Hmac | undefined {
  try {
    const native = openNativeLibraries();
    if (native === undefined || !knownProcessors.includes(process.arch)) return undefined;
    const library = native.load(null);
    const pointer = 'intptr_t';
    const calls: Calls = {
      init: library.func('EVP_MAC_init', 'int', [pointer, 'void *', 'size_t', 'void *']),
      update: library.func('EVP_MAC_update', 'int', [pointer, 'void *', 'size_t']),
      final: library.func('EVP_MAC_final', 'int', [pointer, 'void *', 'void *', 'size_t']),
    };
    const mac = library.func('EVP_MAC_fetch', pointer, [pointer, 'const char *', pointer])(0, 'HMAC', 0);
    if (mac === 0) return undefined;
    const context = library.func('EVP_MAC_CTX_new', pointer, [pointer])(mac);
    if (context === 0) return undefined;
    const [name, value] = [Buffer.from('digest\0'), Buffer.from(`${hash}\0`)];
    // The second one is the end of the list, and empty.
    const parameters = Buffer.alloc(2 * parameterBytes);
    parameters.writeBigUInt64LE(BigInt(native.address(name)), 0);
    parameters.writeUInt32LE(textType, 8);
    parameters.writeBigUInt64LE(BigInt(native.address(value)), 16);
    parameters.writeBigUInt64LE(BigInt(hash.length), 24);
    // With a key, as there is no other way to tell the hash; it stays when another key follows.
    if (calls.init(context, name, name.length, parameters) !== 1) return undefined;
    const hmac = nativeHmac(calls, context, hashBytes[hash]);
    return hmac(name, value).equals(nodeHmac(hash)(name, value)) ? hmac : undefined;
  } catch {
    return undefined;
  }
}

/** @param context stays for as long as the process */
function nativeHmac({ init, update, final }: Calls, context: number, bytes: number): Hmac {
  const length = Buffer.alloc(8);
  return (key, octets) => {
    const result = Buffer.allocUnsafe(bytes);
    const isDone =
      init(context, key, key.length, null) === 1 &&
      update(context, octets, octets.length) === 1 &&
      final(context, result, length, bytes) === 1;
    if (!isDone) throw new Error('OpenSSL could not make a MAC');
    return result;
  };
}
