// The same connection as a socket that is polled (service-kit/socket-stream.ts), as roles have it.
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { duplicateDescriptor } from '#ipc/handle-pass.js';
import { type ClientSocket, descriptorOf, socketOfDescriptor } from '#service-kit/open-socket.js';

export const socketKinds = ["one of Node's", 'polled'] as const;

/** @param socket of a server with `pauseOnConnect`, so that nothing of it was read; it is no more then */
export function polledInstead(socket: Socket): ClientSocket {
  const fd = descriptorOf(socket);
  assert.ok(fd !== undefined);
  const polled = socketOfDescriptor(duplicateDescriptor(fd));
  socket.destroy();
  return polled;
}
