// The scheduler's picture of one process: its clients, and the slots promised to connections on their way.
import { type PoolLimits, type ProcessStatus, reservationMs } from './decisions.js';

interface Ticket {
  readonly user: string;
  /** Undefined once the connection has arrived. */
  expiresAtMs: number | undefined;
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
  readonly #limits: PoolLimits;
  readonly #tickets = new Map<number, Ticket>();
  readonly #users = new Map<string, number>();
  #reserved = 0;

  constructor(id: number, key: string, limits: PoolLimits, nowMs: number) {
    this.id = id;
    this.key = key;
    this.startedAtMs = nowMs;
    this.idleSinceMs = nowMs;
    this.#limits = limits;
  }

  /** Clients that are there or promised. */
  get load(): number {
    return this.clients + this.#reserved;
  }

  /** Clients it can still take. */
  get free(): number {
    if (this.phase === 'leaving' || this.phase === 'draining') return 0;
    const { clientLimit, serviceCount } = this.#limits;
    const slots = clientLimit - this.load;
    return Math.max(0, serviceCount === 0 ? slots : Math.min(slots, serviceCount - this.served - this.#reserved));
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
    this.#tickets.set(ticket, { user, expiresAtMs: nowMs + reservationMs });
    this.#users.set(user, (this.#users.get(user) ?? 0) + 1);
    this.#reserved += 1;
  }

  /** Forgets a ticket, whether or not its connection arrived. */
  drop(ticket: number): void {
    const found = this.#tickets.get(ticket);
    if (found === undefined) return;
    this.#tickets.delete(ticket);
    if (found.expiresAtMs !== undefined) this.#reserved -= 1;
    const sessions = (this.#users.get(found.user) ?? 1) - 1;
    if (sessions > 0) this.#users.set(found.user, sessions);
    else this.#users.delete(found.user);
  }

  apply(status: ProcessStatus, nowMs: number): void {
    for (const ticket of status.arrived) {
      const found = this.#tickets.get(ticket);
      if (found?.expiresAtMs === undefined) continue;
      found.expiresAtMs = undefined;
      this.#reserved -= 1;
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
    if (this.#reserved === 0) return;
    for (const [ticket, { expiresAtMs }] of this.#tickets) if (expiresAtMs !== undefined && expiresAtMs <= nowMs) this.drop(ticket);
  }

  /** When the next promised slot expires; Infinity when there is none. */
  get nextExpiryMs(): number {
    let next = Number.POSITIVE_INFINITY;
    if (this.#reserved > 0) for (const { expiresAtMs } of this.#tickets.values()) next = Math.min(next, expiresAtMs ?? next);
    return next;
  }
}
