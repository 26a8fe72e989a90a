// The MIME fields of one part (RFC 2045, 2183, 3282, 2557, 1864) as attributes of MimePart.
import type { Buffer } from 'node:buffer';
import { FieldSet, fieldText, type RawField, splitHeader } from './header.js';
import { HeaderLexer } from './lexer.js';
import type { MimePart, OctetString, ParameterList } from './mime-part.js';
import { parseParameters } from './parameters.js';

/** Longer Content fields are cut: no real field comes near, and each is kept in memory with its part. */
const maxFieldBytes = 64 * 1024;
const maxLanguages = 100;

export type ContentAttributes = Pick<
  MimePart,
  'type' | 'subtype' | 'parameters' | 'contentId' | 'description' | 'encoding' | 'md5' | 'disposition' | 'language' | 'location'
> & {
  /** False: there was no usable Content-Type, `type` is the default. */
  readonly hasType: boolean;
};

export const contentNames = [
  'content-type',
  'content-transfer-encoding',
  'content-id',
  'content-description',
  'content-disposition',
  'content-md5',
  'content-language',
  'content-location',
] as const;
const contentFields = new FieldSet(contentNames);

/** Reads the attributes of a header block. The first of repeated fields counts. */
export function parseContentFields(block: Buffer): ContentAttributes {
  const found = new Map<string, OctetString>();
  for (const field of splitHeader(block, contentFields)) addFirst(found, block, field);
  const type = parseContentType(found.get('content-type'));
  return {
    type: type?.type ?? 'text',
    subtype: type?.subtype ?? 'plain',
    parameters: type?.parameters ?? [],
    hasType: type !== undefined,
    contentId: nonEmpty(found.get('content-id')),
    description: nonEmpty(found.get('content-description')),
    encoding: parseEncoding(found.get('content-transfer-encoding')),
    md5: nonEmpty(found.get('content-md5')),
    disposition: parseDisposition(found.get('content-disposition')),
    language: parseLanguages(found.get('content-language')),
    location: nonEmpty(found.get('content-location')),
  };
}

function addFirst(found: Map<string, OctetString>, block: Buffer, field: RawField): void {
  if (!found.has(field.name)) found.set(field.name, fieldText(block, field, maxFieldBytes));
}

function nonEmpty(text: OctetString | undefined): OctetString | undefined {
  return text === '' ? undefined : text;
}

/** `type/subtype` and parameters, lower-case; undefined when there is no type (RFC 2045 5.2: the default applies). */
export function parseContentType(
  text: OctetString | undefined,
): { readonly type: OctetString; readonly subtype: OctetString; readonly parameters: ParameterList } | undefined {
  if (text === undefined) return undefined;
  const lexer = new HeaderLexer(text);
  lexer.skipCfws();
  const type = lexer.token().toLowerCase();
  lexer.skipCfws();
  if (type === '' || !lexer.accept(0x2f)) return undefined;
  lexer.skipCfws();
  const subtype = lexer.token().toLowerCase();
  if (subtype === '') return undefined;
  return { type, subtype, parameters: parseParameters(lexer) };
}

function parseEncoding(text: OctetString | undefined): OctetString {
  if (text === undefined) return '7bit';
  const lexer = new HeaderLexer(text);
  lexer.skipCfws();
  const token = lexer.peek() === 0x22 ? lexer.quotedString() : lexer.token();
  return token === '' ? '7bit' : token.toLowerCase();
}

function parseDisposition(text: OctetString | undefined): MimePart['disposition'] {
  if (text === undefined) return undefined;
  const lexer = new HeaderLexer(text);
  lexer.skipCfws();
  const kind = (lexer.peek() === 0x22 ? lexer.quotedString() : lexer.token()).toLowerCase();
  const parameters = parseParameters(lexer);
  // RFC 2183 2.8 treats an unknown kind as attachment; a lost one must not hide the file name.
  if (kind === '') return parameters.length === 0 ? undefined : { kind: 'attachment', parameters };
  return { kind, parameters };
}

function parseLanguages(text: OctetString | undefined): readonly OctetString[] {
  if (text === undefined) return [];
  const lexer = new HeaderLexer(text);
  const list: OctetString[] = [];
  while (!lexer.isAtEnd && list.length < maxLanguages) {
    lexer.skipCfws();
    const tag = lexer.token();
    if (tag !== '') list.push(tag);
    else if (!lexer.isAtEnd) lexer.position += 1;
  }
  return list;
}
