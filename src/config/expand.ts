// % variables of Dovecot 2.3: `%u`, `%{user}`, `%L{user}`, `%3.2u`, `%08Xu`, `%{sha256;rounds=2:user}`, `%{if;%d;ne;;%d;none}`.
//
// A text is compiled once into parts and expanded many times; which name has which value is the caller's matter. A number, modifiers and
// the name follow the %: [[-]offset.][0|-]width, then letters applied from left to right, then the name; the substring is cut last.
import { hostname } from 'node:os';
import { type Condition, compareValues, parseComparator } from './expand-condition.js';
import {
  applyModifiers,
  cut,
  type HashOptions,
  hashNames,
  hashValue,
  isModifier,
  parseHashOptions,
  type Shape,
} from './expand-modifiers.js';

/**
 * The value of a variable, or undefined when there is none of that name.
 * @param name `u`, `user`, or with an argument `passdb:field`, `env:HOME`, as written
 */
export type VariableLookup = (name: string) => string | undefined;

type Part =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'variable'; readonly name: string; readonly shape: Shape | undefined }
  | { readonly kind: 'hash'; readonly options: HashOptions; readonly name: string; readonly shape: Shape | undefined }
  | { readonly kind: 'if'; readonly condition: Condition<Template>; readonly shape: Shape | undefined };

/** Lengths beyond which a template is cut off; they come from configuration and user databases. */
const maxNesting = 8;

export class Template {
  readonly source: string;
  /** What is wrong with the text itself, for reporting at start-up. */
  readonly problems: readonly string[];
  readonly #parts: readonly Part[];

  constructor(source: string, parts: readonly Part[], problems: readonly string[]) {
    this.source = source;
    this.problems = problems;
    this.#parts = parts;
  }

  /** Names of all variables, also those in conditions and hashes, as a lookup gets them. */
  get names(): ReadonlySet<string> {
    const found = new Set<string>();
    for (const part of this.#parts) {
      if (part.kind === 'variable' || part.kind === 'hash') found.add(part.name);
      else if (part.kind === 'if') for (const inner of conditionParts(part.condition)) for (const name of inner.names) found.add(name);
    }
    return found;
  }

  /** No variables at all: `expand` always gives the same. */
  get isConstant(): boolean {
    return this.#parts.every(({ kind }) => kind === 'text');
  }

  /**
   * The text with values filled in. A variable without value becomes `UNSUPPORTED_VARIABLE_name`.
   * @param onUnknown told the name of each such variable
   */
  expand(lookup: VariableLookup, onUnknown?: (name: string) => void): string {
    let text = '';
    for (const part of this.#parts) {
      if (part.kind === 'text') text += part.text;
      else {
        const value = partValue(part, lookup, onUnknown);
        text += part.shape === undefined ? value : cut(applyModifiers(value, part.shape), part.shape);
      }
    }
    return text;
  }
}

function conditionParts({ left, right, whenTrue, whenFalse }: Condition<Template>): readonly Template[] {
  return [left, right, whenTrue, whenFalse];
}

function partValue(part: Exclude<Part, { kind: 'text' }>, lookup: VariableLookup, onUnknown?: (name: string) => void): string {
  if (part.kind === 'if') {
    const { left, comparator, right, whenTrue, whenFalse } = part.condition;
    const holds = compareValues(left.expand(lookup, onUnknown), comparator, right.expand(lookup, onUnknown));
    return (holds ? whenTrue : whenFalse).expand(lookup, onUnknown);
  }
  const value = lookup(part.name) ?? processVariable(part.name);
  if (value === undefined) {
    onUnknown?.(part.name);
    return part.kind === 'hash' ? '' : `UNSUPPORTED_VARIABLE_${part.name.split(':', 1)[0]}`;
  }
  return part.kind === 'hash' ? hashValue(part.options, value) : value;
}

/** Variables that do not depend on who asks. */
function processVariable(name: string): string | undefined {
  if (name.startsWith('env:')) return process.env[name.slice(4)] ?? '';
  if (name === 'hostname') return hostname();
  if (name === 'pid') return String(process.pid);
  if (name === 'uid') return String(process.getuid?.() ?? 0);
  if (name === 'gid') return String(process.getgid?.() ?? 0);
  return undefined;
}

/** Compiles a text. Never throws: see `problems`. */
export function compileTemplate(source: string): Template {
  return compileNested(source, 0);
}

/** For a text that is used once. */
export function expandOnce(source: string, lookup: VariableLookup): string {
  return compileTemplate(source).expand(lookup);
}

