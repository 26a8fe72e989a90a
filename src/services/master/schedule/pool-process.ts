// The scheduler's picture of one process: its clients, and the slots promised to connections on their way.
import { leaseArrivalMs, leaseMs, leastFreeToLease, type PoolLimits, type ProcessStatus, reservationMs } from './decisions.js';

interface Reservation {
  readonly user: string;
  readonly expiresAtMs: number;
}

interface Arrived {
  readonly user: string;
  /** More than one where the ticket was leased. */
  count: number;
}

/** starting: no first status yet. leaving: told to exit when idle, and has not answered. draining: takes no clients any more. */
export type ProcessPhase = 'starting' | 'ready' | 'leaving' | 'draining';

export class PoolProcess {
  readonly id: number;
  readonly key: string;
  readonly startedAtMs: number;
  phase: ProcessPhase = 'starting';
  readyAtMs = Number.POSITIVE_INFINITY;
  idleSinceMs: number;
  clients = 0;
  served = 0;
  oldestPreAuthAtMs: number | undefined;
  /** When its client was last asked to go. */
  pushedOutAtMs = Number.NEGATIVE_INFINITY;
  readonly #limits: PoolLimits;
  /** Slots whose connections have not arrived, by ticket; the first of them expires first. */
  readonly #reserved = new Map<number, Reservation>();
  /** Tickets with which others of the same user may come; the first of them expires first. */
  readonly #leased = new Map<number, Reservation>();
  /** Connections that have arrived and not left, by ticket. */
  readonly #arrived = new Map<number, Arrived>();
  /** How many reservations, leases and connections each user has. */
  readonly #users = new Map<string, number>();

  constructor(id: number, key: string, limits: PoolLimits, nowMs: number) {
    this.id = id;
    this.key = key;
    this.startedAtMs = nowMs;
    this.idleSinceMs = nowMs;
    this.#limits = limits;
  }

  /** Clients that are there or promised. */
  get load(): number {
    return this.clients + this.#reserved.size;
  }

  /** Clients it can still take. */
  get free(): number {
    if (this.phase === 'leaving' || this.phase === 'draining') return 0;
    const { clientLimit, serviceCount } = this.#limits;
    const slots = clientLimit - this.load;
    return Math.max(0, serviceCount === 0 ? slots : Math.min(slots, serviceCount - this.served - this.#reserved.size));
  }

  get isIdle(): boolean {
    return this.phase === 'ready' && this.load === 0;
  }

  /** Does it occupy one of process_limit? Where a process serves many, one that only finishes its clients would shrink the service for hours. */
  get isCounted(): boolean {
    return this.phase !== 'draining' || this.#limits.clientLimit === 1;
  }

  serves(user: string): boolean {
    return this.#users.has(user);
  }

  reserve(ticket: number, user: string, nowMs: number): void {
    this.#reserved.set(ticket, { user, expiresAtMs: nowMs + reservationMs });
    this.#hold(user);
  }

  /**
   * Lets a reserved ticket be used several times. The user is kept here as long as that can be, so that nobody is sent elsewhere meanwhile.
   * @returns for how long, ms; undefined where it may not be
   */
  lease(ticket: number, nowMs: number): number | undefined {
    const user = this.#reserved.get(ticket)?.user;
    if (user === undefined || this.#limits.serviceCount > 0 || this.free < leastFreeToLease) return undefined;
    this.#leased.set(ticket, { user, expiresAtMs: nowMs + leaseMs + leaseArrivalMs });
    this.#hold(user);
    return leaseMs;
  }

  /** Its connection sets out only now. */
  renew(ticket: number, nowMs: number): void {
    const found = this.#reserved.get(ticket);
    if (found === undefined) return;
    this.#reserved.delete(ticket);
    this.#reserved.set(ticket, { user: found.user, expiresAtMs: nowMs + reservationMs });
  }

  /** Nobody comes with this ticket any more. */
  drop(ticket: number): void {
    for (const tickets of [this.#reserved, this.#leased]) {
      const found = tickets.get(ticket);
      if (found === undefined) continue;
      tickets.delete(ticket);
      this.#letGo(found.user);
    }
  }

  apply(status: ProcessStatus, nowMs: number): void {
    for (const ticket of status.arrived) this.#arrive(ticket);
    for (const ticket of status.left) this.#leave(ticket);
    if (this.clients > 0 && status.clients === 0) this.idleSinceMs = nowMs;
    this.clients = status.clients;
    this.served = status.served;
    this.oldestPreAuthAtMs = status.oldestPreAuthAtMs;
    if (this.phase === 'starting') {
      this.phase = 'ready';
      this.readyAtMs = nowMs;
      this.idleSinceMs = nowMs;
    }
    if (this.phase === 'leaving' && status.isIdleRefused) this.phase = 'ready';
    const { serviceCount } = this.#limits;
    if (status.isDraining || (serviceCount > 0 && status.served >= serviceCount)) this.phase = 'draining';
  }

  /** Gives back promised slots whose connection never came. */
  expire(nowMs: number): void {
    for (const tickets of [this.#reserved, this.#leased]) {
      for (const [ticket, { user, expiresAtMs }] of tickets) {
        if (expiresAtMs > nowMs) break;
        tickets.delete(ticket);
        this.#letGo(user);
      }
    }
  }

  /** When the next promised slot expires; Infinity when there is none. */
  get nextExpiryMs(): number {
    for (const { expiresAtMs } of this.#reserved.values()) return expiresAtMs;
    return Number.POSITIVE_INFINITY;
  }

  #arrive(ticket: number): void {
    const arrived = this.#arrived.get(ticket);
    const user = this.#reserved.get(ticket)?.user ?? this.#leased.get(ticket)?.user ?? arrived?.user;
    if (user === undefined) return;
    // Whoever comes first takes the place of the one for whom it was reserved.
    if (!this.#reserved.delete(ticket)) this.#hold(user);
    if (arrived === undefined) this.#arrived.set(ticket, { user, count: 1 });
    else arrived.count += 1;
  }

  #leave(ticket: number): void {
    const arrived = this.#arrived.get(ticket);
    if (arrived === undefined) return;
    arrived.count -= 1;
    if (arrived.count === 0) this.#arrived.delete(ticket);
    this.#letGo(arrived.user);
  }

  #hold(user: string): void {
    this.#users.set(user, (this.#users.get(user) ?? 0) + 1);
  }

  #letGo(user: string): void {
    const count = (this.#users.get(user) ?? 1) - 1;
    if (count > 0) this.#users.set(user, count);
    else this.#users.delete(user);
  }
}
