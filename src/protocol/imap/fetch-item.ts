// FETCH data items (RFC 9051 6.4.5, RFC 3516 BINARY, RFC 7162 MODSEQ, RFC 8474 OBJECTID, RFC 8514 SAVEDATE, RFC 8970 PREVIEW).

import { encodeAstring } from './encoder.js';
import { decodeUtf8, encodeUtf8, grammarLimits, ImapSyntaxError } from './grammar.js';
import { CommandReader } from './reader.js';

/** A part of a message: `path` [] is the whole message, [1, 2] is part 1.2. */
export interface Section {
  readonly path: readonly number[];
  readonly part:
    | { readonly kind: 'all' | 'header' | 'text' | 'mime' }
    /** Lower-case names. */
    | { readonly kind: 'fields' | 'fields-not'; readonly names: readonly string[] };
}

/** `<offset.length>` */
export interface Partial {
  readonly offset: number;
  readonly length: number;
}

export type SimpleItem =
  | 'FLAGS'
  | 'UID'
  | 'INTERNALDATE'
  | 'RFC822.SIZE'
  | 'ENVELOPE'
  | 'BODY'
  | 'BODYSTRUCTURE'
  | 'MODSEQ'
  | 'SAVEDATE'
  | 'EMAILID'
  | 'THREADID';

export type FetchItem =
  | { readonly kind: 'simple'; readonly name: SimpleItem }
  | { readonly kind: 'preview'; readonly isLazy: boolean }
  | {
      readonly kind: 'section';
      /** As the reply names it, partial origin included: `BODY[HEADER.FIELDS (FROM)]<0>`, `RFC822`. */
      readonly label: string;
      readonly section: Section;
      readonly partial: Partial | undefined;
      readonly isPeek: boolean;
    }
  | {
      readonly kind: 'binary';
      readonly label: string;
      readonly path: readonly number[];
      readonly partial: Partial | undefined;
      readonly isPeek: boolean;
    }
  | { readonly kind: 'binary-size'; readonly label: string; readonly path: readonly number[] };

const simple = (name: SimpleItem): FetchItem => ({ kind: 'simple', name });
const simpleNames: Readonly<Record<string, SimpleItem>> = {
  FLAGS: 'FLAGS',
  UID: 'UID',
  INTERNALDATE: 'INTERNALDATE',
  'RFC822.SIZE': 'RFC822.SIZE',
  ENVELOPE: 'ENVELOPE',
  BODYSTRUCTURE: 'BODYSTRUCTURE',
  MODSEQ: 'MODSEQ',
  SAVEDATE: 'SAVEDATE',
  EMAILID: 'EMAILID',
  THREADID: 'THREADID',
};
const fast = [simple('FLAGS'), simple('INTERNALDATE'), simple('RFC822.SIZE')];
const macros: Readonly<Record<string, readonly FetchItem[]>> = {
  ALL: [...fast, simple('ENVELOPE')],
  FAST: fast,
  FULL: [...fast, simple('ENVELOPE'), simple('BODY')],
};

/** One item, a macro, or a parenthesised list of items. Repeated items are kept once. */
export function parseFetchItems(reader: CommandReader): FetchItem[] {
  if (reader.isAtList) {
    const items = reader.list(() => parseItem(reader));
    if (items.length === 0) reader.fail('FETCH list is empty.');
    return unique(items);
  }
  const start = reader.position;
  const macro = macros[readName(reader)];
  if (macro !== undefined) return [...macro];
  reader.position = start;
  return [parseItem(reader)];
}

function unique(items: readonly FetchItem[]): FetchItem[] {
  const seen = new Set<string>();
  return items.filter((item) => {
    const key = item.kind === 'simple' ? item.name : item.kind === 'preview' ? 'PREVIEW' : `${item.kind} ${item.label}`;
    if (seen.has(key) && item.kind !== 'section' && item.kind !== 'binary') return false;
    seen.add(key);
    return true;
  });
}

function readName(reader: CommandReader): string {
  const start = reader.position;
  const { text } = reader;
  let at = start;
  while (at < text.length && isNameChar(text.charCodeAt(at))) at += 1;
  reader.position = at;
  return text.slice(start, at).toUpperCase();
}

/** A-Z a-z 0-9 and the dot. */
function isNameChar(octet: number): boolean {
  const letter = octet | 0x20;
  return (letter >= 0x61 && letter <= 0x7a) || (octet >= 0x30 && octet <= 0x39) || octet === 0x2e;
}

function parseItem(reader: CommandReader): FetchItem {
  const name = readName(reader);
  const known = simpleNames[name];
  if (known !== undefined) return simple(known);
  switch (name) {
    case 'BODY':
      return reader.tryChar('[') ? parseSection(reader, false) : simple('BODY');
    case 'BODY.PEEK':
      reader.char('[');
      return parseSection(reader, true);
    case 'RFC822':
      return whole('RFC822', { path: [], part: { kind: 'all' } }, false);
    case 'RFC822.PEEK':
      return whole('RFC822', { path: [], part: { kind: 'all' } }, true);
    case 'RFC822.HEADER':
      return whole('RFC822.HEADER', { path: [], part: { kind: 'header' } }, true);
    case 'RFC822.TEXT':
      return whole('RFC822.TEXT', { path: [], part: { kind: 'text' } }, false);
    case 'RFC822.TEXT.PEEK':
      return whole('RFC822.TEXT', { path: [], part: { kind: 'text' } }, true);
    case 'PREVIEW':
      return parsePreview(reader);
    case 'BINARY':
    case 'BINARY.PEEK': {
      const path = parseBinaryPath(reader);
      const partial = parsePartial(reader);
      const label = `BINARY[${path.join('.')}]${partial === undefined ? '' : `<${partial.offset}>`}`;
      return { kind: 'binary', label, path, partial, isPeek: name === 'BINARY.PEEK' };
    }
    case 'BINARY.SIZE': {
      const path = parseBinaryPath(reader);
      return { kind: 'binary-size', label: `BINARY.SIZE[${path.join('.')}]`, path };
    }
    default:
      return reader.fail(name === '' ? 'Invalid FETCH argument' : `Unknown parameter: ${name}`);
  }
}

