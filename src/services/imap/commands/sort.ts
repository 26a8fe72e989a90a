// SORT (RFC 5256 BASE.6.4.SORT, RFC 5957, RFC 5267 ESORT).
import { parseSort, type SortCommand } from '#protocol/imap/commands/sort.js';
import { encodeString } from '#protocol/imap/encoder.js';
import { type CommandCall, row } from '../command-spec.js';
import { type Outcome, ok } from '../outcome.js';
import { withProgress } from '../progress.js';
import { planSearch } from '../search-plan.js';
import { extendedReply, highestModSeq, savedPart } from '../search-reply.js';
import type { Session } from '../session.js';
import { sortMessages } from '../sort-messages.js';

async function run(session: Session, command: SortCommand, call: CommandCall): Promise<Outcome> {
  const { view } = session;
  const { program, returns, criteria } = command;
  const query = planSearch(session, program);
  if (program.usesModSeq) session.useModSeqs();
  let found: number[];
  try {
    found = await withProgress(session, call, async (progress) => {
      const matching = await view.search(query, call.signal);
      return sortMessages(view, matching, { criteria, progress }, call.signal);
    });
  } catch (error) {
    // RFC 5182 2.1: a SAVE that fails leaves an empty result.
    if (returns?.save) session.savedSearch = [];
    throw error;
  }
  const withModSeq = program.usesModSeq && found.length > 0;
  if (returns === undefined) {
    const numbers = call.isUid ? found.map((seq) => view.uidAt(seq)) : found;
    const modSeq = withModSeq ? ` (MODSEQ ${highestModSeq(view, found)})` : '';
    session.text(`* SORT${numbers.length === 0 ? '' : ` ${numbers.join(' ')}`}${modSeq}\r\n`);
  } else {
    const reply = extendedReply({ view, tag: call.tag, isUid: call.isUid, found, withModSeq }, returns);
    if (reply !== undefined) session.text(`${reply}\r\n`);
    // RFC 5267 4.3.1: sorted results are not kept up to date (CONTEXT=SORT is not offered).
    if (returns.update) session.text(`* NO [NOUPDATE ${encodeString(call.tag)}] Updates of sorted results are not supported.\r\n`);
    if (returns.save) session.savedSearch = savedUids(session, savedPart(found, returns));
  }
  return ok('Sort completed.');
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
