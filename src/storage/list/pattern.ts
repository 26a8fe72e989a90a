// LIST patterns (RFC 9051 6.3.9): `*` matches anything, `%` anything but the hierarchy separator.

/** Patterns longer than this are cut: no name is that long. */
const maxPatternLength = 8192;

export interface MailboxPattern {
  matches(name: string): boolean;
}

/**
 * Compiles a pattern. Matching takes time proportional to name length times the number of wildcards in the worst case, never more.
 *
 * INBOX compares without case, alone and as first level (RFC 9051 5.1).
 */
export function compilePattern(pattern: string, separator: string): MailboxPattern {
  if (pattern === '*') return { matches: () => true };
  const symbols = simplify(pattern.slice(0, maxPatternLength));
  if (!/[*%]/.test(symbols)) {
    const wanted = foldInbox(symbols, separator);
    return { matches: (name) => foldInbox(name, separator) === wanted };
  }
  const matcher = new WildcardMatcher(symbols, separator);
  return { matches: (name) => matcher.matches(name, isBelowInbox(name, separator)) };
}

/** Runs of wildcards mean no more than their strongest. */
function simplify(pattern: string): string {
  return pattern.replace(/[*%]{2,}/g, (run) => (run.includes('*') ? '*' : '%'));
}

function isBelowInbox(name: string, separator: string): boolean {
  return name.slice(0, 5).toUpperCase() === 'INBOX' && (name.length === 5 || name.startsWith(separator, 5));
}

function foldInbox(name: string, separator: string): string {
  return isBelowInbox(name, separator) ? `INBOX${name.slice(5)}` : name;
}

const star = 0x2a;
const percent = 0x25;

/** Follows all positions in the pattern that the name read so far can have led to. */
class WildcardMatcher {
  readonly #pattern: string;
  readonly #separator: number;
  /** 1 for each reachable position; the two take turns. */
  #reachable: Uint8Array;
  #next: Uint8Array;

  constructor(pattern: string, separator: string) {
    this.#pattern = pattern;
    this.#separator = separator.charCodeAt(0);
    this.#reachable = new Uint8Array(pattern.length + 1);
    this.#next = new Uint8Array(pattern.length + 1);
  }

  /** @param foldFirst the name begins with INBOX as its first level */
  matches(name: string, foldFirst: boolean): boolean {
    const pattern = this.#pattern;
    const { length } = pattern;
    this.#reachable.fill(0);
    let first = 0;
    let last = this.#reach(this.#reachable, 0);
    for (let index = 0; index < name.length; index += 1) {
      const code = name.charCodeAt(index);
      this.#next.fill(0);
      let nextFirst = length + 1;
      let nextLast = -1;
      for (let state = first; state <= last && state < length; state += 1) {
        if (this.#reachable[state] === 0) continue;
        const symbol = pattern.charCodeAt(state);
        const takes = symbol === star || (symbol === percent && code !== this.#separator);
        const isSame = symbol === code || (foldFirst && index < 5 && upperCase(symbol) === upperCase(code));
        // A wildcard that takes the character stays where it is.
        if (!takes && (!isSame || symbol === percent)) continue;
        nextFirst = Math.min(nextFirst, state);
        nextLast = Math.max(nextLast, this.#reach(this.#next, takes ? state : state + 1));
      }
      if (nextLast === -1) return false;
      [this.#reachable, this.#next] = [this.#next, this.#reachable];
      first = nextFirst;
      last = nextLast;
    }
    return this.#reachable[length] === 1;
  }

  /** Marks the position, and those behind wildcards, which may also take nothing. @returns the last one marked */
  #reach(states: Uint8Array, from: number): number {
    let at = from;
    states[at] = 1;
    while (at < this.#pattern.length && (this.#pattern.charCodeAt(at) === star || this.#pattern.charCodeAt(at) === percent)) {
      at += 1;
      states[at] = 1;
    }
    return at;
  }
}

function upperCase(code: number): number {
  return code >= 0x61 && code <= 0x7a ? code - 0x20 : code;
}
