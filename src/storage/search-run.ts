// Runs a search query over a view, cheapest predicates first.
//
// Each stage knows more about the messages than the one before it; a query is evaluated in three-valued logic, so that a message leaves as
// soon as what is known decides. Stages: 0 flags, keywords, UIDs, modseqs (columns in memory); 1 sizes and dates; 2 headers, prepared in slices;
// 3 text, read message by message. Between slices the event loop runs.
import { Slicer } from '#util/deadline.js';
import { StorageError } from './errors.js';
import type { SearchQuery } from './search.js';
import { type CompiledQuery, candidateRanges, compileQuery } from './search-compile.js';
import { isOfFlags } from './search-flags.js';
import { type SearchSource, unknown } from './search-source.js';
import { scanMessage } from './search-text.js';
import type { MessageNeeds } from './types.js';

/** The event loop is not kept longer than this. */
const sliceMs = 4;
/** Messages whose columns are tested between two looks at the clock. */
const columnSlice = 2048;
/** Messages prepared at once: bounds the header octets held at a time. */
const prepareSlice = 500;

/**
 * Ascending sequence numbers of the messages that match.
 *
 * Messages that are or become expunged do not match. The numbering of `source` must not change meanwhile.
 * @throws the signal's reason when aborted; StorageError when a message can not be read
 */
export async function evaluateSearch(query: SearchQuery, source: SearchSource, signal: AbortSignal): Promise<number[]> {
  signal.throwIfAborted();
  const { rest, found } = findByFlags(query, source);
  if (rest === undefined) return found;
  const compiled = compileQuery(rest, source);
  const pacer = new Pacer(signal);
  // Nothing else could rule out messages.
  if (isOfHeaders(query) && source.count >= probedMessages) await tryProbes(compiled, source, true, signal);
  const matched: number[] = [];
  let open =
    found === undefined
      ? await testColumns(compiled, source, matched, pacer)
      : await testAgain(compiled, source, { open: found, matched }, pacer);
  if (open.length > 0 && compiled.probes.some(({ isDone }) => !isDone)) {
    const isWorthIt = open.length >= probedMessages && open.length >= source.count * probedPart;
    await tryProbes(compiled, isWorthIt ? source : {}, open.length >= source.count * readPart, signal);
    open = await testAgain(compiled, source, { open, matched }, pacer);
  }
  if (open.length === 0) return matched;
  const later = await testContents(compiled, source, open, pacer, signal);
  return matched.length === 0 ? later : mergeAscending(matched, later);
}

/**
 * What flags, keywords, sequence numbers and UIDs decide at the top of the query, found in one go.
 * @returns the rest of the query, undefined when nothing is left, with those that may match it; without these, when they have to be looked for one by one
 */
function findByFlags(
  query: SearchQuery,
  source: SearchSource,
): { readonly rest: undefined; readonly found: number[] } | { readonly rest: SearchQuery; readonly found: number[] | undefined } {
  const parts = partsOf(query);
  const ofFlags = parts.filter(isOfFlags);
  const rest = parts.filter((part) => part.kind !== 'sequence' && part.kind !== 'uid' && !isOfFlags(part));
  if (rest.length > 0 && ofFlags.length === 0) return { rest: query, found: undefined };
  const found = source.flagMatches?.({ kind: 'and', queries: ofFlags }, candidateRanges(query, source));
  if (found === undefined) return { rest: query, found };
  return rest.length === 0 ? { rest: undefined, found } : { rest: { kind: 'and', queries: rest }, found };
}

function partsOf(query: SearchQuery): readonly SearchQuery[] {
  return query.kind === 'and' ? query.queries.flatMap(partsOf) : [query];
}

/** @param matched receives those that match. @returns those still undecided */
async function testColumns(compiled: CompiledQuery, source: SearchSource, matched: number[], pacer: Pacer): Promise<number[]> {
  const tested = { matched, open: [] };
  let untilPause = columnSlice;
  for (const [first, last] of compiled.candidates) {
    for (let next = first; next <= last; ) {
      if (untilPause === 0) {
        untilPause = columnSlice;
        await pacer.breathe();
      }
      const end = Math.min(last, next + untilPause - 1);
      testRange(compiled, source, next, end, tested);
      untilPause -= end - next + 1;
      next = end + 1;
    }
  }
  return tested.open;
}

/** Without anything in the loop that small mailboxes never come to: V8 would throw away what it has compiled when the first large one does. */
function testRange(
  { test }: CompiledQuery,
  source: SearchSource,
  first: number,
  last: number,
  { matched, open }: { readonly matched: number[]; readonly open: number[] },
): void {
  for (let seq = first; seq <= last; seq += 1) {
    const outcome = test(seq, 0);
    if (outcome === 0 || source.isExpunged(seq)) continue;
    if (outcome === unknown) open.push(seq);
    else matched.push(seq);
  }
}

/** Where so many messages are left, and so great a part of all, header texts are looked for in all of them at once. */
const probedMessages = 64;
const probedPart = 1 / 4;
/** Where so great a part is left, those that the cache does not know are read for it, the others among them. */
const readPart = 3 / 4;

function isOfHeaders(query: SearchQuery): boolean {
  switch (query.kind) {
    case 'header':
      return true;
    case 'not':
      return isOfHeaders(query.query);
    case 'and':
    case 'or':
      return query.queries.length > 0 && query.queries.every(isOfHeaders);
    default:
      return false;
  }
}

/**
 * @param source without `headerOutcomes`: it is not worth it
 * @param mayRead messages for it
 */
