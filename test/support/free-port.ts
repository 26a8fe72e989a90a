import { ListenError, ListeningSockets } from '#ipc/listening-socket.js';

/** With their claims below the ports that the kernel gives to connections (32768 and up on Linux), any of which it may give away before a server has it. */
const firstPort = 10_000;
const ports = 11_000;
/** Test files begin apart from each other, so that they seldom meet. */
const step = 16;

/**
 * Ports for the servers of one process. Test files run side by side, and between the choice of a port and the start of its server another file may
 * look for one: so each port is claimed, for as long as the process lives, by listening on the port `ports` above it.
 */
export class FreePorts {
  readonly #claims = new ListeningSockets();
  #next: number;

  /** @param start where to begin to look, any number */
  constructor(start: number) {
    this.#next = start % ports;
  }

  /** A TCP port of 127.0.0.1 that nobody listens on just now; no two calls give the same, in whatever processes. */
  take(): number {
    for (let attempt = 0; attempt < ports; attempt += 1) {
      const port = firstPort + this.#next;
      this.#next = (this.#next + 1) % ports;
      const claim = this.#listen(port + ports);
      if (claim === undefined) continue;
      const probe = this.#listen(port);
      if (probe !== undefined) {
        this.#claims.close(probe);
        return port;
      }
      this.#claims.close(claim);
    }
    throw new Error('no free port');
  }

  #listen(port: number): number | undefined {
    try {
      return this.#claims.listenInet('127.0.0.1', port, { backlog: 1 });
    } catch (error) {
      if (!(error instanceof ListenError) || error.code !== 'in-use') throw error;
      return undefined;
    }
  }
}

let own: FreePorts | undefined;

/** A TCP port of 127.0.0.1 that nobody listens on just now and no other test is given. */
export function freePort(): number {
  own ??= new FreePorts(process.pid * step);
  return own.take();
}

/** One for each name. */
export function freePorts<Name extends string>(names: readonly Name[]): Record<Name, number> {
  return Object.fromEntries(names.map((name) => [name, freePort()])) as Record<Name, number>;
}
