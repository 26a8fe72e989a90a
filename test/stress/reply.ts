// Just enough of the reply grammar to judge a server: written for the checker, so that no mistake is shared with the product's own code.

export type Value = string | readonly Value[];

/** Reads one value of a logical line (literals in place); atoms and strings become text, lists become arrays. */
export function readValue(text: string, from: number): { readonly value: Value; readonly end: number } {
  const first = text[from];
  if (first === '(') return readList(text, from + 1);
  if (first === '"') {
    let value = '';
    for (let at = from + 1; at < text.length; at++) {
      if (text[at] === '"') return { value, end: at + 1 };
      if (text[at] === '\\') at += 1;
      value += text[at] ?? '';
    }
    throw new Error(`unfinished string in ${text.slice(from, from + 80)}`);
  }
  const literal = /^~?\{(\d+)\}\r\n/.exec(text.slice(from, from + 30));
  if (literal !== null) {
    const start = from + literal[0].length;
    const end = start + Number(literal[1]);
    return { value: text.slice(start, end), end };
  }
  // BODY[HEADER.FIELDS (SUBJECT)]<0> is one atom here.
  let at = from;
  for (let depth = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '[') depth += 1;
    else if (char === ']') depth -= 1;
    else if (depth === 0 && (char === ' ' || char === ')' || char === '(')) break;
  }
  return { value: text.slice(from, at), end: at };
}

function readList(text: string, from: number): { readonly value: readonly Value[]; readonly end: number } {
  const values: Value[] = [];
  let at = from;
  while (at < text.length) {
    if (text[at] === ')') return { value: values, end: at + 1 };
    if (text[at] === ' ') {
      at += 1;
      continue;
    }
    const { value, end } = readValue(text, at);
    values.push(value);
    at = end;
  }
  throw new Error(`unfinished list in ${text.slice(Math.max(0, from - 1), from + 80)}`);
}

/** Items of a FETCH reply by upper-case name. @throws Error when it is not a list of pairs or names an item twice */
export function readItems(text: string): ReadonlyMap<string, Value> {
  const { value, end } = readValue(text, 0);
  if (typeof value === 'string' || end !== text.length || value.length % 2 !== 0) throw new Error(`bad item list ${text.slice(0, 200)}`);
  const items = new Map<string, Value>();
  for (let at = 0; at < value.length; at += 2) {
    const name = String(value[at]).toUpperCase();
    if (items.has(name)) throw new Error(`${name} twice in ${text.slice(0, 200)}`);
    items.set(name, value[at + 1] ?? '');
  }
  return items;
}

/** `1:3,7` in the order written. @throws Error when it is no set of numbers */
export function readSet(text: string): number[] {
  const numbers: number[] = [];
  for (const part of text.split(',')) {
    const [first, last] = part.split(':').map(Number);
    if (first === undefined || !Number.isInteger(first) || first < 1) throw new Error(`bad number set ${text}`);
    const end = last ?? first;
    if (!Number.isInteger(end)) throw new Error(`bad number set ${text}`);
    for (let number = Math.min(first, end); number <= Math.max(first, end); number++) numbers.push(number);
  }
  return numbers;
}

/** Flags in one spelling and order; \Recent belongs to a session and is left out. */
export function normalFlags(flags: Value): string {
  if (typeof flags === 'string') throw new Error(`flags are no list: ${flags}`);
  return [...new Set(flags.map((flag) => String(flag)))]
    .filter((flag) => flag.toLowerCase() !== '\\recent')
    .sort()
    .join(' ');
}
