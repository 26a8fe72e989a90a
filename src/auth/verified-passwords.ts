// Remembers that a password fitted a stored hash, so that the next login with it does not run argon2 again.
//
// Kept is an HMAC-SHA-256 over stored value and password, under a random key that lives and dies with this process; a different stored value is a
// different entry, so a changed password is never accepted from here. Only successes are kept: guessing costs what it did before. The price:
// somebody who can read this process's memory can test guesses faster than against argon2; such a reader sees the passwords of running logins anyway.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { LRUCache } from 'lru-cache';

const entryBytes = 300;

export class VerifiedPasswords {
  readonly #key = randomBytes(32);
  readonly #table: LRUCache<string, Buffer>;
  #hits = 0;
  #misses = 0;

  constructor(options: { readonly maxBytes: number; readonly ttlMs: number }) {
    this.#table = new LRUCache({
      max: Math.max(1, Math.floor(options.maxBytes / entryBytes)),
      ttl: Number.isFinite(options.ttlMs) ? Math.max(1, options.ttlMs) : 0,
    });
  }

  /** @param stored `{SCHEME}value` of the user */
  isKnown(stored: string, password: string): boolean {
    const known = this.#table.get(stored);
    const isHit = known !== undefined && timingSafeEqual(known, this.#mac(stored, password));
    if (isHit) this.#hits += 1;
    else this.#misses += 1;
    return isHit;
  }

  remember(stored: string, password: string): void {
    this.#table.set(stored, this.#mac(stored, password));
  }

  statistics(): { readonly hits: number; readonly misses: number } {
    return { hits: this.#hits, misses: this.#misses };
  }

  clear(): void {
    this.#table.clear();
  }

  #mac(stored: string, password: string): Buffer {
    return createHmac('sha256', this.#key).update(`${stored.length}:${stored}`).update(password).digest();
  }
}
