// One SASL exchange: the mechanism on one side, the databases on the other.

import { randomBytes } from 'node:crypto';
import type { AuthChain, AuthenticationOutcome } from '#auth/chain.js';
import type { AuthFailure } from '#auth/client.js';
import { failureOf } from '#auth/outcome.js';
import type { PasswordCheck } from '#auth/passdb-check.js';
import { decodeStoredPassword, isKnownScheme, type StoredPassword } from '#auth/password-scheme.js';
import { type AuthState, newAuthState, type RequestFacts } from '#auth/request.js';
import { deriveScram, parseScram } from '#auth/schemes/derived.js';
import { normalizeUsername, splitMasterName, type UsernameRules } from '#auth/username.js';
import type { Logger } from '#log/logger.js';
import type { CredentialForm, SaslBackend, SaslCredentials, SaslIdentity, SaslMechanism, SaslServer } from '#sasl/mechanism.js';

export interface ExchangeContext {
  readonly chain: AuthChain;
  readonly usernames: UsernameRules;
  readonly expand: (template: string, state: AuthState) => string;
  readonly log: Logger;
  readonly isVerbose: boolean;
  /** auth_ssl_username_from_cert: the certificate names the user, whatever the client sends. */
  readonly takesUsernameFromCert: boolean;
}

export type ExchangeStep =
  | { readonly kind: 'continue'; readonly challenge: Buffer }
  | { readonly kind: 'ok'; readonly state: AuthState; readonly finalData: Buffer | undefined }
  | {
      readonly kind: 'fail';
      readonly code: AuthFailure;
      readonly user: string | undefined;
      readonly reason: string | undefined;
      readonly isNoDelay: boolean;
      readonly state: AuthState | undefined;
    };

/** Cost of the SCRAM keys made on the fly from a plaintext password. */
const scramIterations = 4096;

export class Exchange implements SaslBackend {
  readonly #context: ExchangeContext;
  readonly #facts: RequestFacts;
  readonly #server: SaslServer;
  /** Of the last question to the databases. */
  #state: AuthState | undefined;
  #outcome: AuthenticationOutcome = 'mismatch';

  constructor(context: ExchangeContext, facts: RequestFacts, mechanism: SaslMechanism) {
    this.#context = context;
    this.#facts = facts;
    this.#server = mechanism.start(this);
  }

  get certificateUser(): string {
    return this.#facts.hasValidClientCert ? this.#facts.certUsername : '';
  }

