// SORT (RFC 5256 BASE.6.4.SORT, RFC 5957, RFC 5267 ESORT, CONTEXT=SORT).
import { parseSort, type SortCommand } from '#protocol/imap/commands/sort.js';
import { encodeString } from '#protocol/imap/encoder.js';
import { type CommandCall, row } from '../command-spec.js';
import { limitSearch, withLimit } from '../message-limit.js';
import { bad, type Outcome, ok } from '../outcome.js';
import { withProgress } from '../progress.js';
import { planSavedSearch } from '../search-plan.js';
import { extendedReply, highestModSeq, savedPart } from '../search-reply.js';
import type { Session } from '../session.js';
import { type SortEntry, sortMessages } from '../sort-messages.js';
import { maxSortedMessages, SortedResult } from '../sorted-result.js';

async function run(session: Session, command: SortCommand, call: CommandCall): Promise<Outcome> {
  const { view } = session;
  const { program, returns, criteria } = command;
  if (returns?.update && session.contexts.has(call.tag)) return bad('Error in IMAP command SORT: Duplicate search update tag');
  const query = planSavedSearch(session, program, returns?.save === true);
  const limited = limitSearch(session, view, query);
  const since = view.highestModSeq;
  if (program.usesModSeq) session.useModSeqs();
  let entries: SortEntry[];
  try {
    entries = await withProgress(session, call, (progress) =>
      session.input.beside(async () => {
        const matching = await view.search(limited.part, call.signal);
        return sortMessages(view, matching, { criteria, progress }, call.signal);
      }),
    );
  } catch (error) {
    // RFC 5182 2.1: a SAVE that fails leaves an empty result.
    if (returns?.save) session.savedSearch = [];
    throw error;
  }
  const found = entries.map(({ seq }) => seq);
  const withModSeq = program.usesModSeq && found.length > 0;
  if (returns === undefined) {
    const numbers = call.isUid ? found.map((seq) => view.uidAt(seq)) : found;
    const modSeq = withModSeq ? ` (MODSEQ ${highestModSeq(view, found)})` : '';
    session.text(`* SORT${numbers.length === 0 ? '' : ` ${numbers.join(' ')}`}${modSeq}\r\n`);
    return withLimit(session, ok('Sort completed.'), limited);
  }
  const reply = extendedReply({ view, tag: call.tag, isUid: call.isUid, found, withModSeq }, returns);
  if (reply !== undefined) session.text(`${reply}\r\n`);
  if (returns.update) {
    if (session.contexts.isFull || entries.length >= maxSortedMessages)
      session.text(`* NO [NOUPDATE ${encodeString(call.tag)}] Too much to be kept up to date.\r\n`);
    else {
      const sorted = new SortedResult(
        criteria,
        entries.map(({ seq, keys }) => [view.uidAt(seq), keys]),
      );
      session.contexts.add(view, { tag: call.tag, isUid: call.isUid, query, found, sorted, items: returns.updateItems }, since);
    }
  }
  if (returns.save) session.savedSearch = savedUids(session, savedPart(found, returns));
  return withLimit(session, ok('Sort completed.'), limited);
}

function savedUids({ view }: Session, seqs: readonly number[]): Session['savedSearch'] {
  return seqs.map((seq) => view.uidAt(seq)).sort((a, b) => a - b);
}

export const sortRow = row({
  name: 'SORT',
  state: 'selected',
  flags: ['uses-sequences', 'has-uid-form', 'heavy'],
  parse: parseSort,
  run,
});
