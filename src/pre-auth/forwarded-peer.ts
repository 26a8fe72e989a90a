// A proxy in login_trusted_networks tells who its client is in the IMAP ID command.
import { isIP } from 'node:net';
import type { Peer } from '#ipc/peer.js';

const portPattern = /^\d{1,5}$/;

/** The peer with x-originating-* and x-connected-* taken over; unchanged for everybody who is not trusted. */
export function forwardedPeer(peer: Peer, fields: readonly (readonly [name: string, value: string])[]): Peer {
  if (!peer.isTrusted) return peer;
  const values = new Map(fields);
  const ip = (name: string, otherwise: string): string => {
    const value = values.get(name) ?? '';
    return isIP(value) === 0 ? otherwise : value;
  };
  const port = (name: string, otherwise: number): number => {
    const value = values.get(name) ?? '';
    return portPattern.test(value) && Number(value) <= 65_535 ? Number(value) : otherwise;
  };
  return {
    ...peer,
    remoteIp: ip('x-originating-ip', peer.remoteIp),
    remotePort: port('x-originating-port', peer.remotePort),
    localIp: ip('x-connected-ip', peer.localIp),
    localPort: port('x-connected-port', peer.localPort),
  };
}
