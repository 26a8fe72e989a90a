import type { ClientSocket } from './open-socket.js';

// Octets between a client and the process that serves it, for connections whose TLS ends here.

/** After one side has ended, how long the other may take to do so. */
const lingerMs = 30_000;

/** Stays until both sides are closed. Takes both sockets over. */
export class Relay {
  readonly #client: ClientSocket;
  readonly #service: ClientSocket;
  readonly #onClose: () => void;
  #openSides = 2;
  #linger: NodeJS.Timeout | undefined;

  /** @param onClose called once, when neither side is open any more */
  constructor(client: ClientSocket, service: ClientSocket, onClose: () => void) {
    this.#client = client;
    this.#service = service;
    this.#onClose = onClose;
    this.#copy(client, service);
    this.#copy(service, client);
  }

  destroy(): void {
    this.#client.destroy();
    this.#service.destroy();
  }

  #copy(from: ClientSocket, to: ClientSocket): void {
    from.on('data', (chunk: Buffer) => {
      // Read all the same when nobody is left to take it: what is not read makes a reset of the end.
      if (!to.destroyed && !to.write(chunk)) from.pause();
    });
    to.on('drain', () => from.resume());
    from.on('end', () => {
      to.end();
      this.#linger ??= setTimeout(() => this.destroy(), lingerMs);
    });
    from.on('error', ignore);
    from.on('close', (hadError: boolean) => {
      // What was received before an orderly end is still delivered; after an error the service must not mistake it for one. A process that goes
      // before it has read all that the client says is an error as well, and its last words are for the client.
      if (hadError && to === this.#service) to.destroy();
      // An end that was said already would cost an error, which Node makes and nobody sees.
      else if (!to.writableEnded) to.end();
      if (to === this.#client) to.resume();
      this.#linger ??= setTimeout(() => this.destroy(), lingerMs);
      this.#openSides -= 1;
      if (this.#openSides > 0) return;
      clearTimeout(this.#linger);
      this.#onClose();
    });
    // A side that closed before this relay existed tells nobody any more.
    if (from.destroyed) {
      to.destroy();
      this.#openSides -= 1;
      if (this.#openSides === 0) process.nextTick(this.#onClose);
    } else from.resume();
  }
}

const ignore = (): undefined => undefined;
