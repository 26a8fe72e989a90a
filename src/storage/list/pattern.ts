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
  const symbols = [...simplify(pattern.slice(0, maxPatternLength))];
  if (!symbols.includes('*') && !symbols.includes('%')) {
    const wanted = foldInbox(symbols.join(''), separator);
    return { matches: (name) => foldInbox(name, separator) === wanted };
  }
  return { matches: (name) => matchSymbols(symbols, [...name], separator, isBelowInbox(name, separator)) };
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

/**
 * Looks back only to the last `%` of the same level and to the last `*`: what an earlier wildcard could take, the last one can take as well,
 * except for a separator, which a `%` never takes and for which the last `*` is asked again.
 */
function matchSymbols(pattern: readonly string[], name: readonly string[], separator: string, foldFirst: boolean): boolean {
  let reachable = new Set<number>();
  addState(reachable, pattern, 0);
  for (const [index, char] of name.entries()) {
    const next = new Set<number>();
    for (const state of reachable) {
      const symbol = pattern[state];
      if (symbol === undefined) continue;
      if (symbol === '*' || (symbol === '%' && char !== separator)) next.add(state).add(state + 1);
      else if (symbol === char || (foldFirst && index < 5 && symbol.toUpperCase() === char.toUpperCase()))
        addState(next, pattern, state + 1);
      if (next.has(state + 1)) addState(next, pattern, state + 1);
    }
    if (next.size === 0) return false;
    reachable = next;
  }
  return reachable.has(pattern.length);
}

/** A wildcard may also take nothing. */
function addState(states: Set<number>, pattern: readonly string[], state: number): void {
  states.add(state);
  for (let at = state; pattern[at] === '*' || pattern[at] === '%'; at += 1) states.add(at + 1);
}
