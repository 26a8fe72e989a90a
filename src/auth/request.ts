// One authentication or lookup in progress: what the client told, the user name in its stages, and the fields the databases have set so far.
import type { AuthFailure } from './client.js';
import type { Held } from './held.js';
import type { PassdbOutcome } from './outcome.js';

/** What the asking process says about the client connection. Texts are '' when not known. */
export interface RequestFacts {
  /** Upper case; '' for lookups without authentication. */
  readonly mechanism: string;
  readonly service: string;
  readonly localIp: string;
  readonly remoteIp: string;
  readonly localPort: number;
  readonly remotePort: number;
  readonly localName: string;
  readonly clientId: string;
  readonly sessionId: string;
  readonly secured: '' | 'secured' | 'TLS';
  readonly certUsername: string;
  readonly hasValidClientCert: boolean;
  readonly isPenaltyFree: boolean;
  readonly isDebug: boolean;
}

export const noFacts: RequestFacts = {
  mechanism: '',
  service: '',
  localIp: '',
  remoteIp: '',
  localPort: 0,
  remotePort: 0,
  localName: '',
  clientId: '',
  sessionId: '',
  secured: '',
  certUsername: '',
  hasValidClientCert: false,
  isPenaltyFree: false,
  isDebug: false,
};

/** Mutable while the chain runs; belongs to that one run. */
export interface AuthState extends Held {
  readonly facts: RequestFacts;
  /** Translated and formatted name that the databases see. */
  user: string;
  /** As the client sent it. */
  readonly originalUser: string;
  /** Set during and after a master login: the administrator who logged in as `user`. */
  masterUser: string;
  /** Whom the master user wants to be, until the master passdb said yes. */
  requestedUser: string;
  /** Fields for the client of the auth protocol, in the order set. */
  extraFields: Map<string, string>;
  /** From `userdb_*` passdb fields (prefetch), later the userdb's answer. */
  userdbFields: Map<string, string>;
  /** True when a passdb set any `userdb_*` field. */
  hasPrefetch: boolean;
  /** Password the client gave, for %w; '' when the mechanism does not send it. */
  password: string;
  /** Why the login is refused though the password is right. */
  refusal: Refusal | undefined;
  /** No failure delay for this one. */
  isNoDelay: boolean;
  /** Set by `noauthenticate`. */
  mayNotAuthenticate: boolean;
  delayUntilMs: number;
}

export interface Refusal {
  readonly code: AuthFailure;
  readonly outcome: Exclude<PassdbOutcome, 'ok'>;
  readonly logText: string;
  /** Goes to the client as `reason=`. */
  readonly reason: string | undefined;
}

export function newAuthState(facts: RequestFacts, user: string, originalUser = user): AuthState {
  return {
    facts,
    user,
    originalUser,
    masterUser: '',
    requestedUser: '',
    extraFields: new Map(),
    userdbFields: new Map(),
    hasPrefetch: false,
    password: '',
    refusal: undefined,
    isNoDelay: false,
    mayNotAuthenticate: false,
    delayUntilMs: 0,
    heldUntilMs: Number.POSITIVE_INFINITY,
  };
}

/** What a database sets can be taken back as a whole when it fails in the end. */
export interface FieldSnapshot {
  readonly user: string;
  readonly requestedUser: string;
  readonly extraFields: ReadonlyMap<string, string>;
  readonly userdbFields: ReadonlyMap<string, string>;
  readonly hasPrefetch: boolean;
}

export function takeSnapshot(state: AuthState): FieldSnapshot {
  const { user, requestedUser, hasPrefetch } = state;
  return { user, requestedUser, hasPrefetch, extraFields: new Map(state.extraFields), userdbFields: new Map(state.userdbFields) };
}

export function restoreSnapshot(state: AuthState, snapshot: FieldSnapshot): void {
  state.user = snapshot.user;
  state.requestedUser = snapshot.requestedUser;
  state.extraFields = new Map(snapshot.extraFields);
  state.userdbFields = new Map(snapshot.userdbFields);
  state.hasPrefetch = snapshot.hasPrefetch;
}