  /** Never rejects. */
  async step(response: Buffer | undefined): Promise<ExchangeStep> {
    try {
      const step = await this.#server.step(response);
      if (step.kind === 'challenge') return { kind: 'continue', challenge: step.octets };
      if (step.kind === 'success' && this.#state && this.#outcome === 'ok')
        return { kind: 'ok', state: this.#state, finalData: step.finalData };
      if (step.kind === 'malformed') {
        this.#note(step.reason);
        return this.#fail('mismatch');
      }
      return this.#fail(this.#outcome === 'ok' ? 'mismatch' : this.#outcome);
    } catch (error) {
      this.#context.log.error('auth.exchange.failed', `Authentication failed unexpectedly: ${String(error)}`, { error });
      return this.#fail('internal');
    }
  }

  async verifyPassword(identity: SaslIdentity, password: string): Promise<boolean> {
    return this.#ask(identity, { kind: 'password', password }, password);
  }

  async acceptWithoutPassword(identity: SaslIdentity): Promise<boolean> {
    return this.#ask(identity, { kind: 'exists' }, '');
  }

  async verifyCredentials(
    identity: SaslIdentity,
    form: CredentialForm,
    check: (credentials: SaslCredentials) => boolean,
  ): Promise<boolean> {
    const take = async (stored: StoredPassword): Promise<'ok' | 'mismatch' | 'scheme-not-available'> => {
      const credentials = await convert(stored, form);
      if (credentials) return check(credentials) ? 'ok' : 'mismatch';
      this.#note(`Requested ${formNames[form]} scheme, but we have only ${stored.scheme}`);
      return 'scheme-not-available';
    };
    return this.#ask(identity, { kind: 'credentials', take }, '');
  }

  async #ask(sent: SaslIdentity, check: PasswordCheck, password: string): Promise<boolean> {
    const { usernames, chain, expand, takesUsernameFromCert } = this.#context;
    const identity = takesUsernameFromCert && this.certificateUser !== '' ? { ...sent, authenticationId: this.certificateUser } : sent;
    const state = newAuthState(this.#facts, '', identity.authenticationId);
    this.#state = state;
    this.#outcome = 'mismatch';
    const split = splitMasterName(identity.authenticationId, usernames.masterSeparator);
    const name = normalizeUsername(usernames, split?.master ?? identity.authenticationId, state, expand);
    const rawWanted = split?.user ?? identity.authorizationId;
    if (name.kind === 'refused') {
      state.user = '';
      this.#note(name.reason);
      return false;
    }
    if (rawWanted !== '') {
      const wanted = normalizeUsername(usernames, rawWanted, state, expand);
      if (wanted.kind === 'refused') {
        state.user = '';
        this.#note(wanted.reason);
        return false;
      }
      if (wanted.user !== name.user) state.requestedUser = wanted.user;
    }
    state.user = name.user;
    state.password = password;
    this.#outcome = await chain.authenticate(state, check);
    state.password = '';
    return this.#outcome === 'ok';
  }

  #fail(outcome: Exclude<AuthenticationOutcome, 'ok'>): ExchangeStep {
    const state = this.#state;
    const refusal = outcome === state?.refusal?.outcome ? state?.refusal : undefined;
    return {
      kind: 'fail',
      code: outcome === 'authz' ? 'authz_fail' : (refusal?.code ?? failureOf[outcome]),
      user: state === undefined || state.user === '' ? undefined : state.user,
      reason: refusal?.reason,
      isNoDelay: state?.isNoDelay ?? false,
      state,
    };
  }

  #note(text: string): void {
    if (!this.#context.isVerbose) return;
    const { remoteIp, sessionId } = this.#facts;
    const who = [this.#state?.user || '?', remoteIp, sessionId === '' ? '' : `<${sessionId}>`].filter((part) => part !== '').join(',');
    this.#context.log.info('auth.failed', `${this.#facts.mechanism.toLowerCase()}(${who}): ${text}`);
  }
}

const formNames: Readonly<Record<CredentialForm, string>> = {
  'scram-sha1': 'SCRAM-SHA-1',
  'scram-sha256': 'SCRAM-SHA-256',
  'cram-md5': 'CRAM-MD5',
};
const plaintextSchemes = new Set(['PLAIN', 'CLEAR', 'CLEARTEXT']);

/** What a mechanism can use of a stored password; undefined when it cannot. */
async function convert(stored: StoredPassword, form: CredentialForm): Promise<SaslCredentials | undefined> {
  if (!isKnownScheme(stored.scheme)) return undefined;
  const raw = decodeStoredPassword(stored);
  const isPlain = plaintextSchemes.has(stored.scheme);
  if (form === 'cram-md5') {
    if (isPlain) return { kind: 'plain', password: raw.toString() };
    return stored.scheme === 'CRAM-MD5' || stored.scheme === 'HMAC-MD5' ? { kind: 'cram-md5', states: raw } : undefined;
  }
  const hash = form === 'scram-sha1' ? 'sha1' : 'sha256';
  if (isPlain) return { kind: 'scram', hash, ...(await deriveScram(hash, raw, randomBytes(16), scramIterations)) };
  return stored.scheme === formNames[form] ? { kind: 'scram', hash, ...parseScram(hash, raw.toString('latin1')) } : undefined;
}
