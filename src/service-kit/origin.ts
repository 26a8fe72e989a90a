// What a login process seals about a connection before it gives it away, so that it is believed when the connection comes back
// (docs/ipc.md, "Back to login").
import { fstatSync } from 'node:fs';
import type { Origin, Peer } from '#ipc/peer.js';

/**
 * Bound to the socket itself by its inode, which no other open socket has: who gets the connection cannot pass another one for it, with a better
 * address or a client certificate. In the mail process, and on its way, the socket stays the same.
 */
export function originText({ service, listener }: Omit<Origin, 'seal'>, peer: Peer, fd: number): string {
  const { remoteIp, remotePort, localIp, localPort, tls, isSecured, isTrusted } = peer;
  const facts = tls && [tls.protocol, tls.cipher, tls.bits, tls.serverName, tls.certUsername ?? null];
  // Those of sockets have 32 bits.
  const inode = String(fstatSync(fd).ino);
  return JSON.stringify([service, listener, remoteIp, remotePort, localIp, localPort, facts, isSecured, isTrusted, inode]);
}
