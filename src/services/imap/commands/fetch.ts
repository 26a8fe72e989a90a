// FETCH (RFC 9051 6.4.5, RFC 7162 3.1.4, 3.2.6).
import { type FetchCommand, parseFetch } from '#protocol/imap/commands/fetch.js';
import type { FetchItem } from '#protocol/imap/fetch-item.js';
import { StorageError } from '#storage/errors.js';
import type { MessageReader } from '#storage/mailbox.js';
import { flagBit } from '#storage/types.js';
import { formatRanges, type NumberRange, numbersOf, resolveNumberSet } from '#util/number-set.js';
import { OctetBlocks } from '#util/octet-blocks.js';
import { type CommandCall, row } from '../command-spec.js';
import { type LocatedContent, locateContent, writeContent, writeWhole } from '../fetch-content.js';
import { listingItems, writeListing } from '../fetch-listing.js';
import { type FetchPlan, type PutItem, planFetch, simpleText } from '../fetch-plan.js';
import { limitSeqs, refusePage, withLimit } from '../message-limit.js';
import { bad, no, type Outcome, ok } from '../outcome.js';
import { myRights } from '../rights.js';
import { partialOf } from '../search-reply.js';
import { countOf, type Session } from '../session.js';
import { summaryItems, writeSummaries } from '../summary-rows.js';
import { TimeSlice } from '../time-slice.js';

/** Messages prepared at once: small for the first reply to leave early, bounded by the contract's 1,000. */
const sliceSize = 200;

/** Fewer are not worth the room that writing rows from columns takes. */
const manyMessages = 64;

interface Progress {
  /** Some messages are gone and have no reply. */
  skipped: number;
  /** Messages that could not be read. */
  failed: number;
}

async function run(session: Session, command: FetchCommand, call: CommandCall): Promise<Outcome> {
  const ranges = session.resolve(command.set, call.isUid);
  if (ranges === undefined) return bad('Error in IMAP command FETCH: Invalid messageset');
  const refusal = command.partial === undefined ? undefined : refusePage(session, command.partial.range);
  if (refusal !== undefined) return refusal;
  const usesModSeq = command.changedSince !== undefined || command.items.some((item) => item.kind === 'simple' && item.name === 'MODSEQ');
  if (command.vanished) {
    if (!session.has('QRESYNC')) return bad('Error in IMAP command FETCH: QRESYNC not enabled');
    await writeVanished(session, command, call);
  }
  if (usesModSeq) session.useModSeqs();
  const plan = planFetch(session, command.items, call.isUid, command.changedSince !== undefined);
  const listing = listingItems(plan);
  if (usesModSeq || listing === undefined) await session.view.complete?.(call.signal);
  const progress: Progress = { skipped: 0, failed: 0 };
  // RFC 9394 3.4: the part is taken first, whatever changed of it is reported.
  const part = command.partial === undefined ? numbersOf(ranges) : partialOf([...numbersOf(ranges)], command.partial);
  const limited = limitSeqs(session, session.view, changedOf(session, part, command.changedSince));
  const seqs = limited.part;
  const isWhole = command.partial === undefined && command.changedSince === undefined && limited.code === undefined;
  if (listing !== undefined) await writeListing(session, isWhole ? { runs: ranges } : { seqs }, listing, call.signal);
  else {
    const summary = isWhole && countOf(ranges) >= manyMessages && !session.has('UIDONLY') ? summaryItems(plan) : undefined;
    const writeSome = (some: Iterable<number>): Promise<void> => writeSlices(session, some, plan, progress, call);
    if (summary === undefined) await writeSome(seqs);
    else await writeSummaries(session, ranges, summary, (run) => writeSome(numbersOf([run])), call.signal);
  }
  const onFailure = session.settings.imap_fetch_failure;
  if (progress.failed > 0 && onFailure !== 'no-after') session.endReason = 'FETCH failed. Refer to server log for more information.';
  if (progress.failed > 0) return no('Some messages could not be read. Refer to server log for more information.', 'SERVERBUG');
  // RFC 2180 4.1.3: the rest was sent; the client learns of the expunge by the next command.
  const outcome = progress.skipped > 0 ? ok('Some messages were already expunged.', 'EXPUNGEISSUED') : ok('Fetch completed.');
  return withLimit(session, outcome, limited);
}

function changedOf({ view }: Session, seqs: Iterable<number>, changedSince: number | undefined): Iterable<number> {
  return changedSince === undefined ? seqs : filtered(seqs, (seq) => view.modSeqAt(seq) > changedSince);
}

function* filtered(seqs: Iterable<number>, holds: (seq: number) => boolean): Generator<number> {
  for (const seq of seqs) if (holds(seq)) yield seq;
}

