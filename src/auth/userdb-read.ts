// One userdb's lookup, through the cache.
import type { AuthCache, CacheEntry } from './auth-cache.js';
import type { UserdbEntry, UserdbLookup } from './database.js';
import type { AuthState } from './request.js';

export class UserdbReader {
  readonly #cache: AuthCache | undefined;
  readonly expand: (template: string, state: AuthState) => string;
  readonly #inFlight = new Map<string, Promise<UserdbLookup>>();

  constructor(cache: AuthCache | undefined, expand: (template: string, state: AuthState) => string) {
    this.#cache = cache;
    this.expand = expand;
  }

  /** At once where the cache or the database can tell. */
  read(entry: UserdbEntry, state: AuthState): UserdbLookup | Promise<UserdbLookup> {
    const { database, rules } = entry;
    if (!this.#cache || database.cacheKey === undefined) return ask(entry, state);
    const master = state.masterUser === '' ? '' : `+${state.masterUser}`;
    const key = `U${rules.id}${master}\t${this.expand(database.cacheKey, state)}`;
    const known = this.#cache.findFresh(key);
    if (known) return toLookup(known, this.#cache.freshUntilMs(known));
    return this.#readAnew(entry, state, key, this.#cache);
  }

  async #readAnew(entry: UserdbEntry, state: AuthState, key: string, cache: AuthCache): Promise<UserdbLookup> {
    const { flushes } = cache;
    const lookup = await this.#askOnce(entry, state, `${flushes}\t${key}`);
    if (lookup.kind === 'internal') {
      const old = cache.findAny(key);
      return old ? toLookup(old, undefined) : lookup;
    }
    if (cache.flushes !== flushes) return { ...lookup, heldUntilMs: undefined };
    const answer = lookup.kind === 'found' ? { password: '', defaultScheme: '', fields: lookup.fields } : undefined;
    const inserted = cache.insert(key, state.user, answer);
    return { ...lookup, heldUntilMs: inserted && cache.freshUntilMs(inserted) };
  }

  #askOnce(entry: UserdbEntry, state: AuthState, key: string): Promise<UserdbLookup> {
    const running = this.#inFlight.get(key);
    if (running) return running;
    const started = Promise.resolve(ask(entry, state)).finally(() => this.#inFlight.delete(key));
    this.#inFlight.set(key, started);
    return started;
  }
}

function toLookup({ answer }: CacheEntry, heldUntilMs: number | undefined): UserdbLookup {
  return answer ? { kind: 'found', fields: answer.fields, heldUntilMs } : { kind: 'unknown', heldUntilMs };
}

function ask({ database }: UserdbEntry, state: AuthState): UserdbLookup | Promise<UserdbLookup> {
  try {
    const lookup = database.lookup(state);
    return lookup instanceof Promise ? lookup.catch(failed) : lookup;
  } catch (error) {
    return failed(error);
  }
}

function failed(error: unknown): UserdbLookup {
  return { kind: 'internal', reason: error instanceof Error ? error.message : String(error) };
}
