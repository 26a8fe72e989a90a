// What a benchmark is: a named piece of work done against each server alternately, and the figures it gives.
import type { Peer, PeerName, PeerOptions } from './peers/peer.js';

/** One figure of one run. */
export interface Figure {
  /** `logins`, `server CPU`, `PSS per connection`. */
  readonly metric: string;
  /** `1/s`, `ms`, `MB`. */
  readonly unit: string;
  readonly better: 'higher' | 'lower';
  readonly value: number;
}

export interface Scenario {
  /** `logins/plain`: the part before the slash is the group. */
  readonly name: string;
  /** One line: what is measured, at which durability. */
  readonly about: string;
  readonly peers: readonly PeerName[];
  /** The same work as another scenario with other numbers: left out of `--smoke`, which only shows that scenarios work. */
  readonly isVariant?: boolean;
  /** How each server is set up; `undefined` leaves this peer out. */
  options(peer: PeerName): Pick<PeerOptions, 'mode' | 'users'> & Partial<PeerOptions>;
  /** Once for each started server, not measured: mailboxes to read from. */
  prepare?(peer: Peer, size: Size): Promise<void>;
  /** One run. */
  run(peer: Peer, size: Size): Promise<readonly Figure[]>;
}

/** `smoke` shows that the scenario works; its figures mean nothing. */
export type Size = 'smoke' | 'full';

export function pick<Value>(size: Size, smoke: Value, full: Value): Value {
  return size === 'smoke' ? smoke : full;
}
