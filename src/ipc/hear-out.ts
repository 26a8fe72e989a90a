// A peer that is gone may have said something before. Node ends a socket at once when a write to it fails, whatever the kernel still has for its reader;
// whoever asked that peer for something would not know whether it was done. So what is there is read first.
import { readSync } from 'node:fs';
import type { Socket } from 'node:net';
import { handleDescriptor } from '#util/node-handle.js';

const chunkBytes = 64 * 1024;

/** Before the socket is ended by a failed write, `onOctets` is given everything that the peer has said and nobody has read yet, in order. */
export function hearOut(socket: Socket, onOctets: (octets: Buffer) => void): void {
  const destroy = socket.destroy;
  socket.destroy = (error?: Error) => {
    const fd = isFailedWrite(error) ? handleDescriptor(socket) : undefined;
    if (fd !== undefined) for (let octets = readNow(fd); octets.length > 0; octets = readNow(fd)) onOctets(octets);
    return destroy.call(socket, error);
  };
}

function isFailedWrite(error: Error | undefined): boolean {
  return error !== undefined && 'syscall' in error && error.syscall === 'write';
}

/** Sockets of Node never block. Empty at the end, and where there is nothing to be had. */
function readNow(fd: number): Buffer {
  const octets = Buffer.allocUnsafe(chunkBytes);
  try {
    return octets.subarray(0, readSync(fd, octets, 0, octets.length, null));
  } catch {
    return octets.subarray(0, 0);
  }
}
