import { parseExpunge } from '#protocol/imap/commands/expunge.js';
import { flagBit, type Uid } from '#storage/types.js';
import { numbersOf } from '#util/number-set.js';
import { row } from '../command-spec.js';
import { type Limited, limitSeqs, withLimit } from '../message-limit.js';
import { bad, no, ok } from '../outcome.js';
import { demandRights } from '../rights.js';
import type { Session } from '../session.js';
import { writeUpdates } from '../update-writer.js';

/** Messages of the selected mailbox marked \Deleted. */
export function countDeleted(session: Session): number {
  const { view } = session;
  let count = 0;
  for (let seq = 1; seq <= view.count; seq++) if ((view.systemFlagsAt(seq) & flagBit.deleted) !== 0) count += 1;
  return count;
}

/** EXPUNGE (RFC 9051 6.4.3) and UID EXPUNGE (RFC 4315 2.1). */
export const expungeRow = row({
  name: 'EXPUNGE',
  state: 'selected',
  flags: ['has-uid-form', 'heavy'],
  parse: parseExpunge,
  async run(session, { set }, { isUid, signal }) {
    const { view } = session;
    if (view.isReadOnly) return no('Mailbox is read-only.', 'READ-ONLY');
    await demandRights(session, view.mailbox.name, 'e', signal);
    let uids: Uid[] | undefined;
    let limited: Limited<unknown> = { part: undefined, code: undefined };
    if (set !== undefined) {
      const ranges = session.resolve(set, true);
      if (ranges === undefined) return bad('Error in IMAP command EXPUNGE: Invalid messageset');
      const part = limitSeqs(
        session,
        view,
        [...numbersOf(ranges)].filter((seq) => (view.systemFlagsAt(seq) & flagBit.deleted) !== 0),
      );
      limited = part;
      uids = [...part.part].map((seq) => view.uidAt(seq));
    }
    const before = countDeleted(session);
    await view.expunge(uids, signal);
    await writeUpdates(session, { allowExpunge: true, withUid: isUid, isOwn: true }, signal);
    session.counters.expunged += Math.max(before - countDeleted(session), 0);
    // RFC 7162 3.2.7: the client can take this as its new starting point.
    return withLimit(
      session,
      ok('Expunge completed.', session.has('QRESYNC') ? `HIGHESTMODSEQ ${view.highestModSeq}` : undefined),
      limited,
    );
  },
});
