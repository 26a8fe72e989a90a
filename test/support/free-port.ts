import { ListenError, ListeningSockets } from '#ipc/listening-socket.js';

/** Below the ports that the kernel gives to connections (32768 and up on Linux), any of which it may give away again before a server has it. */
const firstPort = 10_000;
const blockPorts = 16;
const blocks = 1_375;

/** Test files run side by side, each in a process: each begins in a block of its own. */
let next = (process.pid % blocks) * blockPorts;

/** A TCP port of 127.0.0.1 that nobody listens on just now; no two calls give the same. */
export function freePort(): number {
  for (let attempt = 0; attempt < blocks * blockPorts; attempt += 1) {
    const port = firstPort + next;
    next = (next + 1) % (blocks * blockPorts);
    const sockets = new ListeningSockets();
    try {
      sockets.close(sockets.listenInet('127.0.0.1', port, { backlog: 1 }));
      return port;
    } catch (error) {
      if (!(error instanceof ListenError) || error.code !== 'in-use') throw error;
    }
  }
  throw new Error('no free port');
}

/** One for each name. */
export function freePorts<Name extends string>(names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, freePort()])) as Record<Name, number>;
}