async function writeVanished(session: Session, command: FetchCommand, call: CommandCall): Promise<void> {
  const known = command.set.kind === 'ranges' ? resolveAllUids(session, command) : [];
  const vanished = await session.view.vanishedSince(command.changedSince ?? 0, known, call.signal);
  for (let at = 0; at < vanished.length; at += 500) session.text(`* VANISHED (EARLIER) ${formatRanges(vanished.slice(at, at + 500))}\r\n`);
}

/** UIDs of the set, those of expunged messages included: they are what the client asks about. */
function resolveAllUids(session: Session, command: FetchCommand): readonly NumberRange[] {
  if (command.set.kind !== 'ranges') return [];
  const largest = Math.max(session.view.mailbox.uidNext - 1, 1);
  return resolveNumberSet(command.set.ranges, largest);
}

async function writeSlices(
  session: Session,
  seqs: Iterable<number>,
  plan: FetchPlan,
  progress: Progress,
  call: CommandCall,
): Promise<void> {
  let batch: number[] = [];
  const slice = new TimeSlice();
  // Bodies are opened one by one, so a small batch loses nothing and marks few messages as seen too early.
  const size = plan.isPlain ? sliceSize : 32;
  const rows = new OctetBlocks();
  const write = async (): Promise<void> => {
    if (plan.isPlain) await writePlainBatch(session, batch, { plan, progress, rows, slice }, call.signal);
    else await writeBatch(session, batch, plan, progress, call, slice);
  };
  try {
    for (const seq of seqs) {
      batch.push(seq);
      if (batch.length < size) continue;
      if (progress.failed > 0 && session.settings.imap_fetch_failure === 'disconnect-immediately') return;
      await write();
      batch = [];
    }
    if (batch.length > 0) await write();
  } finally {
    for (const part of rows.take()) session.output.octets(part);
  }
}

/** Rows wait until this much is there: few large writes. */
const maxWaitingBytes = 65_536;

interface PlainBatch {
  readonly plan: FetchPlan;
  readonly progress: Progress;
  /** Whole replies that have not been given to the output yet. */
  readonly rows: OctetBlocks;
  readonly slice: TimeSlice;
}

/** Replies of which nothing has to be read from a message: written as octets, without a string for each. */
async function writePlainBatch(
  session: Session,
  seqs: readonly number[],
  { plan, progress, rows, slice }: PlainBatch,
  signal: AbortSignal,
): Promise<void> {
  const { view, output } = session;
  // Marking first: store ends what prepare has made ready.
  const newlySeen = plan.setsSeen ? await markSeen(session, seqs, signal) : undefined;
  const gone = new Set(plan.hasNeeds ? await view.prepare(seqs, plan.needs, signal) : []);
  for (const seq of seqs) {
    if (gone.has(seq)) {
      progress.skipped += 1;
      continue;
    }
    putRow(session, seq, plan, rows, newlySeen?.has(seq) ?? false);
    if (rows.waitingBytes >= maxWaitingBytes) {
      for (const part of rows.take()) output.octets(part);
      await output.drain();
    }
    if (slice.isOver) await slice.giveWay();
    signal.throwIfAborted();
  }
}

function putRow(session: Session, seq: number, plan: FetchPlan, rows: OctetBlocks, isNewlySeen: boolean): void {
  const { puts } = plan;
  rows.begin();
  rows.text(session.fetchHead(session.view, seq));
  for (let index = 0; index < puts.length; index += 1) {
    if (index > 0) rows.octet(0x20);
    (puts[index] as PutItem)(rows, seq);
  }
  if (isNewlySeen) rows.text(seenText(session, seq, plan));
  rows.text(')\r\n');
}

/** FETCH replies outside of FETCH: what NOTIFY sends of new messages. Those that are gone are left out. @throws StorageError */
export async function writeFetches(
  session: Session,
  seqs: readonly number[],
  items: readonly FetchItem[],
  signal: AbortSignal,
): Promise<void> {
  const plan = planFetch(session, items, true, false);
  await writeSlices(session, seqs, plan, { skipped: 0, failed: 0 }, { tag: '*', isUid: true, signal });
}

