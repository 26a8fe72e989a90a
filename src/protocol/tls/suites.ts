// What a cipher suite of TLS 1.3 means for records: the AEAD, and how its keys come from a traffic secret (RFC 8446 7.1 to 7.3, B.4).
import { type Hash, hmacOf } from './mac.js';

export interface CipherSuite {
  readonly algorithm: 'aes-128-gcm' | 'aes-256-gcm' | 'chacha20-poly1305';
  readonly keyBytes: 16 | 32;
  readonly hash: Hash;
  /** Of a traffic secret: that of the hash. */
  readonly secretBytes: 32 | 48;
}

export interface TrafficKeys {
  readonly key: Buffer;
  readonly iv: Buffer;
}

export const tagBytes = 16;
export const ivBytes = 12;

const suites: ReadonlyMap<string, CipherSuite> = new Map<string, CipherSuite>([
  ['TLS_AES_128_GCM_SHA256', { algorithm: 'aes-128-gcm', keyBytes: 16, hash: 'sha256', secretBytes: 32 }],
  ['TLS_AES_256_GCM_SHA384', { algorithm: 'aes-256-gcm', keyBytes: 32, hash: 'sha384', secretBytes: 48 }],
  ['TLS_CHACHA20_POLY1305_SHA256', { algorithm: 'chacha20-poly1305', keyBytes: 32, hash: 'sha256', secretBytes: 32 }],
]);

/** Undefined for suites that are not known here. */
export function cipherSuite(name: string): CipherSuite | undefined {
  return suites.get(name);
}

export function trafficKeys(suite: CipherSuite, secret: Buffer): TrafficKeys {
  return { key: expandLabel(suite, secret, keyLabel(suite.keyBytes)), iv: expandLabel(suite, secret, ivLabel) };
}

/** The secret that follows after a KeyUpdate (RFC 8446 7.2). */
export function nextSecret(suite: CipherSuite, secret: Buffer): Buffer {
  return expandLabel(suite, secret, updateLabel(suite.secretBytes));
}

interface Label {
  readonly octets: Buffer;
  readonly length: number;
}

/** HkdfLabel with an empty context, and the octet that HKDF-Expand adds for its first block (RFC 5869 2.3): none of ours needs a second one. */
function label(name: string, length: number): Label {
  const text = `tls13 ${name}`;
  return { octets: Buffer.from([length >> 8, length & 0xff, text.length, ...Buffer.from(text, 'latin1'), 0, 1]), length };
}

const keyLabels = { 16: label('key', 16), 32: label('key', 32) } as const;
const updateLabels = { 32: label('traffic upd', 32), 48: label('traffic upd', 48) } as const;
const ivLabel = label('iv', ivBytes);
const keyLabel = (bytes: CipherSuite['keyBytes']): Label => keyLabels[bytes];
const updateLabel = (bytes: CipherSuite['secretBytes']): Label => updateLabels[bytes];

function expandLabel({ hash }: CipherSuite, secret: Buffer, { octets, length }: Label): Buffer {
  return hmacOf(hash)(secret, octets).subarray(0, length);
}
