// Tells the master how busy the process is: at once where its decisions depend on it, otherwise changes of 20 ms together.
import type { StatusMessage } from '#ipc/control.js';
import type { Clients } from './clients.js';

const coalesceMs = 20;

export class StatusReporter {
  readonly #clients: Clients;
  readonly #send: (status: StatusMessage) => void;
  #isStarted = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(clients: Clients, send: (status: StatusMessage) => void) {
    this.#clients = clients;
    this.#send = send;
  }

  /** Sends the first status, by which the master sees that the process is ready. */
  start(): void {
    this.#isStarted = true;
    this.#report();
  }

  changed(isUrgent: boolean): void {
    if (!this.#isStarted) return;
    if (isUrgent) this.#report();
    else this.#timer ??= setTimeout(() => this.#report(), coalesceMs);
  }

  refuseIdleExit(): void {
    this.#report({ isIdleRefused: true });
  }

  /** Sends what is still waiting to be sent. */
  flush(): void {
    if (this.#timer !== undefined) this.#report();
  }

  #report(extra: Pick<StatusMessage, 'isIdleRefused'> = {}): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { count, served, isDraining, oldestPreAuthAtMs } = this.#clients;
    const refused = this.#clients.takeRefusals();
    this.#send({
      kind: 'status',
      clients: count,
      served,
      isDraining,
      ...this.#clients.takeTickets(),
      ...(refused === 0 ? {} : { refused }),
      ...extra,
      oldestPreAuthAtMs,
    });
  }
}
