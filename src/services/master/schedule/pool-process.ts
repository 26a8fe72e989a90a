// The scheduler's picture of one process: its clients, and the slots promised to connections on their way.
import { type PoolLimits, type ProcessStatus, reservationMs } from './decisions.js';

interface Reservation {
  readonly user: string;
  readonly expiresAtMs: number;
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
  /** Users of connections that have, by ticket. */
  readonly #arrived = new Map<number, string>();
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
    this.#users.set(user, (this.#users.get(user) ?? 0) + 1);
  }

  /** Its connection sets out only now. */
  renew(ticket: number, nowMs: number): void {
    const found = this.#reserved.get(ticket);
    if (found === undefined) return;
    this.#reserved.delete(ticket);
    this.#reserved.set(ticket, { user: found.user, expiresAtMs: nowMs + reservationMs });
  }

  /** Forgets a ticket, whether or not its connection arrived. */
  drop(ticket: number): void {
    const user = this.#reserved.get(ticket)?.user ?? this.#arrived.get(ticket);
    if (user === undefined) return;
    if (!this.#reserved.delete(ticket)) this.#arrived.delete(ticket);
    const sessions = (this.#users.get(user) ?? 1) - 1;
    if (sessions > 0) this.#users.set(user, sessions);
    else this.#users.delete(user);
  }

  apply(status: ProcessStatus, nowMs: number): void {
    for (const ticket of status.arrived) {
      const found = this.#reserved.get(ticket);
      if (found === undefined) continue;
      this.#reserved.delete(ticket);
      this.#arrived.set(ticket, found.user);
    }
    for (const ticket of status.left) this.drop(ticket);
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
    for (const [ticket, { expiresAtMs }] of this.#reserved) {
      if (expiresAtMs > nowMs) return;
      this.drop(ticket);
    }
  }

  /** When the next promised slot expires; Infinity when there is none. */
  get nextExpiryMs(): number {
    for (const { expiresAtMs } of this.#reserved.values()) return expiresAtMs;
    return Number.POSITIVE_INFINITY;
  }
}
