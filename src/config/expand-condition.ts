// Comparisons of `%{if;left;comparator;right;then;else}`.

const comparators = ['==', '!=', '<', '<=', '>', '>=', 'eq', 'ne', 'lt', 'le', 'gt', 'ge', '*', '!*', '~', '!~'] as const;
export type Comparator = (typeof comparators)[number];

export interface Condition<Text> {
  readonly left: Text;
  readonly comparator: Comparator;
  readonly right: Text;
  readonly whenTrue: Text;
  readonly whenFalse: Text;
}

export function parseComparator(text: string): Comparator | undefined {
  return comparators.find((comparator) => comparator === text);
}

/** `*` any run, `?` one character; linear in the product of the lengths, whatever the pattern. */
function matchesWildcard(pattern: string, text: string): boolean {
  let star = -1;
  let resume = 0;
  let p = 0;
  let t = 0;
  while (t < text.length) {
    if (pattern[p] === '*') {
      star = p;
      resume = t;
      p += 1;
    } else if (pattern[p] === '?' || pattern[p] === text[t]) {
      p += 1;
      t += 1;
    } else if (star >= 0) {
      p = star + 1;
      resume += 1;
      t = resume;
    } else return false;
  }
  while (pattern[p] === '*') p += 1;
  return p === pattern.length;
}

function matchesExpression(pattern: string, text: string): boolean {
  try {
    return new RegExp(pattern).test(text);
  } catch {
    return false;
  }
}

const byteOrder = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

/** The first six compare numbers, and do not hold when a side is none; the letters compare octets. */
export function compareValues(left: string, comparator: Comparator, right: string): boolean {
  const a = /^-?\d+$/.test(left) ? Number(left) : Number.NaN;
  const b = /^-?\d+$/.test(right) ? Number(right) : Number.NaN;
  switch (comparator) {
    case '==':
      return a === b;
    case '!=':
      return !Number.isNaN(a) && !Number.isNaN(b) && a !== b;
    case '<':
      return a < b;
    case '<=':
      return a <= b;
    case '>':
      return a > b;
    case '>=':
      return a >= b;
    case 'eq':
      return left === right;
    case 'ne':
      return left !== right;
    case 'lt':
      return byteOrder(left, right) < 0;
    case 'le':
      return byteOrder(left, right) <= 0;
    case 'gt':
      return byteOrder(left, right) > 0;
    case 'ge':
      return byteOrder(left, right) >= 0;
    case '*':
      return matchesWildcard(right, left);
    case '!*':
      return !matchesWildcard(right, left);
    case '~':
      return matchesExpression(right, left);
    case '!~':
      return !matchesExpression(right, left);
  }
}