async function tryProbes(
  { probes }: CompiledQuery,
  source: Pick<SearchSource, 'headerOutcomes'>,
  mayRead: boolean,
  signal: AbortSignal,
): Promise<void> {
  for (const probe of probes) {
    const { field, needle } = probe;
    probe.outcomes = await source.headerOutcomes?.({ field, needle, mayRead }, signal);
    probe.isDone = true;
  }
}

/** @param tested `matched` receives those that match, and stays ascending. @returns those still undecided */
async function testAgain(
  compiled: CompiledQuery,
  source: SearchSource,
  { open, matched }: { readonly open: readonly number[]; readonly matched: number[] },
  pacer: Pacer,
): Promise<number[]> {
  const tested = { matched, open: [] };
  const before = matched.length;
  for (let at = 0; at < open.length; at += columnSlice) {
    if (at > 0) await pacer.breathe();
    testListed(compiled, source, open.slice(at, at + columnSlice), tested);
  }
  if (before > 0) matched.sort((a, b) => a - b);
  return tested.open;
}

function testListed(
  { test }: CompiledQuery,
  source: SearchSource,
  seqs: readonly number[],
  { matched, open }: { readonly matched: number[]; readonly open: number[] },
): void {
  for (const seq of seqs) {
    const outcome = test(seq, 0);
    if (outcome === 0 || source.isExpunged(seq)) continue;
    (outcome === unknown ? open : matched).push(seq);
  }
}

/** Stages 1 to 3: slice by slice, so that what a slice loaded is used before it is given up. */
async function testContents(
  compiled: CompiledQuery,
  source: SearchSource,
  open: readonly number[],
  pacer: Pacer,
  signal: AbortSignal,
): Promise<number[]> {
  const matched: number[] = [];
  for (let at = 0; at < open.length; at += prepareSlice) {
    let undecided = open.slice(at, at + prepareSlice);
    compiled.beginSlice();
    if (compiled.fields.length > 0 && source.findHeaderKeys !== undefined) {
      await source.findHeaderKeys(compiled.fields, undecided, compiled.foundKey);
      undecided = stillUndecided(compiled, undecided, matched);
      await pacer.breathe();
    }
    for (const [stage, needs] of compiled.stages) {
      if (undecided.length === 0) break;
      undecided = await testPrepared(compiled, source, { stage, needs, seqs: undecided, matched }, signal);
      await pacer.breathe();
    }
    for (const seq of undecided) {
      if (isDecidedQuickly(compiled, source, seq)) {
        if (compiled.test(seq, 3) === 1) matched.push(seq);
        await pacer.breathe();
      } else if (await testText(compiled, source, seq, pacer, signal)) matched.push(seq);
    }
  }
  return matched.sort((a, b) => a - b);
}

/** @param matched receives those that match */
function stillUndecided({ test }: CompiledQuery, seqs: readonly number[], matched: number[]): number[] {
  return seqs.filter((seq) => {
    const outcome = test(seq, 0);
    if (outcome === 1) matched.push(seq);
    return outcome === unknown;
  });
}

interface PreparedSlice {
  readonly stage: number;
  readonly needs: MessageNeeds;
  readonly seqs: readonly number[];
  /** Receives those that match. */
  readonly matched: number[];
}

/** @returns those still undecided */
async function testPrepared(
  compiled: CompiledQuery,
  source: SearchSource,
  { stage, needs, seqs, matched }: PreparedSlice,
  signal: AbortSignal,
): Promise<number[]> {
  const gone = new Set(await source.prepare(seqs, needs, signal));
  const undecided: number[] = [];
  // Without a pause: what was prepared is there until somebody prepares something else.
  for (const seq of seqs) {
    if (gone.has(seq)) continue;
    const outcome = compiled.test(seq, stage);
    if (outcome === unknown) undecided.push(seq);
    else if (outcome === 1) matched.push(seq);
  }
  return undecided;
}

/** What a look at the octets can rule out. An expunge that came meanwhile is seen when the message is opened, or by the next command. */
function isDecidedQuickly(compiled: CompiledQuery, source: SearchSource, seq: number): boolean {
  const message = source.peekMessage?.(seq);
  if (message === undefined || !compiled.text.areRuledOut(message)) return false;
  compiled.text.begin();
  compiled.text.finish();
  return true;
}

async function testText(compiled: CompiledQuery, source: SearchSource, seq: number, pacer: Pacer, signal: AbortSignal): Promise<boolean> {
  try {
    const reader = await source.openMessage(seq, signal);
    try {
      compiled.text.begin();
      const isDecided = (): boolean => compiled.test(seq, 3) !== unknown;
      await scanMessage(reader, compiled.text, isDecided, async () => pacer.breathe());
      compiled.text.finish();
      return compiled.test(seq, 3) === 1;
    } finally {
      await reader.close();
    }
  } catch (error) {
    if (error instanceof StorageError && error.code === 'expunged') return false;
    throw error;
  }
}

function mergeAscending(left: readonly number[], right: readonly number[]): number[] {
  return [...left, ...right].sort((a, b) => a - b);
}

/** Lets the event loop run when a slice of time is used up, and ends the search when it is aborted. */
class Pacer {
  readonly #signal: AbortSignal;
  readonly #slicer = new Slicer(sliceMs);

  constructor(signal: AbortSignal) {
    signal.throwIfAborted();
    this.#signal = signal;
  }

  /** Nothing to wait for in most cases: then it costs one look at the clock. */
  breathe(): Promise<void> | undefined {
    return this.#slicer.isDue ? this.#pause() : undefined;
  }

  async #pause(): Promise<void> {
    await this.#slicer.pause();
    this.#signal.throwIfAborted();
  }
}
