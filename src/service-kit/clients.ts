// The clients of a process: how many, how many more, and which go first. Pure bookkeeping; the numbers it reports are what the master schedules by.
import type { ClientHandle } from './role.js';

export interface ClientLimits {
  readonly clientLimit: number;
  /** 0 is unlimited. */
  readonly serviceCount: number;
}

/** One of client_limit. Taken before the role sees the connection, so that two arrivals can never share the last one. */
export interface ClientSlot {
  /** @param sessionId for kicks; '' when there is none */
  attach(handle: ClientHandle, sessionId?: string): void;
  /** The session that the client turned out to be, for kicks. */
  identify(sessionId: string): void;
  /** The handle no longer holds; another will follow. */
  detach(): void;
  /** Idempotent. */
  release(): void;
  readonly isReleased: boolean;
}

export interface ClientEvents {
  /** `isUrgent`: the last free slot was taken or the first one freed. */
  readonly onChange: (isUrgent: boolean) => void;
  readonly onEmpty: () => void;
}

class Slot implements ClientSlot {
  readonly #owner: Clients;
  handle: ClientHandle | undefined;
  sessionId = '';
  readonly ticket: number | undefined;
  isReleased = false;

  constructor(owner: Clients, ticket: number | undefined) {
    this.#owner = owner;
    this.ticket = ticket;
  }
  attach(handle: ClientHandle, sessionId = ''): void {
    // One that was released is referred to by nothing but what V8 keeps of old tables (util/cell-map.ts), and shall hold nothing.
    if (!this.isReleased) this.handle = handle;
    this.sessionId = sessionId;
    this.#owner.attached(this);
  }
  identify(sessionId: string): void {
    this.sessionId = sessionId;
  }
  detach(): void {
    this.handle = undefined;
  }
  release(): void {
    if (this.isReleased) return;
    this.isReleased = true;
    this.handle = undefined;
    this.#owner.released(this);
  }
}

export class Clients {
  readonly #limits: ClientLimits;
  readonly #events: ClientEvents;
  readonly #slots = new Set<Slot>();
  #served = 0;
  #isStopping = false;
  #stopReason: 'shutdown' | undefined;
  #arrived: number[] = [];
  #left: number[] = [];
  #refused = 0;

  constructor(limits: ClientLimits, events: ClientEvents) {
    this.#limits = limits;
    this.#events = events;
  }

  get count(): number {
    return this.#slots.size;
  }
  get served(): number {
    return this.#served;
  }
  /** No new clients any more, ever. */
  get isDraining(): boolean {
    return this.#isStopping || this.#hasServedAll;
  }
  get hasRoom(): boolean {
    return !this.isDraining && this.#slots.size < this.#limits.clientLimit;
  }
  get #hasServedAll(): boolean {
    return this.#limits.serviceCount > 0 && this.#served >= this.#limits.serviceCount;
  }

  /**
   * Undefined when there is no room.
   * @param ticket of a hand-off
   */
  take(ticket?: number): ClientSlot | undefined {
    if (!this.hasRoom) return undefined;
    const slot = new Slot(this, ticket);
    this.#slots.add(slot);
    this.#served += 1;
    if (ticket !== undefined) this.#arrived.push(ticket);
    this.#events.onChange(!this.hasRoom);
    return slot;
  }

  attached(slot: Slot): void {
    // A stop that came between accept and the role's handle.
    if (this.#stopReason !== undefined && !slot.isReleased) slot.handle?.stop(this.#stopReason);
  }

  released(slot: Slot): void {
    const hadRoom = this.hasRoom;
    this.#slots.delete(slot);
    if (slot.ticket !== undefined) this.#left.push(slot.ticket);
    this.#events.onChange(!hadRoom);
    if (this.#slots.size === 0) this.#events.onEmpty();
  }

  /** Tickets since the last call. */
  takeTickets(): { readonly arrived: readonly number[]; readonly left: readonly number[] } {
    const tickets = { arrived: this.#arrived, left: this.#left };
    this.#arrived = [];
    this.#left = [];
    return tickets;
  }

  /** A client was turned away: there was no room, or too much load. */
  countRefusal(): void {
    this.#refused += 1;
    this.#events.onChange(false);
  }

  /** Clients turned away since the last call. */
  takeRefusals(): number {
    const refused = this.#refused;
    this.#refused = 0;
    return refused;
  }

  /** Takes no more clients; with `end` asks all of them to go. */
  stop(clients: 'finish' | 'end'): void {
    this.#isStopping = true;
    if (clients === 'end') {
      this.#stopReason = 'shutdown';
      for (const slot of [...this.#slots]) slot.handle?.stop('shutdown');
    }
    this.#events.onChange(true);
    if (this.#slots.size === 0) this.#events.onEmpty();
  }

  /** Ends the oldest client that has not logged in. @returns false when there is none */
  pushOutOldest(): boolean {
    const oldest = this.#oldestPreAuth();
    oldest?.handle?.stop('queue-full');
    return oldest !== undefined;
  }

  /** When the oldest client that has not logged in came, ms since the epoch. */
  get oldestPreAuthAtMs(): number | undefined {
    return this.#oldestPreAuth()?.handle?.startedAtMs;
  }

  kick(sessionIds: ReadonlySet<string>): void {
    for (const slot of [...this.#slots]) if (slot.sessionId !== '' && sessionIds.has(slot.sessionId)) slot.handle?.stop('kicked');
  }

  /** What the client says of itself, if it is the only one; '' otherwise. */
  get onlyTitle(): string {
    const [only] = this.#slots;
    return this.#slots.size === 1 ? (only?.handle?.title ?? '') : '';
  }

  countPreAuth(): number {
    let count = 0;
    for (const { handle } of this.#slots) if (handle?.isPreAuth === true) count += 1;
    return count;
  }

  // Slots are kept in order of arrival, so the first match is the oldest.
  #oldestPreAuth(): Slot | undefined {
    for (const slot of this.#slots) if (slot.handle?.isPreAuth === true) return slot;
    return undefined;
  }
}
