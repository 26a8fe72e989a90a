// One passdb's part of an authentication: look up (through the cache), apply its fields, check the password.

import type { Logger } from '#log/logger.js';
import type { AuthCache, CacheEntry } from './auth-cache.js';
import type { PassdbEntry, PassdbLookup } from './database.js';
import { isYes } from './field-list.js';
import { holdUntil } from './held.js';
import type { PassdbOutcome } from './outcome.js';
import { applyPassdbField } from './passdb-fields.js';
import { isExpensiveScheme, parseStoredPassword, type StoredPassword, verifyPassword } from './password-scheme.js';
import { type AuthState, type Refusal, restoreSnapshot, takeSnapshot } from './request.js';
import type { VerifiedPasswords } from './verified-passwords.js';
import { TooBusyError, WorkLimit } from './work-limit.js';

export type FoundPassword = Extract<PassdbLookup, { kind: 'found' }>;

/** What the chain wants to know of each passdb. */
export type PasswordCheck =
  | { readonly kind: 'password'; readonly password: string }
  /** Hands the stored password to a mechanism, which says how it went. */
  | { readonly kind: 'credentials'; readonly take: (stored: StoredPassword) => Promise<'ok' | 'mismatch' | 'scheme-not-available'> }
  /** Only whether the user exists. */
  | { readonly kind: 'exists' };

export interface PassdbCheckContext {
  readonly log: Logger;
  readonly cache: AuthCache | undefined;
  readonly verified: VerifiedPasswords | undefined;
  readonly expand: (template: string, state: AuthState) => string;
}

export class PassdbChecker {
  readonly #context: PassdbCheckContext;
  /** Lookups under way: simultaneous misses for one key ask the database once. */
  readonly #inFlight = new Map<string, Promise<PassdbLookup>>();
  readonly #slowChecks = new WorkLimit();

  constructor(context: PassdbCheckContext) {
    this.#context = context;
  }

  async check(entry: PassdbEntry, state: AuthState, wanted: PasswordCheck): Promise<PassdbOutcome> {
    const key = this.#cacheKey(entry, state);
    if (key === undefined) return this.#judge(entry, state, await this.#ask(entry, state), wanted);
    const cache = this.#context.cache;
    const known = cache?.findFresh(key);
    if (known) {
      const before = takeSnapshot(state);
      const outcome = await this.#judge(entry, state, toLookup(known, cache?.freshUntilMs(known)), wanted);
      const isFinal = wanted.kind !== 'password' || outcome !== 'mismatch' || state.refusal !== undefined || !cache?.mayHaveChanged(known);
      if (wanted.kind === 'password' && outcome === 'ok') known.lastSuccess = true;
      if (isFinal) return outcome;
      known.lastSuccess = false;
      restoreSnapshot(state, before);
    }
    return this.#askAndRemember(entry, state, key, wanted);
  }

