// What the scheduler is told about a service, and what it decides. Plain values: no clock, no process, no socket.

/** Limits of one `service` block, already effective (0 replaced by the default, clientLimit capped by serviceCount). */
export interface PoolLimits {
  readonly processLimit: number;
  readonly clientLimit: number;
  /** Connections a process serves before it stops accepting; 0 is unlimited. */
  readonly serviceCount: number;
  /** Processes that shall be able to take a client at any time. */
  readonly processMinAvail: number;
  /** Infinity: surplus idle processes stay. */
  readonly idleKillMs: number;
  /** At the limit, clients that have not logged in make room for new connections. */
  readonly isLogin: boolean;
  /** Key of processes that are started without a request for them (prestart, connections on listeners). */
  readonly defaultKey: string;
}

/** A logged-in user looking for a mail process. */
export interface RouteRequest {
  /** Chosen by the caller, unique among open requests. */
  readonly request: number;
  readonly user: string;
  /** Only processes with the same key can serve it: the uid and gid they run with. */
  readonly key: string;
  /** The asker can use the answer again for the same user. */
  readonly takesLease?: boolean | undefined;
}

/** Numbers of a child's status message. */
export interface ProcessStatus {
  readonly clients: number;
  readonly served: number;
  readonly isDraining: boolean;
  readonly arrived: readonly number[];
  readonly left: readonly number[];
  readonly isIdleRefused: boolean;
  /** When its oldest client that has not logged in came, ms since the epoch; undefined when there is none or it does not say. */
  readonly oldestPreAuthAtMs: number | undefined;
}

export type LimitName = 'process_limit' | 'client_limit' | 'client_limit/service_count';

export type Decision =
  | { readonly kind: 'start'; readonly process: number; readonly key: string }
  /** Ask a surplus process to exit if it has no client. */
  | { readonly kind: 'idle-exit'; readonly process: number }
  /** No first status within the time limit. */
  | { readonly kind: 'kill'; readonly process: number; readonly afterMs: number }
  /** `leaseMs`: it holds for so long for others of the same user, for whom nothing is reserved. */
  | {
      readonly kind: 'answer';
      readonly request: number;
      readonly process: number;
      readonly ticket: number;
      readonly leaseMs?: number | undefined;
    }
  | { readonly kind: 'refuse'; readonly request: number; readonly outcome: 'full' | 'failed'; readonly reason: string }
  /** Login service: make this process end its oldest client that has not logged in. */
  | { readonly kind: 'push-out'; readonly process: number }
  /** Accept what waits on the listeners and refuse it with the protocol's text. */
  | { readonly kind: 'drop-pending' }
  /** For the log: which setting ended the growth, its value, and the value that would have been enough. */
  | { readonly kind: 'limit-reached'; readonly limit: LimitName; readonly value: number; readonly needed: number; readonly waiting: number }
  | { readonly kind: 'throttle'; readonly ms: number };

/** A reservation whose connection never arrived is given back after this. */
export const reservationMs = 30_000;
/** Further connections of a user go where the last one went, without a question, for this long after it. */
export const leaseMs = 5_000;
/** The process tells of those up to this much later; until then their user counts as one that it serves. */
export const leaseArrivalMs = 5_000;
/** Nothing is reserved for them, so there are leases only as long as a process has at least so much room. */
export const leastFreeToLease = 16;
/** Processes being started at the same time, for one service. */
export const maxStarting = 10;
/** After a decision about waiting connections the listeners are left alone this long, so that processes can take what they were given. */
export const listenPauseMs = 20;
/** The same after clients were pushed out. */
export const pushOutPauseMs = 200;
/** Where each process has one client: how long it may take until the process of one that was pushed out has ended, and another one has started. */
export const replacementMs = 5_000;
/** The log line about a limit comes at most this often. */
export const limitLogMs = 1_000;

/** How long process_min_avail may fall short while others have room: about as long as the login takes that has caused it. */
export const restorePauseMs = 50;
