// IP networks of `local`, `remote` and trusted lists.
import { isIP } from 'node:net';

/** Address octets (4 or 16) and the number of leading bits that count. */
export interface Network {
  readonly octets: readonly number[];
  readonly bits: number;
}

function ipv4Octets(text: string): number[] {
  return text.split('.').map(Number);
}

function ipv6Octets(text: string): number[] {
  let address = text;
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(address);
  if (dotted !== null) {
    const [a = 0, b = 0, c = 0, d = 0] = ipv4Octets(dotted[2] ?? '');
    address = `${dotted[1]}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const [head = '', tail] = address.split('::');
  const words = (part: string): number[] => (part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16)));
  const left = words(head);
  const right = tail === undefined ? [] : words(tail);
  const zeros = new Array<number>(tail === undefined ? 0 : 8 - left.length - right.length).fill(0);
  return [...left, ...zeros, ...right].flatMap((word) => [word >> 8, word & 0xff]);
}

/** Octets of an address without brackets or zone; IPv4 in IPv6 (`::ffff:10.0.0.1`) becomes IPv4. Undefined when it is none. */
export function parseAddress(text: string): readonly number[] | undefined {
  const bare = text.replace(/^\[(.*)\]$/, '$1').replace(/%.*$/, '');
  const family = isIP(bare);
  if (family === 4) return ipv4Octets(bare);
  if (family !== 6) return undefined;
  const octets = ipv6Octets(bare);
  const isMapped = octets.slice(0, 10).every((octet) => octet === 0) && octets[10] === 0xff && octets[11] === 0xff;
  return isMapped ? octets.slice(12) : octets;
}

/** `10.0.0.0/8`, `10.0.0.1`, `2001:db8::/32`, `localhost`. Undefined when it is none of them. */
export function parseNetwork(text: string): Network | undefined {
  const [, addressText = '', bitsText] = /^(.*?)(?:\/(\d{1,3}))?$/.exec(text === 'localhost' ? '127.0.0.0/8' : text) ?? [];
  const octets = parseAddress(addressText);
  if (octets === undefined) return undefined;
  const bits = bitsText === undefined ? octets.length * 8 : Number(bitsText);
  return bits > octets.length * 8 ? undefined : { octets, bits };
}

export function networkContains(network: Network, octets: readonly number[]): boolean {
  if (network.octets.length !== octets.length) return false;
  for (let bit = 0; bit < network.bits; bit += 8) {
    const mask = (0xff00 >> Math.min(8, network.bits - bit)) & 0xff;
    if (((network.octets[bit / 8] ?? 0) & mask) !== ((octets[bit / 8] ?? 0) & mask)) return false;
  }
  return true;
}

/** Every address of `inner` is in `outer`. */
export function networkInside(inner: Network, outer: Network): boolean {
  return inner.bits >= outer.bits && networkContains(outer, inner.octets);
}
