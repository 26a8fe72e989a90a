// A search query as a three-valued test by sequence number and stage (see search-run.ts).

import { searchKey } from '#mail/text.js';
import { intersectRanges, normalizeRanges, rangesContain } from '#util/number-set.js';
import { keyOutcome } from './key-blocks.js';
import { emailIdOf, threadIdHeaders, threadIdOf } from './object-id.js';
import type { NumberRange, SearchQuery } from './search.js';
import { type HeaderKeyFound, type MessageFact, type Outcome, type SearchSource, unknown } from './search-source.js';
import { dayOfHeaderDate, headerDate, headerKey, keyContains, TextNeedles } from './search-text.js';
import type { MessageNeeds } from './types.js';

type Test = (seq: number, stage: number) => Outcome;

export interface CompiledQuery {
  /** Of header texts, to be tried once it is known how many messages are left. */
  readonly probes: readonly HeaderProbe[];
  /** Sequence ranges outside of which nothing matches. */
  readonly candidates: readonly NumberRange[];
  readonly test: Test;
  /** Stages 1 and 2, where the query has predicates of them, with what to prepare. */
  readonly stages: readonly (readonly [stage: number, needs: MessageNeeds])[];
  /** Texts looked for in messages (stage 3). */
  readonly text: TextNeedles;
  /** Fields, lower-case, whose text is looked for. */
  readonly fields: readonly string[];
  /** Takes the key of `fields[field]`: the message's tests of it are decided at any stage for the rest of the slice. */
  readonly foundKey: HeaderKeyFound;
  /** Forgets what was found out about the messages of the last slice. */
  beginSlice(): void;
}

/** A text that is looked for in a field of many messages at once. */
export interface HeaderProbe {
  readonly field: string;
  readonly needle: string;
  /** See `headerOutcomes` of the source. */
  outcomes: Uint8Array | undefined;
  /** Nothing more will come: messages are looked at one by one. */
  isDone: boolean;
}

const dayMs = 86_400_000;

const factAt: Readonly<Record<MessageFact, (source: SearchSource, seq: number) => number>> = {
  size: (source, seq) => source.sizeAt(seq),
  internalDate: (source, seq) => source.internalDateAt(seq),
  saveDate: (source, seq) => source.saveDateAt(seq),
};

export function compileQuery(query: SearchQuery, source: SearchSource): CompiledQuery {
  const compiler = new Compiler(source);
  const test = compiler.compile(query);
  return {
    candidates: candidateRanges(query, source),
    test,
    stages: compiler.stages(),
    text: compiler.text,
    probes: compiler.probes,
    fields: [...compiler.keyTests.keys()],
    foundKey: compiler.foundKey(),
    beginSlice: () => compiler.beginSlice(),
  };
}

class Compiler {
  readonly text = new TextNeedles();
  readonly probes: HeaderProbe[] = [];
  readonly #source: SearchSource;
  readonly #nowMs: number;
  readonly #memos: Map<number, Outcome>[] = [];
  readonly #headers = new Set<string>();
  /** By field. */
  readonly keyTests = new Map<string, ((seq: number, key: string | null) => void)[]>();
  #metadata: { size?: true; internalDate?: true; saveDate?: true } = {};

  constructor(source: SearchSource) {
    this.#source = source;
    this.#nowMs = source.nowMs ?? Date.now();
  }

  foundKey(): HeaderKeyFound {
    const tests = [...this.keyTests.values()];
    return (field, seq, key) => {
      for (const take of tests[field] ?? []) take(seq, key);
    };
  }

