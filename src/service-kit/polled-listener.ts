// Accepting connections through the C library (polling.ts), so that none of Node's handles is made for them.
import type { InheritedListener } from '#ipc/control.js';
import { ListeningSockets } from '#ipc/listening-socket.js';
import { type Polled, type Poller, pollEvents } from './polling.js';
import { SocketStream } from './socket-stream.js';

/**
 * In a row; other processes have their share of a crowd, and clients that are connected are waiting. With eight, the ten connections of a mail server
 * to lmtp went to one of two processes more often than not, and stayed there.
 */
const maxAccepts = 2;
/** For so long a process that has clients leaves a listener to those that have none, which have to wake up first. */
const leftAloneMs = 1;
/** Then it takes one, and one more for so many clients: who gets many that do not stay must not be held up. */
const clientsPerAccept = 4;
/** Until it is tried again where descriptors are used up: the connection that waits stays readable, and would be told of in each turn. */
const shortageMs = 100;

/** Of ListeningSockets. */
export interface Accepting {
  prepareConnections(fd: number, keepAliveMs: number): void;
  accept(fd: number): number | undefined;
  readonly isShort: boolean;
}

let sockets: ListeningSockets | undefined;

export class PolledListener implements Polled {
  readonly fd: number;
  readonly serial: number;
  interest = 0;
  readonly #poller: Poller;
  readonly #sockets: Accepting;
  readonly #onSocket: (socket: SocketStream) => void;
  readonly #clients: (() => number) | undefined;
  #hasLeft = false;
  #isOpen = false;
  #pause: NodeJS.Timeout | undefined;

  /**
   * The listener's descriptor stays its owner's.
   * @param clients of this process, where connections are kept for long and other processes accept from the same listener: who has none goes first. A client that
   * opens ten connections at once would else have them all in the process that is awake.
   */
  constructor(
    { fd, keepAliveMs }: InheritedListener,
    poller: Poller,
    onSocket: (socket: SocketStream) => void,
    { clients, calls }: { readonly clients?: (() => number) | undefined; readonly calls?: Accepting } = {},
  ) {
    this.fd = fd;
    this.#poller = poller;
    this.serial = poller.nextSerial();
    sockets ??= new ListeningSockets();
    this.#sockets = calls ?? sockets;
    this.#onSocket = onSocket;
    this.#clients = clients;
    // Linux gives the options of a listener to what it accepts.
    this.#sockets.prepareConnections(fd, keepAliveMs);
  }

  setOpen(isOpen: boolean): void {
    this.#isOpen = isOpen;
    if (!isOpen) {
      clearTimeout(this.#pause);
      this.#pause = undefined;
    }
    if (this.#pause === undefined) this.#poller.setInterest(this, isOpen ? pollEvents.in : 0);
  }

  onReady(): void {
    const clients = this.#clients?.() ?? 0;
    if (clients > 0 && !this.#hasLeft) {
      this.#hasLeft = true;
      this.#leaveFor(leftAloneMs);
      return;
    }
    this.#hasLeft = false;
    const most = this.#clients === undefined ? maxAccepts : 1 + Math.floor(clients / clientsPerAccept);
    for (let count = 0; count < most && this.interest !== 0; count += 1) {
      const fd = this.#sockets.accept(this.fd);
      if (fd === undefined) {
        // Otherwise another process was quicker, or the client has left.
        if (this.#sockets.isShort) this.#leaveFor(shortageMs);
        return;
      }
      this.#onSocket(new SocketStream(fd, this.#poller, false));
    }
  }

  #leaveFor(ms: number): void {
    this.#poller.setInterest(this, 0);
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      if (this.#isOpen) this.#poller.setInterest(this, pollEvents.in);
    }, ms);
  }
}
