// SEARCH (RFC 9051 6.4.4, RFC 4731 ESEARCH, RFC 5182 SEARCHRES, RFC 5267 CONTEXT, RFC 9394 PARTIAL).
import { type NumberRange, parseNumberSet, star } from '#util/number-set.js';
import { type FetchItem, parseFetchItems } from '../fetch-item.js';
import type { CommandReader } from '../reader.js';
import { parseSearchProgram, type SearchProgram } from '../search-key.js';

/** RFC 9394: positions in a result, counted from its end when `fromEnd`. `text` as written. */
export interface PartialRange {
  readonly range: NumberRange;
  readonly fromEnd: boolean;
  readonly text: string;
}

/** What RETURN asks for. */
export interface SearchReturn {
  readonly min: boolean;
  readonly max: boolean;
  readonly all: boolean;
  readonly count: boolean;
  readonly save: boolean;
  /** RFC 5267. */
  readonly update: boolean;
  /** RFC 5465 7: of messages new in the mailbox and in the result, sent along with updates. */
  readonly updateItems: readonly FetchItem[] | undefined;
  readonly context: boolean;
  readonly partial: PartialRange | undefined;
}

export interface SearchCommand {
  /** Undefined: the old reply (`* SEARCH 1 2 3`). */
  readonly returns: SearchReturn | undefined;
  readonly program: SearchProgram;
}

export function parseSearch(reader: CommandReader): SearchCommand {
  reader.space();
  let returns: SearchReturn | undefined;
  if (reader.tryWord('RETURN')) {
    reader.space();
    returns = parseSearchReturn(reader);
    reader.space();
  }
  return { returns, program: parseSearchProgram(reader) };
}

/** `(MIN MAX ALL COUNT SAVE UPDATE CONTEXT PARTIAL 1:100)`; an empty list means ALL (RFC 4731 3.1). */
export function parseSearchReturn(reader: CommandReader): SearchReturn {
  const found = new Set<string>();
  let partial: SearchReturn['partial'];
  let updateItems: SearchReturn['updateItems'];
  reader.list(() => {
    const name = reader.word('return option');
    switch (name) {
      case 'MIN':
      case 'MAX':
      case 'ALL':
      case 'COUNT':
      case 'SAVE':
      case 'CONTEXT':
        found.add(name);
        return;
      case 'UPDATE':
        found.add(name);
        if (!reader.text.startsWith(' (', reader.position)) return;
        reader.space();
        updateItems = parseFetchItems(reader);
        return;
      case 'PARTIAL':
        if (partial !== undefined) reader.fail('PARTIAL may be given once');
        reader.space();
        partial = parsePartialRange(reader);
        return;
      default:
        reader.fail(`Unknown SEARCH return option ${name}`);
    }
  });
  if (partial !== undefined && found.has('ALL')) reader.fail('PARTIAL and ALL exclude each other');
  return {
    min: found.has('MIN'),
    max: found.has('MAX'),
    all: found.has('ALL') || (found.size === 0 && partial === undefined),
    count: found.has('COUNT'),
    save: found.has('SAVE'),
    update: found.has('UPDATE'),
    updateItems,
    context: found.has('CONTEXT'),
    partial,
  };
}

/** `1:100`, or `-1:-100` from the end. */
export function parsePartialRange(reader: CommandReader): PartialRange {
  const text = reader.astring();
  const match = /^(-?)(\d{1,10}):(-?)(\d{1,10})$/.exec(text);
  const [range] = match === null || match[1] !== match[3] ? [] : (parseNumberSet(`${match[2]}:${match[4]}`, 1) ?? []);
  if (match === null || range === undefined || range[1] === star) return reader.fail('Invalid PARTIAL range');
  return { range, fromEnd: match[1] === '-', text };
}
