// Parameters of Content-Type and Content-Disposition (RFC 2045 5.1) with continuations and charsets (RFC 2231), lenient.
import { Buffer } from 'node:buffer';
import type { HeaderLexer } from './lexer.js';
import type { OctetString, ParameterList } from './mime-part.js';

const maxParameters = 1000;
const maxSections = 1000;

interface Section {
  readonly index: number;
  readonly isExtended: boolean;
  readonly value: OctetString;
}

/** Reads `*(";" attribute "=" value)` to the end of the lexer's text. A parameter without `=` or name is skipped. */
export function parseParameters(lexer: HeaderLexer): ParameterList {
  const list: [OctetString, OctetString][] = [];
  const sections = new Map<OctetString, Section[]>();
  while (!lexer.isAtEnd && list.length < maxParameters) {
    lexer.skipCfws();
    if (lexer.accept(0x3b)) continue;
    const name = lexer.token().toLowerCase();
    lexer.skipCfws();
    if (name === '' || !lexer.accept(0x3d)) {
      // Not a parameter: go on behind the next semicolon.
      if (lexer.peek() === 0x22) lexer.quotedString();
      else if (name === '') lexer.position += 1;
      lexer.until(';"');
      continue;
    }
    lexer.skipCfws();
    lexer.lastComment = undefined;
    const value = parameterValue(lexer);
    const section = /^(.+?)\*(\d{1,4})(\*?)$/.exec(name);
    if (section === null) list.push([name, value]);
    else addSection(list, sections, section, value);
  }
  for (const entry of list) joinSections(entry, sections);
  return list;
}

function parameterValue(lexer: HeaderLexer): OctetString {
  if (lexer.peek() === 0x22) return lexer.quotedString();
  // Broken mailers leave out the quotes: take what is not a semicolon or comment, and words up to one that looks like the next parameter.
  let value = '';
  for (;;) {
    value += lexer.token();
    const next = lexer.peek();
    if (next === -1 || next === 0x3b || next === 0x28) return value;
    if (next === 0x20 || next === 0x09 || next === 0x0d || next === 0x0a) {
      const at = lexer.position;
      lexer.skipCfws();
      const word = lexer.token();
      if (word === '' || lexer.peek() === 0x3d || lexer.lastComment !== undefined) {
        lexer.position = at;
        return value;
      }
      value += ` ${word}`;
    } else {
      value += lexer.text.charAt(lexer.position);
      lexer.position += 1;
    }
  }
}

function addSection(
  list: [OctetString, OctetString][],
  sections: Map<OctetString, Section[]>,
  [, base = '', index = '', star = '']: RegExpExecArray,
  value: OctetString,
): void {
  let known = sections.get(base);
  if (known === undefined) {
    known = [];
    sections.set(base, known);
    // Holds the place of the first section; the name gets its final form when all are known.
    list.push([`${base}*0`, '']);
  }
  if (known.length < maxSections) known.push({ index: Number(index), isExtended: star === '*', value });
}

function joinSections(entry: [OctetString, OctetString], sections: Map<OctetString, Section[]>): void {
  if (!entry[0].endsWith('*0')) return;
  const base = entry[0].slice(0, -2);
  const known = sections.get(base);
  if (known === undefined) return;
  known.sort((a, b) => a.index - b.index);
  const isExtended = known.some((section) => section.isExtended);
  const parts: string[] = [];
  let expected = 0;
  for (const section of known) {
    if (section.index < expected) continue;
    // RFC 2231 3 numbers sections without gaps; what follows a gap cannot be placed.
    if (section.index > expected) break;
    expected += 1;
    // A plain section among extended ones is literal text (RFC 2231 4.1), so its percent signs are data.
    parts.push(isExtended && !section.isExtended ? escapePlain(section.value, expected === 1) : section.value);
  }
  if (parts.length === 0) parts.push(...known.map(({ value }) => value));
  entry[0] = isExtended ? `${base}*` : base;
  entry[1] = parts.join('');
}

function escapePlain(value: OctetString, isFirst: boolean): OctetString {
  const escaped = value.replace(/[^A-Za-z0-9!#$&+\-.^_`{|}~]/g, (char) => `%${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
  return isFirst ? `''${escaped}` : escaped;
}

/** Octets and charset of a parameter; `charset` undefined when it has none. */
export interface ParameterValue {
  readonly charset: string | undefined;
  readonly octets: Buffer;
}

/** Finds a parameter by its lower-case name, the extended form first, percent encoding undone. */
export function findParameter(parameters: ParameterList, name: string): ParameterValue | undefined {
  const extended = parameters.find(([key]) => key === `${name}*`);
  if (extended !== undefined) {
    const match = /^([^']*)'[^']*'(.*)$/s.exec(extended[1]);
    const charset = match?.[1] ?? '';
    return { charset: charset === '' ? undefined : charset.toLowerCase(), octets: percentDecode(match?.[2] ?? extended[1]) };
  }
  const plain = parameters.find(([key]) => key === name);
  return plain === undefined ? undefined : { charset: undefined, octets: Buffer.from(plain[1], 'latin1') };
}

/** A parameter's octets as an octet string, for values that are ASCII by nature (boundary, charset, format). */
export function parameterText(parameters: ParameterList, name: string): OctetString | undefined {
  return findParameter(parameters, name)?.octets.toString('latin1');
}

/** Undoes %XX; a percent sign without two hex digits stays. */
export function percentDecode(text: OctetString): Buffer {
  return Buffer.from(
    text.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  );
}
