// The parts of CATENATE (RFC 4469 5, RFC 6855 4).
import type { CommandReader } from '../reader.js';

export type CatenatePart =
  | { readonly kind: 'url'; readonly url: string }
  /** The text ends with the marker of a message literal; behind that of `UTF8 (~{n}` comes a parenthesis. */
  | { readonly kind: 'text'; readonly isUtf8: boolean }
  | { readonly kind: 'end' };

/** True for a literal that is the text of a URL rather than a part of the message. */
export function isUrlLiteral(argumentsBefore: string): boolean {
  return /[( ]URL ~?\{\d+\+?\}$/i.test(argumentsBefore);
}

/** @param isFirst behind the opening parenthesis; @param hasLiteral the text ends with the marker of a message literal */
export function nextCatenatePart(reader: CommandReader, isFirst: boolean, hasLiteral: boolean): CatenatePart {
  if (!isFirst && reader.tryChar(')')) return { kind: 'end' };
  if (!isFirst) reader.space();
  if (reader.tryWord('URL')) {
    reader.space();
    return { kind: 'url', url: reader.astring() };
  }
  const isUtf8 = reader.tryWord('UTF8');
  if (!isUtf8 && !reader.tryWord('TEXT')) reader.fail('Expected URL, TEXT or UTF8');
  reader.space();
  if (isUtf8) reader.char('(');
  if (!hasLiteral || !/^~?\{\d+\+?\}$/.test(reader.text.slice(reader.position))) reader.fail('Expected a literal');
  return { kind: 'text', isUtf8 };
}
