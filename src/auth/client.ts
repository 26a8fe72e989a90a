// Asking the auth role. Implementations in auth-connection.ts (login side: Dovecot's auth client protocol) and master-connection.ts (mail side).
import type { Peer } from '#ipc/peer.js';

/** Result of one SASL exchange step as seen by a server that relays it. */
export type AuthStep =
  | { readonly kind: 'continue'; readonly challenge: Buffer }
  | {
      readonly kind: 'ok';
      readonly user: string;
      readonly authId: number;
      readonly authPid: number;
      readonly cookie: string;
      /** The login, sealed for a mail process (claim-token.ts); undefined when it has to be claimed at auth. */
      readonly claim?: string | undefined;
      /** A seal that is good for all logins with the same proof while it may be taken as right; undefined when there is none. */
      readonly claimAgain?: string | undefined;
      /** The same proof may be taken as right for this long without asking, ms. */
      readonly keepMs?: number | undefined;
      readonly finalData: Buffer | undefined;
      readonly fields: Readonly<Record<string, string>>;
    }
  | { readonly kind: 'fail'; readonly code: AuthFailure; readonly reason: string | undefined; readonly user: string | undefined };

/** Closed list (Dovecot's FAIL codes; `mismatch` when the code is absent). */
export type AuthFailure =
  | 'mismatch'
  | 'temp_fail'
  | 'authz_fail'
  | 'user_disabled'
  | 'pass_expired'
  | 'invalid_base64'
  | 'login_disabled'
  | 'auth_mech_invalid'
  | 'auth_mech_ssl_required'
  | 'anonymous_denied'
  | 'aborted';

export interface AuthMechanism {
  readonly name: string;
  readonly isPlaintext: boolean;
}

export interface AuthRequest {
  readonly mechanism: string;
  /** `imap`, `pop3`, `smtp`. */
  readonly service: string;
  readonly peer: Peer;
  readonly sessionId: string;
  /** SASL initial response; undefined when none was sent (an empty one is an empty buffer). */
  readonly initialResponse: Buffer | undefined;
  /** What the client said of itself (`%{client_id}`), where that is to be kept. */
  readonly clientId?: string | undefined;
}

/** One exchange: `respond` after each `continue`. */
export interface AuthExchange {
  next(): Promise<AuthStep>;
  respond(response: Buffer): Promise<AuthStep>;
  cancel(): void;
}

export interface AuthClient {
  /** The same as `mechanisms` where it need not be waited for. */
  readonly knownMechanisms?: readonly AuthMechanism[] | undefined;
  /** Offered mechanisms, once connected. */
  mechanisms(): Promise<readonly AuthMechanism[]>;
  /** Never throws for authentication results; a broken connection to auth is `temp_fail`. */
  begin(request: AuthRequest): AuthExchange;
  close(): void;
}

/** userdb fields of a user: uid, gid, home, mail, and any setting override. */
export interface UserFields {
  readonly user: string;
  readonly fields: Readonly<Record<string, string>>;
}

export type UserLookup =
  | { readonly kind: 'found'; readonly user: UserFields }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'temp_fail'; readonly reason: string };

export interface AuthMasterClient {
  /** Claims a finished authentication by (loginPid, authId, cookie), once. */
  claim(request: { readonly loginPid: number; readonly authId: number; readonly cookie: string }, signal: AbortSignal): Promise<UserLookup>;
  /** userdb lookup without authentication (LMTP, SMTP, roostadm). */
  lookup(user: string, service: string, signal: AbortSignal): Promise<UserLookup>;
  list(mask: string, signal: AbortSignal): Promise<readonly string[]>;
  close(): void;
}