  async #askAndRemember(entry: PassdbEntry, state: AuthState, key: string, wanted: PasswordCheck): Promise<PassdbOutcome> {
    const { cache, log } = this.#context;
    const flushes = cache?.flushes;
    let lookup = await this.#askOnce(entry, state, `${flushes ?? ''}\t${key}`);
    let inserted: CacheEntry | undefined;
    if (lookup.kind === 'internal') {
      const old = cache?.findAny(key);
      if (old) {
        log.info('auth.cache.expired', `${entry.database.driver}(${state.user}): Falling back to expired data from cache`, {
          user: state.user,
        });
        lookup = toLookup(old, undefined);
        inserted = old;
      }
    } else if (cache?.flushes === flushes) {
      inserted = cache?.insert(key, state.user, lookup.kind === 'found' ? lookup : undefined);
      lookup = { ...lookup, heldUntilMs: inserted && cache?.freshUntilMs(inserted) };
    } else {
      lookup = { ...lookup, heldUntilMs: undefined };
    }
    const outcome = await this.#judge(entry, state, lookup, wanted);
    if (inserted && wanted.kind === 'password') inserted.lastSuccess = outcome === 'ok';
    return outcome;
  }

  #askOnce(entry: PassdbEntry, state: AuthState, key: string): Promise<PassdbLookup> {
    const running = this.#inFlight.get(key);
    if (running) return running;
    const started = this.#ask(entry, state).finally(() => this.#inFlight.delete(key));
    this.#inFlight.set(key, started);
    return started;
  }

  async #ask(entry: PassdbEntry, state: AuthState): Promise<PassdbLookup> {
    try {
      return await entry.database.lookup(state);
    } catch (error) {
      return { kind: 'internal', reason: error instanceof Error ? error.message : String(error) };
    }
  }

  #cacheKey({ database, rules }: PassdbEntry, state: AuthState): string | undefined {
    if (!this.#context.cache || database.cacheKey === undefined) return undefined;
    const master = state.masterUser === '' ? '' : `+${state.masterUser}`;
    const defaults = rules.defaultFields.map(([, value]) => this.#context.expand(value, state)).join('\t');
    return `P${rules.id}${master}\t${this.#context.expand(database.cacheKey, state)}\t${defaults}`;
  }

  async #judge(entry: PassdbEntry, state: AuthState, lookup: PassdbLookup, wanted: PasswordCheck): Promise<PassdbOutcome> {
    const { driver } = entry.database;
    if (lookup.kind === 'internal') {
      holdUntil(state, undefined);
      this.#context.log.error('auth.passdb.failed', `${driver}(${state.user}): ${lookup.reason}`, { user: state.user, driver });
      return 'internal';
    }
    holdUntil(state, lookup.heldUntilMs);
    if (lookup.kind === 'unknown') return 'unknown';
    state.refusal = undefined;
    this.#applyFields(entry, state, lookup);
    if (state.mayNotAuthenticate) {
      state.mayNotAuthenticate = false;
      return 'next';
    }
    const outcome = await this.#checkPassword(driver, state, lookup, wanted);
    if (outcome === 'ok') return (state as { readonly refusal: Refusal | undefined }).refusal?.outcome ?? 'ok';
    // Without the password nobody learns that the account is disabled.
    state.refusal = undefined;
    return outcome;
  }

  #applyFields({ rules }: PassdbEntry, state: AuthState, lookup: FoundPassword): void {
    const { expand } = this.#context;
    for (const [name, value] of rules.defaultFields) applyPassdbField(state, name, expand(value, state));
    for (const [name, value] of lookup.fields) applyPassdbField(state, name, value);
    for (const [name, value] of rules.overrideFields) applyPassdbField(state, name, expand(value, state));
  }

  async #checkPassword(driver: string, state: AuthState, lookup: FoundPassword, wanted: PasswordCheck): Promise<PassdbOutcome> {
    if (wanted.kind === 'exists') return 'ok';
    const isPasswordless = lookup.fields.some(([name, value]) => name === 'nopassword' && isYes(value));
    if (lookup.password === '') {
      if (isPasswordless) return 'ok';
      this.#warnStored(driver, state, 'Empty password returned without nopassword');
      return 'mismatch';
    }
    if (isPasswordless) {
      this.#warnStored(driver, state, 'nopassword set but password is non-empty');
      return 'mismatch';
    }
    try {
      const stored = parseStoredPassword(lookup.password, lookup.defaultScheme);
      if (wanted.kind === 'credentials') return await wanted.take(stored);
      return (await this.#fits(stored, wanted.password, state)) ? 'ok' : 'mismatch';
    } catch (error) {
      if (error instanceof TooBusyError) {
        this.#context.log.error('auth.too-busy', `${driver}(${state.user}): ${error.message}`, { user: state.user, driver });
        return 'internal';
      }
      this.#warnStored(driver, state, error instanceof Error ? error.message : String(error));
      return 'mismatch';
    }
  }

  async #fits(stored: StoredPassword, password: string, state: AuthState): Promise<boolean> {
    if (!isExpensiveScheme(stored.scheme)) return verifyPassword(stored, password, state.originalUser);
    const { verified } = this.#context;
    const text = `${stored.scheme}.${stored.encoding}:${stored.value}`;
    if (verified?.isKnown(text, password)) return true;
    const isRight = await this.#slowChecks.run(() => verifyPassword(stored, password, state.originalUser));
    if (isRight) verified?.remember(text, password);
    return isRight;
  }

  #warnStored(driver: string, state: AuthState, problem: string): void {
    this.#context.log.error('auth.passdb.bad-password-entry', `${driver}(${state.user}): Invalid password in passdb: ${problem}`, {
      user: state.user,
      driver,
    });
  }
}

function toLookup({ answer }: CacheEntry, heldUntilMs: number | undefined): PassdbLookup {
  return answer ? { kind: 'found', ...answer, heldUntilMs } : { kind: 'unknown', heldUntilMs };
}