function whole(label: string, section: Section, isPeek: boolean): FetchItem {
  return { kind: 'section', label, section, partial: undefined, isPeek };
}

/** RFC 8970 3.1: `PREVIEW` or `PREVIEW (LAZY)`. */
function parsePreview(reader: CommandReader): FetchItem {
  if (!(reader.text.startsWith(' (', reader.position) && /^ \((LAZY|FUZZY)/i.test(reader.text.slice(reader.position)))) {
    return { kind: 'preview', isLazy: false };
  }
  reader.space();
  const modifiers = reader.list(() => reader.word());
  for (const modifier of modifiers) if (modifier !== 'LAZY' && modifier !== 'FUZZY') reader.fail(`Unknown PREVIEW modifier ${modifier}`);
  return { kind: 'preview', isLazy: modifiers.includes('LAZY') };
}

function parseBinaryPath(reader: CommandReader): number[] {
  reader.char('[');
  const path: number[] = [];
  if (!reader.tryChar(']')) {
    do {
      if (path.length >= grammarLimits.sectionDepth) reader.fail('Section path too deep');
      path.push(reader.nonZeroNumber());
    } while (reader.tryChar('.'));
    reader.char(']');
  }
  return path;
}

function parsePartial(reader: CommandReader): Partial | undefined {
  if (!reader.tryChar('<')) return undefined;
  const offset = reader.number64();
  reader.char('.');
  const length = reader.number64();
  if (length === 0) reader.fail('Invalid partial length');
  reader.char('>');
  return { offset, length };
}

/** Behind `BODY[` or `BODY.PEEK[`. */
function parseSection(reader: CommandReader, isPeek: boolean): FetchItem {
  const section = readSectionSpec(reader);
  const partial = parsePartial(reader);
  const label = `BODY[${encodeSection(section)}]${partial === undefined ? '' : `<${partial.offset}>`}`;
  return { kind: 'section', label, section, partial, isPeek };
}

/** A section as IMAP URLs write it (RFC 5092): what stands between `BODY[` and `]`. @returns undefined when it is none */
export function parseUrlSection(text: string): Section | undefined {
  const reader = new CommandReader(`${encodeUtf8(text)}]`);
  try {
    const section = readSectionSpec(reader);
    reader.end();
    return section;
  } catch (error) {
    if (error instanceof ImapSyntaxError) return undefined;
    throw error;
  }
}

function readSectionSpec(reader: CommandReader): Section {
  const path: number[] = [];
  for (;;) {
    const next = reader.peek();
    if (!(next >= 0x30 && next <= 0x39)) break;
    if (path.length >= grammarLimits.sectionDepth) reader.fail('Section path too deep');
    path.push(reader.nonZeroNumber());
    if (!reader.tryChar('.')) {
      reader.char(']');
      return { path, part: { kind: 'all' } };
    }
  }
  if (reader.tryChar(']')) {
    if (path.length > 0) reader.fail('Invalid BODY[] section');
    return { path, part: { kind: 'all' } };
  }
  const name = readName(reader);
  const part = readSectionPart(reader, name, path.length > 0);
  reader.char(']');
  return { path, part };
}

function readSectionPart(reader: CommandReader, name: string, hasPath: boolean): Section['part'] {
  switch (name) {
    case 'HEADER':
      return { kind: 'header' };
    case 'TEXT':
      return { kind: 'text' };
    case 'MIME':
      if (!hasPath) reader.fail('Invalid BODY[] section: MIME needs a part number');
      return { kind: 'mime' };
    case 'HEADER.FIELDS':
    case 'HEADER.FIELDS.NOT': {
      reader.space();
      const names = reader.list(() => decodeUtf8(reader.astring()).toLowerCase());
      if (names.length === 0) reader.fail('Invalid BODY[] section: no header names');
      return { kind: name === 'HEADER.FIELDS' ? 'fields' : 'fields-not', names };
    }
    default:
      return reader.fail('Invalid BODY[] section');
  }
}

function encodeSection({ path, part }: Section): string {
  const prefix = path.join('.');
  const dot = prefix === '' ? '' : `${prefix}.`;
  switch (part.kind) {
    case 'all':
      return prefix;
    case 'header':
      return `${dot}HEADER`;
    case 'text':
      return `${dot}TEXT`;
    case 'mime':
      return `${dot}MIME`;
    default: {
      const names = part.names.map((name) => encodeAstring(encodeUtf8(name).toUpperCase()));
      return `${dot}HEADER.FIELDS${part.kind === 'fields-not' ? '.NOT' : ''} (${names.join(' ')})`;
    }
  }
}
