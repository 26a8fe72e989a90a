// SEARCH keys (RFC 9051 6.4.4, RFC 5032 WITHIN, RFC 7162 MODSEQ, RFC 8474 OBJECTID, RFC 8514 SAVEDATE,
// RFC 9738 UIDAFTER and UIDBEFORE, RFC 5182 `$`).
import { parseDay } from './date.js';
import { grammarLimits } from './grammar.js';
import type { CommandReader, SequenceSet } from './reader.js';

export type SystemFlagName = 'seen' | 'answered' | 'flagged' | 'deleted' | 'draft' | 'recent';

/** Search tree as written; texts are octets in the command's charset. */
export type SearchKey =
  | { readonly kind: 'all' | 'save-date-supported' }
  | { readonly kind: 'and' | 'or'; readonly keys: readonly SearchKey[] }
  | { readonly kind: 'not'; readonly key: SearchKey }
  | { readonly kind: 'sequence' | 'uid'; readonly set: SequenceSet }
  | { readonly kind: 'flag'; readonly flag: SystemFlagName }
  | { readonly kind: 'keyword'; readonly keyword: string }
  | { readonly kind: 'header'; readonly field: string; readonly text: Buffer }
  | { readonly kind: 'body' | 'text'; readonly text: Buffer }
  | { readonly kind: 'larger' | 'smaller'; readonly octets: number }
  | {
      readonly kind: 'internal-date' | 'sent-date' | 'save-date';
      /** `on` the day, before it, or on it and later. Days since 1970-01-01. */
      readonly relation: 'on' | 'before' | 'since';
      readonly day: number;
    }
  | { readonly kind: 'younger' | 'older'; readonly seconds: number }
  | { readonly kind: 'modseq'; readonly atLeast: number }
  | { readonly kind: 'email-id' | 'thread-id'; readonly id: string }
  /** RFC 6203: the inner keys may be matched loosely. */
  | { readonly kind: 'fuzzy'; readonly key: SearchKey };

export interface SearchProgram {
  /** Upper case; undefined when the client named none. */
  readonly charset: string | undefined;
  readonly key: SearchKey;
  /** A MODSEQ key occurs: the reply carries the highest one (RFC 7162 3.1.5). */
  readonly usesModSeq: boolean;
}

interface Progress {
  keys: number;
  depth: number;
  usesModSeq: boolean;
}

/** `[CHARSET name SP] key *(SP key)` up to the end of the command. */
export function parseSearchProgram(reader: CommandReader): SearchProgram {
  let charset: string | undefined;
  if (reader.tryWord('CHARSET')) {
    reader.space();
    charset = reader.astringText().toUpperCase();
    reader.space();
  }
  return { charset, ...parseSearchKeys(reader) };
}

/** Keys up to the end of the command, joined by AND. */
export function parseSearchKeys(reader: CommandReader): { readonly key: SearchKey; readonly usesModSeq: boolean } {
  const progress: Progress = { keys: 0, depth: 0, usesModSeq: false };
  const keys = [parseKey(reader, progress)];
  while (reader.trySpace()) keys.push(parseKey(reader, progress));
  reader.end();
  return { key: all(keys), usesModSeq: progress.usesModSeq };
}

function all(keys: readonly SearchKey[]): SearchKey {
  const [only] = keys;
  if (only !== undefined && keys.length === 1) return only;
  return { kind: 'and', keys: keys.flatMap((key) => (key.kind === 'and' ? key.keys : [key])) };
}

const flagKeys: Readonly<Record<string, SystemFlagName>> = {
  ANSWERED: 'answered',
  DELETED: 'deleted',
  DRAFT: 'draft',
  FLAGGED: 'flagged',
  RECENT: 'recent',
  SEEN: 'seen',
};
const headerKeys: Readonly<Record<string, string>> = { BCC: 'bcc', CC: 'cc', FROM: 'from', SUBJECT: 'subject', TO: 'to' };
const dateKeys: Readonly<Record<string, readonly ['internal-date' | 'sent-date' | 'save-date', 'on' | 'before' | 'since']>> = {
  BEFORE: ['internal-date', 'before'],
  ON: ['internal-date', 'on'],
  SINCE: ['internal-date', 'since'],
  SENTBEFORE: ['sent-date', 'before'],
  SENTON: ['sent-date', 'on'],
  SENTSINCE: ['sent-date', 'since'],
  SAVEDBEFORE: ['save-date', 'before'],
  SAVEDON: ['save-date', 'on'],
  SAVEDSINCE: ['save-date', 'since'],
};

function not(key: SearchKey): SearchKey {
  return key.kind === 'not' ? key.key : { kind: 'not', key };
}

function parseKey(reader: CommandReader, progress: Progress): SearchKey {
  progress.keys += 1;
  if (progress.keys > grammarLimits.searchKeys) reader.fail('Too many search keys');
  progress.depth += 1;
  if (progress.depth > grammarLimits.searchDepth) reader.fail('Search keys nested too deeply');
  const key = readKey(reader, progress);
  progress.depth -= 1;
  return key;
}

