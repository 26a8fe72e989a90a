// Answers of databases, kept in one LRU table shared by all passdbs and userdbs.
//
// Nothing is removed at its end of life: an expired entry is still there as a fallback while the database is down. A key is `P` or `U` with the
// number of the database, the master user, and the expansion of the database's key template; so it holds every %variable the answer depends on.
import { LRUCache } from 'lru-cache';
import type { Field } from './field-list.js';

/** Memory of an entry beside its texts: table slots, objects, numbers. */
const entryOverheadBytes = 200;

export interface CachedAnswer {
  /** '' when the database gave none. Without meaning for userdbs. */
  readonly password: string;
  readonly defaultScheme: string;
  readonly fields: readonly Field[];
}

export interface CacheEntry {
  /** Undefined: the user does not exist. */
  readonly answer: CachedAnswer | undefined;
  readonly user: string;
  readonly createdAtMs: number;
  /** The last password checked against this entry was right. */
  lastSuccess: boolean;
}

export interface AuthCacheOptions {
  readonly maxBytes: number;
  readonly ttlMs: number;
  /** 0: unknown users are not remembered. */
  readonly negativeTtlMs: number;
  readonly nowMs: () => number;
}

export interface CacheStatistics {
  readonly hits: number;
  readonly misses: number;
  readonly entries: number;
  readonly bytes: number;
}

export class AuthCache {
  readonly #options: AuthCacheOptions;
  readonly #table: LRUCache<string, CacheEntry>;
  #flushes = 0;
  #hits = 0;
  #misses = 0;

  constructor(options: AuthCacheOptions) {
    this.#options = options;
    this.#table = new LRUCache({ maxSize: options.maxBytes, sizeCalculation: entryBytes });
  }

  /** Grows with each flush: what was asked before one does not belong into the cache after it. */
  get flushes(): number {
    return this.#flushes;
  }

  /** An entry that may be answered from; counts as a hit. */
  findFresh(key: string): CacheEntry | undefined {
    const entry = this.#table.get(key);
    if (entry && !this.#isExpired(entry)) {
      this.#hits += 1;
      return entry;
    }
    this.#misses += 1;
    return undefined;
  }

  /** Until when findFresh gives this entry, if nothing is flushed. */
  freshUntilMs({ answer, createdAtMs }: CacheEntry): number {
    return createdAtMs + (answer === undefined ? this.#options.negativeTtlMs : this.#options.ttlMs);
  }

  /** Whatever is there, however old: for when the database does not answer. */
  findAny(key: string): CacheEntry | undefined {
    return this.#table.peek(key);
  }

  /** True when a wrong password may be new to the database: it is asked again. */
  mayHaveChanged(entry: CacheEntry): boolean {
    return entry.lastSuccess || this.#options.nowMs() - entry.createdAtMs > this.#options.negativeTtlMs;
  }

  /** @param answer undefined: no such user */
  insert(key: string, user: string, answer: CachedAnswer | undefined): CacheEntry | undefined {
    if (answer === undefined && this.#options.negativeTtlMs === 0) {
      this.#table.delete(key);
      return undefined;
    }
    const entry: CacheEntry = { answer, user, createdAtMs: this.#options.nowMs(), lastSuccess: false };
    this.#table.set(key, entry);
    return entry;
  }

  /** Removes all entries, or those of these users. @returns how many */
  flush(users: readonly string[] = []): number {
    this.#flushes += 1;
    if (users.length === 0) {
      const count = this.#table.size;
      this.#table.clear();
      return count;
    }
    const wanted = new Set(users);
    let count = 0;
    for (const [key, entry] of [...this.#table.entries()]) {
      if (wanted.has(entry.user) && this.#table.delete(key)) count += 1;
    }
    return count;
  }

  statistics(): CacheStatistics {
    return { hits: this.#hits, misses: this.#misses, entries: this.#table.size, bytes: this.#table.calculatedSize };
  }

  #isExpired(entry: CacheEntry): boolean {
    return this.#options.nowMs() > this.freshUntilMs(entry);
  }
}

function entryBytes(entry: CacheEntry, key: string): number {
  const fields = entry.answer?.fields ?? [];
  const texts = fields.reduce((sum, [name, value]) => sum + name.length + value.length, entry.answer?.password.length ?? 0);
  return entryOverheadBytes + key.length + entry.user.length + texts;
}
