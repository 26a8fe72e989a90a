// Why a connection ended before login, in Dovecot's words: what administrators' fail2ban rules look for.
import type { AuthFailure } from '#auth/client.js';
import type { PreAuthNote } from './machine.js';

export interface AttemptRecord {
  readonly startedAtMs: number;
  /** Failed ones and those refused before auth was asked. */
  readonly attempts: number;
  readonly firstAttemptAtMs: number;
  readonly successes: number;
  readonly lastFailure: AuthFailure | undefined;
  readonly lastNote: PreAuthNote | undefined;
  readonly phase: 'waiting-for-auth' | 'idle' | 'in-exchange' | 'authenticating' | 'finishing';
  readonly phaseSinceMs: number;
}

/** Text for the parentheses, '' when there is nothing to say. */
export function disconnectReason(record: AttemptRecord, nowMs: number): string {
  const since = (fromMs: number): number => Math.max(0, Math.floor((nowMs - fromMs) / 1000));
  const waited = `waited ${since(record.phaseSinceMs)} secs`;
  switch (record.phase) {
    case 'waiting-for-auth':
      return `disconnected before auth was ready, ${waited}`;
    case 'in-exchange':
      return `client didn't finish SASL auth, ${waited}`;
    case 'authenticating':
      return `disconnected while authenticating, ${waited}`;
    case 'finishing':
      return `disconnected while finishing login, ${waited}`;
    case 'idle':
      break;
  }
  if (record.successes > 0) return `internal failure, ${record.successes} successful auths`;
  const tries = `${record.attempts} attempts in ${since(record.firstAttemptAtMs)} secs`;
  switch (record.lastNote) {
    case 'plaintext-refused':
      return 'tried to use disallowed plaintext auth';
    case 'tls-required':
      return 'tried to use disallowed plaintext auth';
    case 'mechanism-refused':
      return 'tried to use unsupported auth mechanism';
    case 'aborted':
      return 'aborted authentication';
    case 'bad-base64':
      return 'sent invalid base64 in response';
    case undefined:
      break;
  }
  switch (record.lastFailure) {
    case undefined:
      return `no auth attempts in ${since(record.startedAtMs)} secs`;
    case 'temp_fail':
      return 'auth service reported temporary failure';
    case 'authz_fail':
      return `authorization failed, ${tries}`;
    case 'user_disabled':
      return 'user disabled';
    case 'pass_expired':
      return 'password expired';
    case 'invalid_base64':
      return 'sent invalid base64 in response';
    case 'login_disabled':
      return 'login disabled';
    case 'auth_mech_invalid':
      return 'tried to use unsupported auth mechanism';
    case 'auth_mech_ssl_required':
      return 'tried to use disallowed plaintext auth';
    case 'aborted':
      return 'aborted authentication';
    case 'mismatch':
    case 'anonymous_denied':
      return `auth failed, ${tries}`;
  }
}
