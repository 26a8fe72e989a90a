// STORE (RFC 9051 6.4.6, RFC 7162 3.1.3).
import { parseStore } from '#protocol/imap/commands/store.js';
import { denied } from '#storage/account-errors.js';
import type { StoreChange } from '#storage/mailbox.js';
import { type FlagSet, flagBit } from '#storage/types.js';
import { numbersOf } from '#util/number-set.js';
import { formatNumbers } from '#util/number-text.js';
import { row } from '../command-spec.js';
import { toFlagSet } from '../flag-text.js';
import { limitSeqs, withLimit } from '../message-limit.js';
import { bad, no, ok } from '../outcome.js';
import { keptFlags, myRights, permittedFlags } from '../rights.js';
import { syncBesideStore, writeFlagChanges, writeFlagList } from '../update-writer.js';

export const storeRow = row({
  name: 'STORE',
  state: 'selected',
  flags: ['uses-sequences', 'has-uid-form', 'heavy'],
  parse: parseStore,
  async run(session, command, { isUid, signal }) {
    const { view } = session;
    const ranges = session.resolve(command.set, isUid);
    if (ranges === undefined) return bad('Error in IMAP command STORE: Invalid messageset');
    const { set: wanted, invalid } = toFlagSet(command.flags);
    if (invalid !== undefined) return bad(`Error in IMAP command STORE: Invalid system flag ${invalid}`);
    if (view.isReadOnly) return no('Mailbox is read-only.', 'READ-ONLY');
    const rights = await myRights(session, view.mailbox.name, signal);
    session.changeable = keptFlags(rights);
    if (!changesAny(command.mode, wanted, rights)) throw denied(view.mailbox.name);
    const flags = permittedFlags(wanted, rights);
    if (command.unchangedSince !== undefined) session.useModSeqs();
    if (ranges.length === 0) return ok('Store completed.');
    const limited = limitSeqs(session, view, numbersOf(ranges));
    const seqs = [...limited.part];
    const marksDeleted = command.mode !== 'remove' && (flags.system & flagBit.deleted) !== 0;
    if (marksDeleted) {
      for (const seq of seqs) if ((view.systemFlagsAt(seq) & flagBit.deleted) === 0) session.counters.deleted += 1;
    }
    const keywordsBefore = view.mailbox.keywords.length;
    // Own changes are reported here and not by the sync: Outlook repeats STORE before it has read our FETCH, so an unchanged flag set
    // gets a reply, too.
    const { modified, expunged } = await view.store(
      seqs,
      { mode: command.mode, flags, within: session.changeable, unchangedSince: command.unchangedSince },
      { silent: true },
      signal,
    );
    const changes = await syncBesideStore(session, keywordsBefore, signal);
    if (changes.newKeywords) writeFlagList(session, view);
    const untouched = new Set([...modified, ...expunged]);
    const own = untouched.size === 0 ? seqs : seqs.filter((seq) => !untouched.has(seq));
    if (!command.silent) {
      await writeFlagChanges(session, merge(own, changes.flagsChanged), isUid);
    } else {
      if (changes.flagsChanged.length > 0) await writeFlagChanges(session, changes.flagsChanged, isUid);
      // RFC 7162 3.1.3: .SILENT hides the flags, not the new modseq.
      if (session.has('CONDSTORE')) {
        const shown = new Set(changes.flagsChanged);
        const needsUid = !session.has('UIDONLY');
        for (const seq of own) {
          if (shown.has(seq)) continue;
          session.text(`${session.fetchHead(view, seq)}${needsUid ? `UID ${view.uidAt(seq)} ` : ''}MODSEQ (${view.modSeqAt(seq)}))\r\n`);
          if (session.output.isFull) await session.output.drain();
        }
      }
    }
    if (changes.exists !== undefined) session.text(`* ${changes.exists} EXISTS\r\n`);
    if (changes.recent !== undefined && !session.isRev2) session.text(`* ${changes.recent} RECENT\r\n`);
    if (modified.length > 0) {
      const numbers = isUid ? modified.map((seq) => view.uidAt(seq)) : modified;
      return withLimit(session, ok('Conditional STORE failed.', `MODIFIED ${formatNumbers(numbers)}`), limited);
    }
    if (expunged.length > 0 && !isUid) return withLimit(session, ok('Some of the messages no longer exist.', 'EXPUNGEISSUED'), limited);
    return withLimit(session, ok('Store completed.'), limited);
  },
});

/** RFC 4314 4 (STORE): flags that the rights do not allow to change are left alone; it fails only when none of them may be changed. */
function changesAny(mode: StoreChange['mode'], flags: FlagSet, rights: string): boolean {
  if (keptFlags(rights) === undefined) return true;
  if (mode === 'replace') return /[wst]/.test(rights);
  const { system, keywords } = permittedFlags(flags, rights);
  return system !== 0 || keywords.length > 0;
}

/** Both ascending; each number once. */
function merge(left: readonly number[], right: readonly number[]): readonly number[] {
  if (right.length === 0) return left;
  return [...new Set([...left, ...right])].sort((a, b) => a - b);
}
