// Who is at the other end of a UNIX socket (SO_PEERCRED). Only the auth-userdb socket asks, so the library is loaded on first use.
import type { Duplex } from 'node:stream';
import { handleDescriptor } from '#util/node-handle.js';

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;

export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** Undefined when the platform cannot tell. */
export async function peerCredentials(socket: Duplex): Promise<PeerCredentials | undefined> {
  if (process.platform !== 'linux') return undefined;
  const descriptor = handleDescriptor(socket);
  if (descriptor === undefined) return undefined;
  try {
    const { default: koffi } = await import('koffi');
    const getsockopt = koffi.load(null).func('int getsockopt(int fd, int level, int name, void *value, void *length)');
    const value = Buffer.alloc(12);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(value.length);
    if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, value, length) !== 0) return undefined;
    return { pid: value.readInt32LE(0), uid: value.readUInt32LE(4), gid: value.readUInt32LE(8) };
  } catch {
    return undefined;
  }
}