  beginSlice(): void {
    for (const memo of this.#memos) memo.clear();
  }

  stages(): (readonly [number, MessageNeeds])[] {
    const stages: (readonly [number, MessageNeeds])[] = [];
    if (Object.keys(this.#metadata).length > 0) stages.push([1, this.#metadata]);
    if (this.#headers.size > 0) stages.push([2, { headers: [...this.#headers] }]);
    return stages;
  }

  compile(query: SearchQuery): Test {
    const source = this.#source;
    switch (query.kind) {
      case 'all':
      case 'save-date-supported':
        return () => 1;
      case 'and':
        return all(query.queries.map((part) => this.compile(part)));
      case 'or':
        return some(query.queries.map((part) => this.compile(part)));
      case 'not': {
        const inner = this.compile(query.query);
        return (seq, stage) => negate(inner(seq, stage));
      }
      case 'sequence': {
        const ranges = normalizeRanges(query.ranges);
        return (seq) => (rangesContain(ranges, seq) ? 1 : 0);
      }
      case 'uid': {
        const ranges = normalizeRanges(query.ranges);
        return (seq) => (rangesContain(ranges, source.uidAt(seq)) ? 1 : 0);
      }
      case 'flags': {
        const { system } = query;
        return (seq) => ((source.systemFlagsAt(seq) & system) === system ? 1 : 0);
      }
      case 'keyword':
        return keywordTest(source, query.keyword);
      case 'modseq':
        return (seq) => (source.modSeqAt(seq) >= query.atLeast ? 1 : 0);
      case 'email-id':
        return (seq) => (emailIdOf(source.guidAt(seq)) === query.id ? 1 : 0);
      case 'thread-id': {
        for (const name of threadIdHeaders) this.#headers.add(name);
        return this.#from(2, (seq) => threadIdOf(source.headerFieldsAt(seq, threadIdHeaders), source.guidAt(seq)) === query.id);
      }
      default:
        return this.#compileContents(query);
    }
  }

  #compileContents(query: ContentQuery): Test {
    const source = this.#source;
    switch (query.kind) {
      case 'larger':
        return this.#fact('size', (size) => size > query.octets);
      case 'smaller':
        return this.#fact('size', (size) => size < query.octets);
      case 'internal-date':
        return this.#fact('internalDate', localDayTest(query));
      case 'save-date':
        return this.#fact('saveDate', localDayTest(query));
      case 'internal-time':
        return this.#fact('internalDate', (ms) => isTimeWithin(ms, query));
      case 'save-time':
        return this.#fact('saveDate', (ms) => isTimeWithin(ms, query));
      case 'sent-time':
        this.#headers.add('date');
        return this.#from(2, (seq) => isTimeWithin(headerDate(source.headerFieldsAt(seq, ['date']))?.ms, query));
      case 'younger':
        return this.#fact('internalDate', (ms) => ms >= this.#nowMs - query.seconds * 1000);
      case 'older':
        return this.#fact('internalDate', (ms) => ms < this.#nowMs - query.seconds * 1000);
      case 'sent-date':
        this.#headers.add('date');
        return this.#from(2, (seq) => isDayWithin(dayOfHeaderDate(source.headerFieldsAt(seq, ['date'])), query));
      case 'header':
        return this.#compileHeader(query.field.toLowerCase(), query.text);
      case 'body':
      case 'text': {
        if (query.text === '') return () => 1;
        const needle = this.text.add(query.text, query.kind === 'text');
        return (_seq, stage) => (stage < 3 ? unknown : this.text.outcomeOf(needle));
      }
    }
  }

  #compileHeader(field: string, text: string): Test {
    const source = this.#source;
    this.#headers.add(field);
    const needle = searchKey(text);
    const contains = keyContains(needle);
    const probe: HeaderProbe = { field, needle, outcomes: undefined, isDone: source.headerOutcomes === undefined };
    this.probes.push(probe);
    const keys = source.headerKeys?.(field);
    const names = [field];
    const memo = new Map<number, Outcome>();
    const read = this.#from(
      2,
      (seq) => {
        const key = headerKey(source.headerFieldsAt(seq, names));
        keys?.set(source.uidAt(seq), key);
        return contains(key);
      },
      memo,
    );
    const take = (seq: number, key: string | null): void => {
      // What is kept is looked at when the message is tested again.
      if (keys?.set(source.uidAt(seq), key) !== true) memo.set(seq, contains(key) ? 1 : 0);
    };
    this.keyTests.set(field, [...(this.keyTests.get(field) ?? []), take]);
    if (keys === undefined) return read;
    return (seq, stage) => {
      const outcome = probe.outcomes?.[seq - 1] ?? keyOutcome.unknown;
      if (outcome !== keyOutcome.unknown) return outcome === keyOutcome.yes ? 1 : 0;
      // The probe may tell it of many messages at once.
      if (!probe.isDone && stage === 0) return unknown;
      const key = keys.get(source.uidAt(seq));
      if (key === undefined) return read(seq, stage);
      return contains(key) ? 1 : 0;
    };
  }

  /** Of what the index knows at once, once it has been found out. */
  #fact(fact: MessageFact, holds: (value: number) => boolean): Test {
    const source = this.#source;
    this.#metadata[fact] = true;
    const read = this.#from(1, (seq) => holds(factAt[fact](source, seq)));
    if (source.knownFact === undefined) return read;
    return (seq, stage) => {
      const value = source.knownFact?.(seq, fact);
      if (value === undefined) return read(seq, stage);
      return holds(value) ? 1 : 0;
    };
  }

