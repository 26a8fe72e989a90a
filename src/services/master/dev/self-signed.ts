// A self-signed X.509 certificate (RFC 5280) with what the crypto module offers: it makes keys and signatures, the DER around them is built
// here. For trying things out on one's own machine, not for a server that others trust.
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import { isIP } from 'node:net';

const dayMs = 24 * 3600 * 1000;

/** Identifier octets (X.690). */
const tag = { integer: 0x02, bitString: 0x03, octetString: 0x04, oid: 0x06, utf8: 0x0c, sequence: 0x30, set: 0x31 } as const;
const timeTag = { utc: 0x17, generalized: 0x18 } as const;
const booleanTrue = Buffer.from([0x01, 0x01, 0xff]);
const oids = {
  commonName: '2.5.4.3',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  subjectKeyId: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
} as const;

export interface SelfSigned {
  /** PEM. */
  readonly certificate: string;
  /** PEM, PKCS #8. */
  readonly key: string;
}

/**
 * A P-256 key and a certificate for it, valid from a day ago.
 * @param names host names and IP addresses; the first one is the subject
 */
export function makeSelfSigned(names: readonly string[], days: number, now: Date): SelfSigned {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const publicKeyInfo = publicKey.export({ type: 'spki', format: 'der' });
  const subject = sequence(set(sequence(oid(oids.commonName), der(tag.utf8, Buffer.from(names[0] ?? 'localhost')))));
  const algorithm = sequence(oid(oids.ecdsaWithSha256));
  const body = sequence(
    der(0xa0, der(tag.integer, Buffer.from([2]))), // version 3
    der(tag.integer, serialNumber()),
    algorithm,
    subject,
    sequence(time(new Date(now.getTime() - dayMs)), time(new Date(now.getTime() + days * dayMs))),
    subject,
    publicKeyInfo,
    // Any value unique to the key serves as its id (RFC 5280 4.2.1.2): the end of the point does.
    der(0xa3, extensions(names, publicKeyInfo.subarray(-20))),
  );
  const signature = sign('sha256', body, privateKey);
  const certificate = sequence(body, algorithm, der(tag.bitString, Buffer.concat([Buffer.from([0]), signature])));
  return { certificate: pem('CERTIFICATE', certificate), key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
}

function extensions(names: readonly string[], subjectKeyId: Buffer): Buffer {
  const alternatives = names.map((name) => (isIP(name) === 0 ? der(0x82, Buffer.from(name)) : der(0x87, ipOctets(name))));
  return sequence(
    // An authority for itself alone: some programs want that of a certificate they are told to trust.
    extension(oids.basicConstraints, sequence(booleanTrue, der(tag.integer, Buffer.from([0]))), true),
    // digitalSignature and keyCertSign
    extension(oids.keyUsage, der(tag.bitString, Buffer.from([2, 0b1000_0100])), true),
    extension(oids.extendedKeyUsage, sequence(oid(oids.serverAuth)), false),
    extension(oids.subjectAltName, sequence(...alternatives), false),
    extension(oids.subjectKeyId, der(tag.octetString, subjectKeyId), false),
  );
}

function extension(id: string, value: Buffer, isCritical: boolean): Buffer {
  return sequence(oid(id), ...(isCritical ? [booleanTrue] : []), der(tag.octetString, value));
}

/** Positive, not zero, 20 octets at most (RFC 5280 4.1.2.2). */
function serialNumber(): Buffer {
  const octets = randomBytes(16);
  octets[0] = ((octets[0] ?? 0) & 0x7f) | 0x40;
  return octets;
}

/** UTCTime until 2049, GeneralizedTime from then on (RFC 5280 4.1.2.5). */
function time(at: Date): Buffer {
  const text = at.toISOString().replace(/[-:T]/g, '').slice(0, 14);
  return at.getUTCFullYear() < 2050
    ? der(timeTag.utc, Buffer.from(`${text.slice(2)}Z`))
    : der(timeTag.generalized, Buffer.from(`${text}Z`));
}

function ipOctets(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number));
  const [head = '', tail] = address.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = [...left, ...Array<string>(8 - left.length - right.length).fill('0'), ...right];
  return Buffer.from(groups.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]));
}

function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  return der(tag.oid, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

function base128(value: number): number[] {
  const octets = [value & 0x7f];
  for (let left = Math.floor(value / 128); left > 0; left = Math.floor(left / 128)) octets.unshift((left & 0x7f) | 0x80);
  return octets;
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(tag.sequence, Buffer.concat(parts));
}

function set(...parts: readonly Buffer[]): Buffer {
  return der(tag.set, Buffer.concat(parts));
}

function der(identifier: number, contents: Buffer): Buffer {
  const { length } = contents;
  const lengthOctets = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([identifier, ...lengthOctets]), contents]);
}

function pem(label: string, contents: Buffer): string {
  const lines = contents.toString('base64').match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}
