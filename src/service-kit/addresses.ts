// Addresses of connections as the rest of the server compares and prints them.
import { type Network, networkContains, parseAddress, parseNetwork } from '#config/network.js';

/** IPv4 in IPv6 (`::ffff:10.0.0.1`, what a dual-stack listener reports) as IPv4. */
export function plainIp(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  if (mapped !== null) return mapped[1] ?? address;
  const hex = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/i.exec(address);
  if (hex === null) return address;
  const [high, low] = [Number.parseInt(hex[1] ?? '', 16), Number.parseInt(hex[2] ?? '', 16)];
  return [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.');
}

/** A set of networks as written in login_trusted_networks. What is not a network was refused when the settings were read. */
export class NetworkList {
  readonly #networks: readonly Network[];

  constructor(texts: readonly string[]) {
    this.#networks = texts.map(parseNetwork).filter((network) => network !== undefined);
  }

  includes(ip: string): boolean {
    if (this.#networks.length === 0) return false;
    const octets = parseAddress(ip);
    return octets !== undefined && this.#networks.some((network) => networkContains(network, octets));
  }
}
