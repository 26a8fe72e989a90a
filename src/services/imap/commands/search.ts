// SEARCH (RFC 9051 6.4.4, RFC 3501 6.4.4, RFC 4731, RFC 5182, RFC 7162 3.1.5).
import { parseSearch, type SearchCommand } from '#protocol/imap/commands/search.js';
import { encodeString } from '#protocol/imap/encoder.js';
import { formatNumbers } from '#util/number-set.js';
import { type CommandCall, row } from '../command-spec.js';
import { bad, type Outcome, ok } from '../outcome.js';
import { planSearch } from '../search-plan.js';
import type { Session } from '../session.js';

async function run(session: Session, command: SearchCommand, call: CommandCall): Promise<Outcome> {
  const { view } = session;
  const { program, returns } = command;
  // RFC 6855 3: strings are UTF-8 already, and a charset would contradict that.
  if (program.charset !== undefined && session.has('UTF8=ACCEPT'))
    return bad('Error in IMAP command SEARCH: CHARSET after ENABLE UTF8=ACCEPT');
  const query = planSearch(session, program);
  if (program.usesModSeq) session.useModSeqs();
  let found: number[];
  try {
    found = await view.search(query, call.signal);
  } catch (error) {
    // RFC 5182 2.1: a SAVE that fails leaves an empty result.
    if (returns?.save) session.savedSearch = [];
    throw error;
  }
  if (returns === undefined && !session.isRev2) writeOldReply(session, found, command, call);
  else writeExtendedReply(session, found, command, call);
  if (returns?.save) session.savedSearch = savedPart(found, returns).map((seq) => view.uidAt(seq));
  return ok('Search completed.');
}

function highestModSeq(session: Session, seqs: readonly number[]): number {
  let highest = 0;
  for (const seq of seqs) highest = Math.max(highest, session.view.modSeqAt(seq));
  return highest;
}

function writeOldReply(session: Session, found: readonly number[], command: SearchCommand, call: CommandCall): void {
  const { view } = session;
  const numbers = call.isUid ? found.map((seq) => view.uidAt(seq)) : found;
  const modSeq = command.program.usesModSeq && found.length > 0 ? ` (MODSEQ ${highestModSeq(session, found)})` : '';
  session.text(`* SEARCH${numbers.length === 0 ? '' : ` ${numbers.join(' ')}`}${modSeq}\r\n`);
}

/** RFC 5182 2.1: with MIN or MAX only these are saved, unless ALL or COUNT ask for everything. */
function savedPart(found: readonly number[], returns: NonNullable<SearchCommand['returns']>): readonly number[] {
  if (returns.all || returns.count || (!returns.min && !returns.max)) return found;
  const ends = [...(returns.min ? found.slice(0, 1) : []), ...(returns.max ? found.slice(-1) : [])];
  return [...new Set(ends)];
}

function writeExtendedReply(session: Session, found: readonly number[], command: SearchCommand, call: CommandCall): void {
  const { view } = session;
  const returns = command.returns ?? { min: false, max: false, all: true, count: false, save: false };
  const number = (seq: number): number => (call.isUid ? view.uidAt(seq) : seq);
  const first = found[0];
  const last = found[found.length - 1];
  // SAVE alone has no reply (RFC 5182 2.1).
  if (!returns.min && !returns.max && !returns.all && !returns.count) return;
  let text = `* ESEARCH (TAG ${encodeString(call.tag)})${call.isUid ? ' UID' : ''}`;
  if (first !== undefined && last !== undefined) {
    if (returns.min) text += ` MIN ${number(first)}`;
    if (returns.max) text += ` MAX ${number(last)}`;
    if (returns.all) text += ` ALL ${formatNumbers(call.isUid ? found.map(number) : found)}`;
  }
  if (returns.count) text += ` COUNT ${found.length}`;
  if (command.program.usesModSeq && first !== undefined && last !== undefined) {
    // RFC 7162 3.1.10: of the messages that the reply names.
    const onlyEnds = !returns.all && !returns.count;
    const named = onlyEnds ? [...(returns.min ? [first] : []), ...(returns.max ? [last] : [])] : found;
    text += ` MODSEQ ${highestModSeq(session, named)}`;
  }
  session.text(`${text}\r\n`);
}

export const searchRow = row({
  name: 'SEARCH',
  state: 'selected',
  flags: ['uses-sequences', 'has-uid-form', 'heavy'],
  parse: parseSearch,
  run,
});
