// Replies whose parts have no order in the standard, in one order: FETCH items, STATUS and METADATA items, ESEARCH results, flags, LIST attributes.

/** Words at the top level of a list's inside: groups, quoted strings, literals and `BODY[...]<n>` stay whole. */
function splitWords(text: string): string[] {
  const words: string[] = [];
  let at = 0;
  while (at < text.length) {
    const end = wordEnd(text, at);
    words.push(text.slice(at, end));
    at = end + 1;
  }
  return words;
}

function wordEnd(text: string, from: number): number {
  let depth = 0;
  let at = from;
  while (at < text.length) {
    const char = text[at];
    if (char === '"') at = quotedEnd(text, at);
    else if (char === '{') at = literalEnd(text, at);
    else if (char === ' ' && depth === 0) return at;
    else {
      if (char === '(' || char === '[') depth += 1;
      if (char === ')' || char === ']') depth -= 1;
      at += 1;
    }
  }
  return at;
}

function quotedEnd(text: string, from: number): number {
  let at = from + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at + 1;
}

function literalEnd(text: string, from: number): number {
  const marker = /^\{(\d+)\}\r\n/.exec(text.slice(from, from + 16));
  return marker === null ? from + 1 : from + marker[0].length + Number(marker[1]);
}

function sortedFlags(list: string): string {
  return `(${splitWords(list.slice(1, -1)).sort().join(' ')})`;
}

function sortedPairs(words: readonly string[]): string {
  const pairs: string[] = [];
  for (let at = 0; at < words.length; at += 2) {
    const [name = '', value = ''] = words.slice(at, at + 2);
    pairs.push(`${name} ${name === 'FLAGS' ? sortedFlags(value) : value}`);
  }
  return pairs.sort().join(' ');
}

/** @param line a logical line, or what one must look like (with variables, without `...`) */
export function inOneOrder(line: string): string {
  const [, items, inside] = /^(\* \S+ (?:UID)?FETCH \()(.*)\)$/s.exec(line) ?? [];
  if (items !== undefined && inside !== undefined) return `${items}${sortedPairs(splitWords(inside))})`;
  const [, status, counts] = /^(\* (?:STATUS|METADATA) \S+ \()([^()]*(?:\([^()]*\)[^()]*)*)\)$/s.exec(line) ?? [];
  if (status !== undefined && counts !== undefined) return `${status}${sortedPairs(splitWords(counts))})`;
  const [, search, results] = /^(\* ESEARCH (?:\(TAG "[^"]*"\) ?)?(?:UID ?)?)(.*)$/s.exec(line) ?? [];
  if (search !== undefined && results !== undefined) return `${search}${sortedPairs(splitWords(results))}`;
  return line.replace(
    /^(\* (?:LIST|LSUB|FLAGS|OK \[PERMANENTFLAGS) )(\([^)]*\))/,
    (_whole, head: string, list: string) => head + sortedFlags(list),
  );
}
