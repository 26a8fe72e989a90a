// The PROXY protocol header, versions 1 and 2, as a proxy sends it before the client's first octet (haproxy.org, proxy-protocol.txt).
//
// Version 1 is one line of at most 107 octets: `PROXY TCP4 source destination sourcePort destinationPort CRLF`, or `PROXY UNKNOWN ... CRLF`.
// Version 2: 12 octets signature, version and command, family and transport, 16-bit length, addresses, then TLVs (type, 16-bit length, value).

import { isIP } from 'node:net';
import { plainIp } from './addresses.js';

const signature = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);
const prefix1 = Buffer.from('PROXY ');
const maxLine1 = 107;
const head2 = 16;
/** Addresses and TLVs we are willing to read; client certificates are not sent, only names from them. */
const maxBody2 = 4096;
const tlvAuthority = 0x02;
const tlvSsl = 0x20;
const tlvSslVersion = 0x21;
const tlvSslCommonName = 0x22;
const tlvSslCipher = 0x23;

export interface ProxiedAddresses {
  readonly remoteIp: string;
  readonly remotePort: number;
  readonly localIp: string;
  readonly localPort: number;
}

/** TLS between the client and the proxy. */
export interface ProxiedTls {
  readonly protocol: string;
  readonly cipher: string;
  readonly serverName: string;
  /** Common name of a client certificate the proxy has verified. */
  readonly certCommonName: string | undefined;
}

export type ProxyHeader =
  | { readonly kind: 'more' }
  | { readonly kind: 'bad'; readonly reason: string }
  /** `addresses` is undefined for the proxy's own connections (health checks) and unknown protocols: then the real ones hold. */
  | {
      readonly kind: 'header';
      readonly length: number;
      readonly addresses: ProxiedAddresses | undefined;
      readonly tls: ProxiedTls | undefined;
    };

/** @param received all octets so far */
export function parseProxyHeader(received: Buffer): ProxyHeader {
  const isVersion2 = startsAs(received, signature);
  if (isVersion2 && received.length >= signature.length) return parseVersion2(received);
  const isVersion1 = startsAs(received, prefix1);
  if (isVersion1 && received.length >= prefix1.length) return parseVersion1(received);
  return isVersion1 || isVersion2 ? { kind: 'more' } : bad('no PROXY protocol header');
}

function bad(reason: string): ProxyHeader {
  return { kind: 'bad', reason };
}

function startsAs(received: Buffer, start: Buffer): boolean {
  const count = Math.min(received.length, start.length);
  return received.subarray(0, count).equals(start.subarray(0, count));
}

function parseVersion1(received: Buffer): ProxyHeader {
  const end = received.indexOf('\r\n');
  if (end < 0) return received.length >= maxLine1 ? bad('header line too long') : { kind: 'more' };
  const length = end + 2;
  if (length > maxLine1) return bad('header line too long');
  const words = received.toString('latin1', 0, end).split(' ');
  if (words[1] === 'UNKNOWN') return { kind: 'header', length, addresses: undefined, tls: undefined };
  const [, family, remoteIp = '', localIp = '', remotePort = '', localPort = ''] = words;
  const expected = family === 'TCP4' ? 4 : family === 'TCP6' ? 6 : 0;
  if (expected === 0 || words.length !== 6) return bad('unknown protocol or number of words');
  if (isIP(remoteIp) !== expected || isIP(localIp) !== expected) return bad('bad address');
  const ports = [parsePort(remotePort), parsePort(localPort)];
  if (ports[0] === undefined || ports[1] === undefined) return bad('bad port');
  return { kind: 'header', length, addresses: { remoteIp, remotePort: ports[0], localIp, localPort: ports[1] }, tls: undefined };
}

function parsePort(text: string): number | undefined {
  if (!/^(0|[1-9]\d{0,4})$/.test(text)) return undefined;
  const port = Number(text);
  return port > 65535 ? undefined : port;
}

function parseVersion2(received: Buffer): ProxyHeader {
  if (received.length < head2) return { kind: 'more' };
  const versionAndCommand = received.readUInt8(12);
  const family = received.readUInt8(13);
  const bodyLength = received.readUInt16BE(14);
  if (versionAndCommand >> 4 !== 2) return bad(`version ${versionAndCommand >> 4} is not 2`);
  const command = versionAndCommand & 0x0f;
  if (command > 1) return bad(`unknown command ${command}`);
  if (bodyLength > maxBody2) return bad(`${bodyLength} octets of addresses are too many`);
  const length = head2 + bodyLength;
  if (received.length < length) return { kind: 'more' };
  const body = received.subarray(head2, length);
  if (command === 0) return { kind: 'header', length, addresses: undefined, tls: undefined };
  const addressBytes = family >> 4 === 1 ? 4 : family >> 4 === 2 ? 16 : 0;
  // AF_UNSPEC and AF_UNIX, and anything but streams, say nothing we could use; the header is skipped as a whole.
  if (addressBytes === 0 || (family & 0x0f) !== 1) return { kind: 'header', length, addresses: undefined, tls: undefined };
  const tlvAt = addressBytes * 2 + 4;
  if (body.length < tlvAt) return bad('addresses are cut off');
  const addresses = {
    remoteIp: ipText(body.subarray(0, addressBytes)),
    localIp: ipText(body.subarray(addressBytes, addressBytes * 2)),
    remotePort: body.readUInt16BE(addressBytes * 2),
    localPort: body.readUInt16BE(addressBytes * 2 + 2),
  };
  const values = parseTlvs(body.subarray(tlvAt));
  if (values === undefined) return bad('a TLV is cut off');
  const tls = parseTls(values);
  return tls === 'bad' ? bad('the TLS TLV is cut off') : { kind: 'header', length, addresses, tls };
}

/** Undefined when one reaches past the end. */
function parseTlvs(octets: Buffer): Map<number, Buffer> | undefined {
  const values = new Map<number, Buffer>();
  let at = 0;
  while (at < octets.length) {
    if (at + 3 > octets.length) return undefined;
    const end = at + 3 + octets.readUInt16BE(at + 1);
    if (end > octets.length) return undefined;
    values.set(octets.readUInt8(at), octets.subarray(at + 3, end));
    at = end;
  }
  return values;
}

function parseTls(values: ReadonlyMap<number, Buffer>): ProxiedTls | undefined | 'bad' {
  const ssl = values.get(tlvSsl);
  if (ssl === undefined) return undefined;
  if (ssl.length < 5) return 'bad';
  const clientBits = ssl.readUInt8(0);
  const isVerified = ssl.readUInt32BE(1) === 0;
  const inner = parseTlvs(ssl.subarray(5));
  if (inner === undefined) return 'bad';
  if ((clientBits & 0x01) === 0) return undefined;
  const text = (type: number): string => inner.get(type)?.toString('utf8') ?? '';
  const hasCertificate = (clientBits & 0x06) !== 0 && isVerified && inner.has(tlvSslCommonName);
  return {
    protocol: text(tlvSslVersion),
    cipher: text(tlvSslCipher),
    serverName: values.get(tlvAuthority)?.toString('utf8') ?? '',
    certCommonName: hasCertificate ? text(tlvSslCommonName) : undefined,
  };
}

function ipText(octets: Buffer): string {
  if (octets.length === 4) return [...octets].join('.');
  const words: string[] = [];
  for (let at = 0; at < 16; at += 2) words.push(octets.readUInt16BE(at).toString(16));
  return plainIp(new URL(`http://[${words.join(':')}]/`).hostname.slice(1, -1));
}
