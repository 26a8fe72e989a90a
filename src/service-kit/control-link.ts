// The child's end of the control channel (ipc/control.ts).
import { Socket } from 'node:net';
import { FramedChannel, PendingReplies } from '#ipc/channel.js';
import {
  type ChildMessage,
  controlFd,
  longestRouteMs,
  type MasterMessage,
  type RoutedMessage,
  type RouteMessage,
  type StartMessage,
  startTimeoutMs,
} from '#ipc/control.js';

/** The master answers each route; with this much patience it does so in time on a busy machine as well. */
const routeTimeoutMs = longestRouteMs + 5_000;

/** What the master tells while the process runs. */
export interface ControlEvents {
  onMessage(message: Exclude<MasterMessage, StartMessage | RoutedMessage>): void;
  /** The master is gone. */
  onClosed(): void;
}

export class ControlLink {
  readonly #channel: FramedChannel;
  readonly #routes = new PendingReplies<RoutedMessage>(routeTimeoutMs);
  #events: ControlEvents | undefined;
  #onStart: ((message: StartMessage | undefined) => void) | undefined;
  #isClosed = false;
  /** Why no route can be had any more. */
  #endReason = 'the master is gone';
  /** Messages that came before `listen`. */
  #early: Exclude<MasterMessage, StartMessage | RoutedMessage>[] = [];

  constructor(socket: Socket = new Socket({ fd: controlFd, readable: true, writable: true })) {
    this.#channel = new FramedChannel(socket, {
      // The other end is the master, which is trusted with everything this process has; no need to look at each field.
      onMessage: (value) => this.#receive(value as MasterMessage),
      onClose: () => this.#closed(),
    });
  }

  /** The first message; undefined when the master closed the channel or was silent for 30 s. */
  start(): Promise<StartMessage | undefined> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#onStart?.(undefined), startTimeoutMs);
      this.#onStart = (message) => {
        clearTimeout(timer);
        this.#onStart = undefined;
        resolve(message);
      };
    });
  }

  listen(events: ControlEvents): void {
    this.#events = events;
    for (const message of this.#early.splice(0)) events.onMessage(message);
    if (this.#isClosed) events.onClosed();
  }

  send(message: ChildMessage): void {
    this.#channel.send(message);
  }

  /** @throws ChannelError */
  route(request: Omit<RouteMessage, 'kind' | 'id'>): Promise<RoutedMessage> {
    return this.#routes.request((id) => {
      if (!this.#channel.isClosed) this.send({ kind: 'route', id, ...request });
      else this.#routes.failAll(this.#endReason);
    });
  }

  /** Sends what is queued, and lets go of the descriptor. */
  close(): Promise<void> {
    this.#endReason = 'the process has come to its end';
    return this.#channel.close();
  }

  #receive(message: MasterMessage): void {
    if (message.kind === 'start') this.#onStart?.(message);
    else if (message.kind === 'routed') {
      // Too late: the slot that the master keeps for us has to be given back.
      if (!this.#routes.settle(message.id, message) && message.outcome === 'ok') {
        this.send({ kind: 'route-failed', ticket: message.ticket, reason: 'nobody waits for it any more' });
      }
    } else if (this.#events === undefined) this.#early.push(message);
    else this.#events.onMessage(message);
  }

  #closed(): void {
    this.#isClosed = true;
    this.#routes.failAll(this.#endReason);
    this.#onStart?.(undefined);
    this.#events?.onClosed();
  }
}
