// What a user database offers to the chain. Drivers answer with what they have stored; checking the password, caching and the result_* rules
// are the chain's.
import type { Field } from './field-list.js';
import type { AuthState } from './request.js';

/** `heldUntilMs`: until then the same question gets the same answer without a look (held.ts); absent when the driver cannot tell. */
export type PassdbLookup =
  | {
      readonly kind: 'found';
      /** With `{SCHEME}` or in `defaultScheme`; '' when the database has none. */
      readonly password: string;
      readonly defaultScheme: string;
      readonly fields: readonly Field[];
      readonly heldUntilMs?: number | undefined;
    }
  | { readonly kind: 'unknown'; readonly heldUntilMs?: number | undefined }
  | { readonly kind: 'internal'; readonly reason: string };

export interface Passdb {
  readonly driver: string;
  /** Template whose expansion tells lookups apart in the cache; undefined when the driver is never cached (it is as fast as the cache). */
  readonly cacheKey: string | undefined;
  lookup(state: AuthState): PassdbLookup | Promise<PassdbLookup>;
}

/** `heldUntilMs` as in PassdbLookup. */
export type UserdbLookup =
  | { readonly kind: 'found'; readonly fields: readonly Field[]; readonly heldUntilMs?: number | undefined }
  | { readonly kind: 'unknown'; readonly heldUntilMs?: number | undefined }
  | { readonly kind: 'internal'; readonly reason: string };

export interface Userdb {
  readonly driver: string;
  readonly cacheKey: string | undefined;
  lookup(state: AuthState): UserdbLookup | Promise<UserdbLookup>;
  /** Every user, or undefined when the driver cannot tell. */
  list(): AsyncIterable<string> | undefined;
}

export type ResultRule = 'return' | 'return-ok' | 'return-fail' | 'continue' | 'continue-ok' | 'continue-fail';

/** The settings that every passdb and userdb block has. */
export interface DatabaseRules {
  /** Counts from 1 in file order; part of cache keys. */
  readonly id: number;
  readonly driver: string;
  readonly args: string;
  readonly defaultFields: readonly Field[];
  readonly overrideFields: readonly Field[];
  readonly resultSuccess: ResultRule;
  readonly resultFailure: ResultRule;
  readonly resultInternalFail: ResultRule;
  /** passdb: `authenticated`, `unauthenticated`; userdb: `found`, `notfound`. */
  readonly skip: string;
  /** Upper case; empty for all. */
  readonly mechanisms: readonly string[];
  readonly usernameFilter: readonly string[];
  readonly isDeny: boolean;
  readonly isMaster: boolean;
  /** `file:line` of the block. */
  readonly where: string;
}

export interface PassdbEntry {
  readonly rules: DatabaseRules;
  readonly database: Passdb;
}

export interface UserdbEntry {
  readonly rules: DatabaseRules;
  readonly database: Userdb;
}

/** Shell-like patterns of `username_filter`: `*`, `?`; a leading `!` excludes. Empty list: everybody. */
export function matchesUsernameFilter(patterns: readonly string[], user: string): boolean {
  if (patterns.length === 0) return true;
  const positive = patterns.filter((pattern) => !pattern.startsWith('!'));
  if (patterns.some((pattern) => pattern.startsWith('!') && matchesGlob(pattern.slice(1), user))) return false;
  return positive.length === 0 || positive.some((pattern) => matchesGlob(pattern, user));
}

/** `*` any run, `?` one character. Linear in both lengths. */
export function matchesGlob(pattern: string, text: string): boolean {
  let at = 0;
  let from = 0;
  let starAt = -1;
  let resume = 0;
  while (at < text.length) {
    const wanted = pattern.charAt(from);
    if (wanted === '*') {
      starAt = from;
      resume = at;
      from += 1;
    } else if (from < pattern.length && (wanted === '?' || wanted === text.charAt(at))) {
      from += 1;
      at += 1;
    } else if (starAt >= 0) {
      from = starAt + 1;
      resume += 1;
      at = resume;
    } else {
      return false;
    }
  }
  while (pattern.charAt(from) === '*') from += 1;
  return from === pattern.length;
}
