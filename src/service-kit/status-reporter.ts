// Tells the master how busy the process is: at once where its decisions depend on it, otherwise changes of 20 ms together, and of 100 ms while they go on.
// Each status costs this process a timer and both of them a wake-up, which on a busy server is more than what it says.
import type { StatusMessage } from '#ipc/control.js';
import type { CountName, Counts } from '#ipc/counts.js';
import type { Clients } from './clients.js';

const coalesceMs = 20;
/** Least time between two statuses that are not urgent. */
const pauseMs = 100;
/** Nobody decides by counts, so they wait for the next status, or this long. */
const countsMs = 1_000;

export class StatusReporter {
  readonly #clients: Clients;
  readonly #send: (status: StatusMessage) => void;
  #isStarted = false;
  #counts: Partial<Record<CountName, number>> = {};
  #hasCounts = false;
  #countsTimer: NodeJS.Timeout | undefined;
  /** Totals that a part of the role keeps itself, and what has been sent of them. */
  #totals: (() => Counts) | undefined;
  #sentTotals: Counts = {};
  #load: StatusMessage['load'];
  #timer: NodeJS.Timeout | undefined;
  #sentAtMs = Number.NEGATIVE_INFINITY;

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
    else this.#timer ??= setTimeout(() => this.#report(), Math.max(coalesceMs, this.#sentAtMs + pauseMs - performance.now()));
  }

  count(name: CountName, by = 1): void {
    this.#counts[name] = (this.#counts[name] ?? 0) + by;
    this.#hasCounts = true;
    // Does not keep the process alive: `flush` sends what is left.
    this.#countsTimer ??= setTimeout(() => this.#report(), countsMs).unref();
  }

  /** @param read counts since the start of the process; read when something else is counted */
  addTotals(read: () => Counts): void {
    this.#totals = read;
  }

  loadChanged(load: StatusMessage['load']): void {
    this.#load = load;
    this.changed(false);
  }

  refuseIdleExit(): void {
    this.#report({ isIdleRefused: true });
  }

  /** Sends what is still waiting to be sent. */
  flush(): void {
    if (this.#timer !== undefined || this.#hasCounts) this.#report();
  }

  #report(extra: Pick<StatusMessage, 'isIdleRefused'> = {}): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (!this.#isStarted) return;
    this.#sentAtMs = performance.now();
    const { count, served, isDraining, oldestPreAuthAtMs } = this.#clients;
    const refused = this.#clients.takeRefusals();
    this.#send({
      kind: 'status',
      clients: count,
      served,
      isDraining,
      ...this.#clients.takeTickets(),
      ...(refused === 0 ? {} : { refused }),
      ...this.#takeCounts(),
      ...(this.#load === undefined ? {} : { load: this.#load }),
      ...extra,
      oldestPreAuthAtMs,
    });
  }

  #takeCounts(): Pick<StatusMessage, 'counts'> {
    if (!this.#hasCounts) return {};
    clearTimeout(this.#countsTimer);
    this.#countsTimer = undefined;
    this.#hasCounts = false;
    const counts = this.#counts;
    this.#counts = {};
    const totals = this.#totals?.() ?? {};
    for (const [name, total] of Object.entries(totals)) {
      const added = total - (this.#sentTotals[name as CountName] ?? 0);
      if (added > 0) counts[name as CountName] = added;
    }
    this.#sentTotals = totals;
    return { counts };
  }
}