function readKey(reader: CommandReader, progress: Progress): SearchKey {
  if (reader.isAtList) {
    const keys = reader.list(() => parseKey(reader, progress));
    if (keys.length === 0) reader.fail('Empty search list');
    return all(keys);
  }
  if (reader.isAtSequenceSet) return { kind: 'sequence', set: reader.sequenceSet() };
  const name = reader.word('search key');
  const flag = flagKeys[name];
  if (flag !== undefined) return { kind: 'flag', flag };
  const unflag = name.startsWith('UN') ? flagKeys[name.slice(2)] : undefined;
  if (unflag !== undefined && unflag !== 'recent') return not({ kind: 'flag', flag: unflag });
  const field = headerKeys[name];
  if (field !== undefined) return { kind: 'header', field, text: readText(reader) };
  const date = dateKeys[name];
  if (date !== undefined) return { kind: date[0], relation: date[1], day: readDay(reader) };
  return readOtherKey(reader, name, progress);
}

function readOtherKey(reader: CommandReader, name: string, progress: Progress): SearchKey {
  switch (name) {
    case 'ALL':
      return { kind: 'all' };
    case 'NEW':
      return {
        kind: 'and',
        keys: [
          { kind: 'flag', flag: 'recent' },
          { kind: 'not', key: { kind: 'flag', flag: 'seen' } },
        ],
      };
    case 'OLD':
      return { kind: 'not', key: { kind: 'flag', flag: 'recent' } };
    case 'NOT':
      reader.space();
      return not(parseKey(reader, progress));
    case 'OR': {
      reader.space();
      const left = parseKey(reader, progress);
      reader.space();
      const right = parseKey(reader, progress);
      // Flattened, so that OR a OR b OR c ... does not make a deep tree.
      return { kind: 'or', keys: [left, right].flatMap((key) => (key.kind === 'or' ? key.keys : [key])) };
    }
    case 'FUZZY':
      reader.space();
      return { kind: 'fuzzy', key: parseKey(reader, progress) };
    case 'UID':
      reader.space();
      return { kind: 'uid', set: reader.sequenceSet() };
    case 'UIDAFTER':
    case 'UIDBEFORE': {
      reader.space();
      const uid = reader.nonZeroNumber();
      const range = name === 'UIDAFTER' ? ([uid + 1, 4294967295] as const) : ([1, uid - 1] as const);
      return { kind: 'uid', set: { kind: 'ranges', ranges: range[0] <= range[1] ? [range] : [] } };
    }
    case 'KEYWORD':
    case 'UNKEYWORD': {
      reader.space();
      const key: SearchKey = { kind: 'keyword', keyword: reader.flag() };
      return name === 'KEYWORD' ? key : not(key);
    }
    case 'HEADER': {
      reader.space();
      const field = reader.astringText().toLowerCase();
      return { kind: 'header', field, text: readText(reader) };
    }
    case 'BODY':
      return { kind: 'body', text: readText(reader) };
    case 'TEXT':
      return { kind: 'text', text: readText(reader) };
    case 'LARGER':
      reader.space();
      return { kind: 'larger', octets: reader.number64() };
    case 'SMALLER':
      reader.space();
      return { kind: 'smaller', octets: reader.number64() };
    case 'YOUNGER':
    case 'OLDER':
      reader.space();
      return { kind: name === 'YOUNGER' ? 'younger' : 'older', seconds: reader.nonZeroNumber() };
    case 'MODSEQ':
      progress.usesModSeq = true;
      return readModSeq(reader);
    case 'SAVEDATESUPPORTED':
      return { kind: 'save-date-supported' };
    case 'EMAILID':
    case 'THREADID':
      reader.space();
      return { kind: name === 'EMAILID' ? 'email-id' : 'thread-id', id: reader.astringText() };
    default:
      return reader.fail(`Unknown argument ${name}`);
  }
}

function readText(reader: CommandReader): Buffer {
  reader.space();
  return reader.astringOctets();
}

function readDay(reader: CommandReader): number {
  reader.space();
  const day = parseDay(reader.astring());
  if (day === undefined) reader.fail('Invalid search date parameter');
  return day;
}

/** `MODSEQ [entry-name entry-type] n`: entries are accepted and, as RFC 7162 3.1.5 allows, all flags count together. */
function readModSeq(reader: CommandReader): SearchKey {
  reader.space();
  if (reader.isAtString) {
    reader.string();
    reader.space();
    const type = reader.word();
    if (type !== 'PRIV' && type !== 'SHARED' && type !== 'ALL') reader.fail('Invalid MODSEQ entry type');
    reader.space();
  }
  return { kind: 'modseq', atLeast: reader.modSeq() };
}
