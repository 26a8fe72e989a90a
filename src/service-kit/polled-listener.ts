// Accepting connections through the C library (polling.ts), so that none of Node's handles is made for them.
import type { InheritedListener } from '#ipc/control.js';
import { ListeningSockets } from '#ipc/listening-socket.js';
import { type Polled, type Poller, pollEvents } from './polling.js';
import { SocketStream } from './socket-stream.js';

/** In a row; other processes have their share of a crowd, and clients that are connected are waiting. */
const maxAccepts = 8;

let sockets: ListeningSockets | undefined;

export class PolledListener implements Polled {
  readonly fd: number;
  readonly serial: number;
  interest = 0;
  readonly #poller: Poller;
  readonly #sockets: ListeningSockets;
  readonly #onSocket: (socket: SocketStream) => void;

  /** The listener's descriptor stays its owner's. */
  constructor({ fd, keepAliveMs }: InheritedListener, poller: Poller, onSocket: (socket: SocketStream) => void) {
    this.fd = fd;
    this.#poller = poller;
    this.serial = poller.nextSerial();
    sockets ??= new ListeningSockets();
    this.#sockets = sockets;
    this.#onSocket = onSocket;
    // Linux gives the options of a listener to what it accepts.
    sockets.prepareConnections(fd, keepAliveMs);
  }

  setOpen(isOpen: boolean): void {
    this.#poller.setInterest(this, isOpen ? pollEvents.in : 0);
  }

  onReady(): void {
    for (let count = 0; count < maxAccepts && this.interest !== 0; count += 1) {
      const fd = this.#sockets.accept(this.fd);
      // Another process was quicker, or the client has left, or there are no descriptors left: then it is tried again, as with Node's.
      if (fd === undefined) return;
      this.#onSocket(new SocketStream(fd, this.#poller, false));
    }
  }
}