  /** Unknown before its stage; then found out once per slice, as what was prepared may be gone at the next stage. */
  #from(firstStage: number, holds: (seq: number) => boolean, memo = new Map<number, Outcome>()): Test {
    this.#memos.push(memo);
    return (seq, stage) => {
      let outcome = memo.get(seq);
      if (outcome === undefined && stage < firstStage) return unknown;
      if (outcome === undefined) {
        outcome = holds(seq) ? 1 : 0;
        memo.set(seq, outcome);
      }
      return outcome;
    };
  }
}

type ContentQuery = Extract<
  SearchQuery,
  {
    kind:
      | 'larger'
      | 'smaller'
      | 'internal-date'
      | 'save-date'
      | 'sent-date'
      | 'internal-time'
      | 'save-time'
      | 'sent-time'
      | 'younger'
      | 'older'
      | 'header'
      | 'body'
      | 'text';
  }
>;

function all(tests: readonly Test[]): Test {
  return (seq, stage) => {
    let outcome: Outcome = 1;
    for (const test of tests) {
      const part = test(seq, stage);
      if (part === 0) return 0;
      if (part === unknown) outcome = unknown;
    }
    return outcome;
  };
}

function some(tests: readonly Test[]): Test {
  return (seq, stage) => {
    let outcome: Outcome = 0;
    for (const test of tests) {
      const part = test(seq, stage);
      if (part === 1) return 1;
      if (part === unknown) outcome = unknown;
    }
    return outcome;
  };
}

function negate(outcome: Outcome): Outcome {
  if (outcome === unknown) return unknown;
  return outcome === 1 ? 0 : 1;
}

/** Equal sets are one object, so each set is looked into once. */
function keywordTest(source: SearchSource, keyword: string): Test {
  const folded = keyword.toLowerCase();
  const outcomes = new Map<readonly string[], Outcome>();
  return (seq) => {
    const set = source.keywordsAt(seq);
    let outcome = outcomes.get(set);
    if (outcome === undefined) {
      outcome = set.some((name) => name.toLowerCase() === folded) ? 1 : 0;
      outcomes.set(set, outcome);
    }
    return outcome;
  };
}

function isDayWithin(
  day: number | undefined,
  bounds: { readonly fromDay: number | undefined; readonly beforeDay: number | undefined },
): boolean {
  if (day === undefined) return false;
  return (bounds.fromDay === undefined || day >= bounds.fromDay) && (bounds.beforeDay === undefined || day < bounds.beforeDay);
}

function isTimeWithin(
  ms: number | undefined,
  bounds: { readonly fromMs: number | undefined; readonly beforeMs: number | undefined },
): boolean {
  if (ms === undefined) return false;
  return (bounds.fromMs === undefined || ms >= bounds.fromMs) && (bounds.beforeMs === undefined || ms < bounds.beforeMs);
}

/** A look at the calendar for each message would take longer than all the rest: it is needed only within a day of the bounds. */
function localDayTest(bounds: { readonly fromDay: number | undefined; readonly beforeDay: number | undefined }): (ms: number) => boolean {
  const fromMs = bounds.fromDay === undefined ? Number.NEGATIVE_INFINITY : bounds.fromDay * dayMs;
  const beforeMs = bounds.beforeDay === undefined ? Number.POSITIVE_INFINITY : bounds.beforeDay * dayMs;
  return (ms) => {
    if (ms < fromMs - dayMs || ms >= beforeMs + dayMs) return false;
    if (ms >= fromMs + dayMs && ms < beforeMs - dayMs) return true;
    return isDayWithin(localDayOf(ms), bounds);
  };
}

/** The day in the server's time zone, in which INTERNALDATE is shown. */
function localDayOf(ms: number): number {
  return Math.floor((ms - new Date(ms).getTimezoneOffset() * 60_000) / dayMs);
}

/** Narrows by the sequence and UID sets that the whole query depends on. */
export function candidateRanges(query: SearchQuery, source: SearchSource): readonly NumberRange[] {
  const everything: readonly NumberRange[] = source.count === 0 ? [] : [[1, source.count]];
  switch (query.kind) {
    case 'sequence':
      return intersectRanges(normalizeRanges(query.ranges), everything);
    case 'uid': {
      const sequences = normalizeRanges(query.ranges).map(
        ([first, last]): NumberRange => [source.lowerBound(first), source.lowerBound(last + 1) - 1],
      );
      return sequences.filter(([first, last]) => first <= last);
    }
    case 'and':
      return query.queries.reduce((ranges, part) => intersectRanges(ranges, candidateRanges(part, source)), everything);
    default:
      return everything;
  }
}
