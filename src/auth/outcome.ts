// Closed lists of what a database lookup and a whole authentication can end with.
import type { AuthFailure } from './client.js';

/** One passdb's answer, before the chain's result_* rules. */
export type PassdbOutcome =
  | 'ok'
  | 'mismatch'
  | 'unknown'
  | 'disabled'
  | 'expired'
  | 'internal'
  /** The database has no password for this user and leaves it to the next one (`noauthenticate`). */
  | 'next'
  /** The stored password cannot be turned into what the mechanism needs. */
  | 'scheme-not-available';

/** A userdb's answer. */
export type UserdbOutcome = 'found' | 'unknown' | 'internal';

/** FAIL code that a client of the auth protocol sees; `mismatch` travels as no code at all. */
export const failureOf: Readonly<Record<Exclude<PassdbOutcome, 'ok'>, AuthFailure>> = {
  mismatch: 'mismatch',
  unknown: 'mismatch',
  disabled: 'user_disabled',
  expired: 'pass_expired',
  internal: 'temp_fail',
  next: 'temp_fail',
  'scheme-not-available': 'mismatch',
};