function compileNested(source: string, depth: number): Template {
  const parts: Part[] = [];
  const problems: string[] = [];
  let text = '';
  let at = 0;
  while (at < source.length) {
    const percent = source.indexOf('%', at);
    if (percent < 0 || percent === source.length - 1) {
      // A lone % at the end disappears, as it does in Dovecot.
      text += source.slice(at, percent < 0 ? undefined : percent);
      break;
    }
    text += source.slice(at, percent);
    const { shape, next } = readShape(source, percent + 1);
    const char = source[next];
    if (char === undefined) break;
    at = next + 1;
    if (char === '%') {
      text += '%';
      continue;
    }
    if (text !== '') parts.push({ kind: 'text', text });
    text = '';
    const end = char === '{' ? closingBrace(source, next) : next;
    if (char !== '{') parts.push({ kind: 'variable', name: char, shape });
    else if (end < 0) {
      problems.push(`Missing } in ${source}`);
      text = `UNSUPPORTED_VARIABLE_${source.slice(next)}`;
      break;
    } else {
      parts.push(readBraces(source.slice(next + 1, end), shape, depth, problems));
      at = end + 1;
    }
  }
  if (text !== '') parts.push({ kind: 'text', text });
  return new Template(source, parts, problems);
}

function closingBrace(source: string, open: number): number {
  let depth = 0;
  for (let at = open; at < source.length; at += 1) {
    if (source[at] === '\\') at += 1;
    else if (source[at] === '{') depth += 1;
    else if (source[at] === '}') {
      depth -= 1;
      if (depth === 0) return at;
    }
  }
  return -1;
}

/** Numbers and modifiers after a %. `next` is the index of the name. */
function readShape(source: string, start: number): { readonly shape: Shape | undefined; readonly next: number } {
  const [numbers = '', sign = '', offsetDigits = '', point, widthSign = '', widthDigits = ''] =
    /^(-?)(\d*)(?:(\.)(-?)(\d*))?/.exec(source.slice(start, start + 32)) ?? [];
  let next = start + numbers.length;
  let modifiers = '';
  while (isModifier(source[next])) {
    modifiers += source[next];
    next += 1;
  }
  if (numbers === '' && modifiers === '') return { shape: undefined, next };
  const first = Math.min(Number(offsetDigits), maxNumber);
  const second = Math.min(Number(widthDigits), maxNumber);
  // Without a point the only number is the width, and a sign before it means nothing.
  const shape: Shape =
    point === undefined
      ? { offset: 0, width: first, padsWithZeros: offsetDigits.startsWith('0'), modifiers }
      : {
          offset: sign === '-' ? -first : first,
          width: widthSign === '-' ? -second : second,
          padsWithZeros: widthDigits.startsWith('0'),
          modifiers,
        };
  return { shape, next };
}

const maxNumber = 65_536;

function readBraces(inside: string, shape: Shape | undefined, depth: number, problems: string[]): Part {
  if (inside.startsWith('if;')) {
    if (depth >= maxNesting) {
      problems.push(`Conditions are nested deeper than ${maxNesting}`);
      return { kind: 'text', text: '' };
    }
    const fields = splitFields(inside.slice(3));
    const comparator = parseComparator(fields[1] ?? '');
    if (fields.length < 4 || fields.length > 5) {
      problems.push(`if: requires four or five parameters, got ${fields.length}`);
      return { kind: 'text', text: '' };
    }
    if (comparator === undefined) {
      problems.push(`if: Unsupported comparator '${fields[1]}'`);
      return { kind: 'text', text: '' };
    }
    const [left, right, whenTrue, whenFalse] = [fields[0], fields[2], fields[3], fields[4]].map((field) => {
      const compiled = compileNested(field ?? '', depth + 1);
      problems.push(...compiled.problems);
      return compiled;
    });
    if (left === undefined || right === undefined || whenTrue === undefined || whenFalse === undefined) return { kind: 'text', text: '' };
    return { kind: 'if', condition: { left, comparator, right, whenTrue, whenFalse }, shape };
  }
  const [, algorithm = '', args, name = ''] = /^([a-z0-9-]+)(?:;([^:]*))?:([\s\S]*)$/.exec(inside) ?? [];
  if (hashNames.has(algorithm)) {
    const options = parseHashOptions(algorithm, args ?? '');
    if (typeof options !== 'string') return { kind: 'hash', options, name, shape };
    problems.push(options);
    return { kind: 'text', text: '' };
  }
  return { kind: 'variable', name: inside, shape };
}

/** Splits at `;` outside braces; `\` keeps the next character. */
function splitFields(text: string): string[] {
  const fields: string[] = [];
  let field = '';
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const char = text.charAt(at);
    if (char === '\\' && at + 1 < text.length) {
      at += 1;
      // Inside braces the inner condition will read the backslash itself.
      field += depth === 0 ? text.charAt(at) : char + text.charAt(at);
    } else if (char === ';' && depth === 0) {
      fields.push(field);
      field = '';
    } else {
      if (char === '{') depth += 1;
      else if (char === '}') depth -= 1;
      field += char;
    }
  }
  return [...fields, field];
}
