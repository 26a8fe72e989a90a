// The listening sockets a process inherits. Several processes accept from the same one, so a process must not take a connection it cannot
// serve: while it has no room it does not listen at all, and the kernel offers the connection to the others.
//
// Node has no way to stop a server from accepting but to close it, which closes its descriptor; therefore it gets a copy and the original is
// kept. Where no copy can be made, a full process keeps listening: connections it takes too many are given to `onSocket` all the same, which refuses them.
//
// Listeners for the network are polled by ourselves where that can be done (polled-listener.ts), which costs less for each connection.
import { createServer, type Server } from 'node:net';
import type { InheritedListener } from '#ipc/control.js';
import { closeDescriptor, duplicateDescriptor, HandlePassError } from '#ipc/handle-pass.js';
import type { Logger } from '#log/logger.js';
import { type ClientSocket, descriptorOf, setForAccepted, takeAccepted } from './open-socket.js';
import { PolledListener } from './polled-listener.js';
import { openPoller } from './polling.js';

interface Listener {
  readonly facts: InheritedListener;
  server: Server | undefined;
  /** The copy kept while the server uses, and will close, the other one. */
  spareFd: number | undefined;
  /** In place of a server; the descriptor is `spareFd` all the time. */
  polled: PolledListener | undefined;
}

export interface ListenerOptions {
  readonly onSocket: (socket: ClientSocket, listener: InheritedListener) => void;
  readonly log: Logger;
  /** How many this process has, where who has none goes first (polled-listener.ts). */
  readonly clients?: (() => number) | undefined;
  /** Which listener is opened first, from 0; by chance unless told. */
  readonly firstTurn?: number;
}

export class Listeners {
  readonly #listeners: readonly Listener[];
  readonly #options: ListenerOptions;
  #isOpen = false;
  #isClosed = false;
  /** Of the one that is opened first. */
  #turn: number;

  constructor(inherited: readonly InheritedListener[], options: ListenerOptions) {
    this.#listeners = inherited.map((facts) => ({ facts, server: undefined, spareFd: facts.fd, polled: undefined }));
    this.#options = options;
    this.#turn = options.firstTurn ?? Math.floor(Math.random() * inherited.length);
  }

  /** Starts or stops accepting. When called from inside `onSocket`, no further connection is taken before it returns. */
  setOpen(isOpen: boolean): void {
    if (this.#isClosed || isOpen === this.#isOpen) return;
    this.#isOpen = isOpen;
    for (const listener of this.#inTurn()) {
      if (isOpen) this.#open(listener);
      else this.#pause(listener);
    }
    if (isOpen) this.#turn += 1;
  }

  /**
   * Where clients wait on all listeners, the kernel tells of the one first that was opened first. A process with room for one client takes it from there,
   * so if that were always the same listener the clients of the others would wait for as long as anybody waits on it.
   */
  #inTurn(): readonly Listener[] {
    const first = this.#turn % Math.max(1, this.#listeners.length);
    return [...this.#listeners.slice(first), ...this.#listeners.slice(0, first)];
  }

  /** Closes everything, for good. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const listener of this.#listeners) {
      listener.server?.close();
      listener.server = undefined;
      listener.polled?.setOpen(false);
      if (listener.spareFd !== undefined) closeDescriptor(listener.spareFd);
      listener.spareFd = undefined;
    }
  }

  #open(listener: Listener): void {
    const fd = listener.spareFd;
    if (fd === undefined) return;
    const { facts } = listener;
    listener.polled ??= this.#pollFor(facts);
    if (listener.polled !== undefined) {
      listener.polled.setOpen(true);
      return;
    }
    const keepAlive = facts.keepAliveMs > 0 && facts.kind === 'inet';
    const server = createServer(
      { noDelay: facts.kind === 'inet', keepAlive, keepAliveInitialDelay: facts.keepAliveMs, allowHalfOpen: false },
      (socket) => this.#options.onSocket(socket, facts),
    );
    server.on('error', (error) => this.#options.log.error('listener.failed', `listen(${facts.name}) failed: ${error.message}`, { error }));
    server.listen({ fd, backlog: facts.backlog });
    const isInherited = facts.kind === 'inet' && setForAccepted(server, keepAlive ? facts.keepAliveMs : 0);
    takeAccepted(server, (socket) => {
      if (facts.kind === 'inet' && !isInherited) {
        socket.setNoDelay(true);
        if (keepAlive) socket.setKeepAlive(true, facts.keepAliveMs);
      }
      this.#options.onSocket(socket, facts);
    });
    listener.server = server;
    listener.spareFd = undefined;
  }

  #pollFor(facts: InheritedListener): PolledListener | undefined {
    const poller = facts.kind === 'inet' ? openPoller() : undefined;
    const { onSocket, clients } = this.#options;
    return poller === undefined ? undefined : new PolledListener(facts, poller, (socket) => onSocket(socket, facts), { clients });
  }

  #pause(listener: Listener): void {
    listener.polled?.setOpen(false);
    const { server } = listener;
    if (server === undefined) return;
    try {
      listener.spareFd = duplicateDescriptor(descriptorOf(server) ?? listener.facts.fd);
    } catch (error) {
      if (error instanceof HandlePassError) return;
      throw error;
    }
    listener.server = undefined;
    server.close();
  }
}
