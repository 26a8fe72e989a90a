import { ListeningSockets } from '#ipc/listening-socket.js';

/** A TCP port of 127.0.0.1 that nobody listens on just now. */
export function freePort(): number {
  const sockets = new ListeningSockets();
  const fd = sockets.listenInet('127.0.0.1', 0, { backlog: 1 });
  const port = sockets.portOf(fd);
  sockets.close(fd);
  return port;
}