async function writeBatch(
  session: Session,
  seqs: readonly number[],
  plan: FetchPlan,
  progress: Progress,
  { signal }: CommandCall,
  slice: TimeSlice,
): Promise<void> {
  const { view, output } = session;
  // Marking first: store ends what prepare has made ready.
  const newlySeen = plan.setsSeen ? await markSeen(session, seqs, signal) : undefined;
  const gone = new Set(plan.hasNeeds ? await view.prepare(seqs, plan.needs, signal) : []);
  for (const seq of seqs) {
    if (progress.failed > 0 && session.settings.imap_fetch_failure === 'disconnect-immediately') return;
    if (gone.has(seq)) {
      progress.skipped += 1;
      continue;
    }
    const isNewlySeen = newlySeen?.has(seq) ?? false;
    if (!writeQuickly(session, seq, plan, isNewlySeen)) await writeMessage(session, seq, plan, progress, isNewlySeen, signal);
    if (output.isFull) await output.drain();
    if (slice.isOver) await slice.giveWay();
    signal.throwIfAborted();
  }
}

/** What a reply must tell besides what was asked for when reading has set \Seen. */
function seenText(session: Session, seq: number, { includes }: FetchPlan): string {
  const flags = includes.has('FLAGS') ? '' : ` ${simpleText(session, 'FLAGS')(seq)}`;
  if (!session.has('CONDSTORE')) return flags;
  // RFC 7162 3.2.4: both, also when FETCH names neither.
  const uid = includes.has('UID') || session.has('UIDONLY') ? '' : ` ${simpleText(session, 'UID')(seq)}`;
  return includes.has('MODSEQ') ? `${flags}${uid}` : `${flags}${uid} ${simpleText(session, 'MODSEQ')(seq)}`;
}

/** Sets \Seen on messages whose text is about to be read (RFC 9051 6.4.5). @returns those that did not have it */
async function markSeen(session: Session, seqs: readonly number[], signal: AbortSignal): Promise<ReadonlySet<number>> {
  const { view } = session;
  if (!(await myRights(session, view.mailbox.name, signal)).includes('s')) return new Set();
  const unseen = seqs.filter((seq) => (view.systemFlagsAt(seq) & flagBit.seen) === 0 && !view.isExpunged(seq));
  if (unseen.length === 0) return new Set();
  await view.store(
    unseen,
    { mode: 'add', flags: { system: flagBit.seen, keywords: [] }, unchangedSince: undefined },
    { silent: true },
    signal,
  );
  return new Set(unseen);
}

/** A small message that is where it should be, without waiting. @returns false, and nothing is written, for any other */
function writeQuickly(session: Session, seq: number, plan: FetchPlan, isNewlySeen: boolean): boolean {
  const { output, view } = session;
  const message = plan.readsWhole ? view.peekMessage?.(seq) : undefined;
  if (message === undefined) return false;
  output.text(session.fetchHead(view, seq));
  let separator = '';
  for (const step of plan.steps) {
    if (separator !== '') output.text(separator);
    separator = ' ';
    if ('text' in step) output.text(step.text(seq));
    else if (step.content.kind === 'section') writeWhole(session, step.content, message);
  }
  if (isNewlySeen) output.text(seenText(session, seq, plan));
  output.text(')\r\n');
  return true;
}

async function writeMessage(
  session: Session,
  seq: number,
  plan: FetchPlan,
  progress: Progress,
  isNewlySeen: boolean,
  signal: AbortSignal,
): Promise<void> {
  const { output, view } = session;
  let reader: MessageReader | undefined;
  try {
    reader = await view.openMessage(seq, signal);
    // Everything is found before the first octet is written: what fails here has a proper reply.
    const located: LocatedContent[] = [];
    for (const step of plan.steps) if ('content' in step) located.push(await locateContent(reader, step.content));
    output.text(session.fetchHead(view, seq));
    let separator = '';
    let next = 0;
    for (const step of plan.steps) {
      if (separator !== '') output.text(separator);
      separator = ' ';
      if ('text' in step) output.text(step.text(seq));
      else {
        const content = located[next++];
        if (content !== undefined) await writeContent(session, reader, content);
      }
    }
    if (isNewlySeen) output.text(seenText(session, seq, plan));
    output.text(')\r\n');
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    if (error.code === 'expunged') progress.skipped += 1;
    else {
      progress.failed += 1;
      session.log.error('imap.fetch', `Message UID ${view.uidAt(seq)} cannot be read: ${error.message}`, { error, uid: view.uidAt(seq) });
    }
  } finally {
    await reader?.close();
  }
}

export const fetchRow = row({
  name: 'FETCH',
  state: 'selected',
  flags: ['uses-sequences', 'has-uid-form', 'heavy'],
  // Nothing that has to be prepared, which a search does, too, and nothing that sets \Seen.
  besideSearch: /^ +[0-9:*,]+ +\(?(?:(?:UID|FLAGS|MODSEQ|EMAILID|BODY\.PEEK\[[0-9.]*(?:HEADER|TEXT|MIME)?\](?:<\d+\.\d+>)?) ?)+\)?$/i,
  parse: parseFetch,
  run,
});
