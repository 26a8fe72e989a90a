// The parts of CATENATE (RFC 4469 5).
import type { CommandReader } from '../reader.js';

export type CatenatePart =
  | { readonly kind: 'url'; readonly url: string }
  /** The text ends with the marker of a message literal. */
  | { readonly kind: 'text' }
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
  if (!reader.tryWord('TEXT')) reader.fail('Expected URL or TEXT');
  reader.space();
  if (!hasLiteral || !/^~?\{\d+\+?\}$/.test(reader.text.slice(reader.position))) reader.fail('Expected a literal');
  return { kind: 'text' };
}
