// One userdb's lookup, through the cache.
import type { AuthCache } from './auth-cache.js';
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

  async read(entry: UserdbEntry, state: AuthState): Promise<UserdbLookup> {
    const { database, rules } = entry;
    if (!this.#cache || database.cacheKey === undefined) return ask(entry, state);
    const master = state.masterUser === '' ? '' : `+${state.masterUser}`;
    const key = `U${rules.id}${master}\t${this.expand(database.cacheKey, state)}`;
    const known = this.#cache.findFresh(key);
    if (known) return known.answer ? { kind: 'found', fields: known.answer.fields } : { kind: 'unknown' };
    const lookup = await this.#askOnce(entry, state, key);
    if (lookup.kind === 'internal') {
      const old = this.#cache.findAny(key);
      if (!old) return lookup;
      return old.answer ? { kind: 'found', fields: old.answer.fields } : { kind: 'unknown' };
    }
    this.#cache.insert(key, state.user, lookup.kind === 'found' ? { password: '', defaultScheme: '', fields: lookup.fields } : undefined);
    return lookup;
  }

  #askOnce(entry: UserdbEntry, state: AuthState, key: string): Promise<UserdbLookup> {
    const running = this.#inFlight.get(key);
    if (running) return running;
    const started = ask(entry, state).finally(() => this.#inFlight.delete(key));
    this.#inFlight.set(key, started);
    return started;
  }
}

async function ask({ database }: UserdbEntry, state: AuthState): Promise<UserdbLookup> {
  try {
    return await database.lookup(state);
  } catch (error) {
    return { kind: 'internal', reason: error instanceof Error ? error.message : String(error) };
  }
}
