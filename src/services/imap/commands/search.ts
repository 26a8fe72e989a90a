// SEARCH (RFC 9051 6.4.4, RFC 3501 6.4.4, RFC 4731, RFC 5182, RFC 7162 3.1.5, RFC 9394).
import { parseSearch, type SearchCommand } from '#protocol/imap/commands/search.js';
import { encodeString } from '#protocol/imap/encoder.js';
import { spacedNumbers } from '#util/number-text.js';
import { type CommandCall, row } from '../command-spec.js';
import { limitSearch, withLimit } from '../message-limit.js';
import { bad, type Outcome, ok } from '../outcome.js';
import { withProgress } from '../progress.js';
import { planSavedSearch } from '../search-plan.js';
import { extendedReply, highestModSeq, returnAll, savedPart, uidsOf } from '../search-reply.js';
import type { Session } from '../session.js';

async function run(session: Session, command: SearchCommand, call: CommandCall): Promise<Outcome> {
  const { view } = session;
  const { program, returns } = command;
  // RFC 6855 3: strings are UTF-8 already, and a charset would contradict that.
  if (program.charset !== undefined && session.has('UTF8=ACCEPT'))
    return bad('Error in IMAP command SEARCH: CHARSET after ENABLE UTF8=ACCEPT');
  if (returns?.update && session.contexts.has(call.tag)) return bad('Error in IMAP command SEARCH: Duplicate search update tag');
  const query = planSavedSearch(session, program, returns?.save === true);
  const limited = limitSearch(session, view, query);
  const since = view.highestModSeq;
  if (program.usesModSeq) session.useModSeqs();
  let found: number[];
  try {
    found = await withProgress(session, call, () => session.input.beside(() => view.search(limited.part, call.signal)));
  } catch (error) {
    // RFC 5182 2.1: a SAVE that fails leaves an empty result.
    if (returns?.save) session.savedSearch = [];
    throw error;
  }
  if (returns === undefined && !session.isRev2) writeOldReply(session, found, command, call);
  else {
    const result = { view, tag: call.tag, isUid: call.isUid, found, withModSeq: program.usesModSeq };
    const reply = extendedReply(result, returns ?? returnAll);
    if (reply !== undefined) session.text(`${reply}\r\n`);
  }
  if (returns?.update) {
    if (session.contexts.isFull) session.text(`* NO [NOUPDATE ${encodeString(call.tag)}] Too many searches to be kept up to date.\r\n`);
    else session.contexts.add(view, { tag: call.tag, isUid: call.isUid, query, found, items: returns.updateItems }, since);
  }
  if (returns?.save) session.savedSearch = savedPart(found, returns).map((seq) => view.uidAt(seq));
  return withLimit(session, ok('Search completed.'), limited);
}

function writeOldReply(session: Session, found: readonly number[], command: SearchCommand, call: CommandCall): void {
  const { view } = session;
  const numbers = call.isUid ? uidsOf(view, found) : found;
  const modSeq = command.program.usesModSeq && found.length > 0 ? ` (MODSEQ ${highestModSeq(view, found)})` : '';
  session.text('* SEARCH');
  for (const block of spacedNumbers(numbers)) session.output.octets(block);
  session.text(`${modSeq}\r\n`);
}

export const searchRow = row({
  name: 'SEARCH',
  state: 'selected',
  flags: ['uses-sequences', 'has-uid-form', 'heavy'],
  parse: parseSearch,
  run,
});
