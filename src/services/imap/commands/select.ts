// SELECT, EXAMINE, CLOSE, UNSELECT (RFC 9051 6.3.2, 6.3.3, 6.4.1, 6.4.2; RFC 7162 3.2.5; RFC 3691).
import { parseNothing } from '#protocol/imap/commands/no-arguments.js';
import { parseSelect, type QresyncParameters, type SelectCommand } from '#protocol/imap/commands/select.js';
import { encodeString } from '#protocol/imap/encoder.js';
import type { MailboxView } from '#storage/mailbox.js';
import { formatRanges, intersectRanges, type NumberRange, resolveNumberSet } from '#util/number-set.js';
import { type CommandCall, row } from '../command-spec.js';
import { separatorOf } from '../names.js';
import { bad, type Outcome, ok } from '../outcome.js';
import { demandRights, keptFlags, myRights } from '../rights.js';
import type { Session } from '../session.js';
import { writeFlagChanges, writeFlagList } from '../update-writer.js';
import { hasUrlAuth } from '../url-content.js';
import { countDeleted } from './expunge.js';
import { attributesNow } from './list.js';

async function open(session: Session, command: SelectCommand, call: CommandCall, readOnly: boolean): Promise<Outcome> {
  if (command.qresync !== undefined && !session.has('QRESYNC')) return bad('QRESYNC not enabled.');
  // RFC 9586 3.7: the match data are message numbers.
  if (command.qresync?.sequenceMatch !== undefined && session.has('UIDONLY')) return bad('Message numbers are off.', 'UIDREQUIRED');
  // The old mailbox is gone whatever happens next (RFC 9051 6.3.2).
  if (session.isSelected) {
    await session.deselect();
    // RFC 7162 3.2.11: whatever the client has enabled.
    session.text('* OK [CLOSED] Previous mailbox closed.\r\n');
  }
  const mailbox = await session.user.openMailbox(command.mailbox, call.signal);
  await demandRights(session, command.mailbox, 'r', call.signal);
  const rights = await myRights(session, command.mailbox, call.signal);
  const canChange = /[stwei]/.test(rights);
  const view = await mailbox.openView({ readOnly: readOnly || mailbox.isReadOnly || !canChange }, call.signal);
  await session.select(view, keptFlags(rights));
  if (command.condstore) session.enable('CONDSTORE');
  await describe(session, view, call.signal);
  if (command.qresync !== undefined && command.qresync.uidValidity === mailbox.uidValidity) {
    await resynchronize(session, view, command.qresync, call.signal);
  }
  return ok(readOnly ? 'Examine completed.' : 'Select completed.', view.isReadOnly ? 'READ-ONLY' : 'READ-WRITE');
}

async function describe(session: Session, view: MailboxView, signal: AbortSignal): Promise<void> {
  const { mailbox } = view;
  writeFlagList(session, view);
  session.text(`* ${view.count} EXISTS\r\n`);
  if (!session.isRev2) {
    session.text(`* ${view.recentCount} RECENT\r\n`);
    const unseen = view.firstUnseen();
    // RFC 9586 3.6: its value would be a message number.
    if (unseen > 0 && !session.has('UIDONLY')) session.text(`* OK [UNSEEN ${unseen}] First unseen.\r\n`);
  }
  session.text(`* OK [UIDVALIDITY ${mailbox.uidValidity}] UIDs valid\r\n`);
  session.text(`* OK [UIDNEXT ${mailbox.uidNext}] Predicted next UID\r\n`);
  session.text(`* OK [HIGHESTMODSEQ ${view.highestModSeq}] Highest\r\n`);
  session.text(`* OK [MAILBOXID (${mailbox.guid})] Ok\r\n`);
  if (hasUrlAuth(session)) session.text('* OK [URLMECH INTERNAL] URLs can be authorized.\r\n');
  // RFC 9051 6.3.2: REQUIRED there, unknown to older clients.
  if (session.isRev2) {
    const separator = separatorOf(session.user, mailbox.name);
    const attributes = await attributesNow(session, mailbox.name, signal);
    session.text(`* LIST (${attributes}) ${encodeString(separator)} ${session.mailboxName(mailbox.name)}\r\n`);
  }
}

/** RFC 7162 3.2.5.2: what was expunged and what changed since the client's last visit. */
async function resynchronize(session: Session, view: MailboxView, parameters: QresyncParameters, signal: AbortSignal): Promise<void> {
  const known =
    parameters.knownUids?.kind === 'ranges'
      ? resolveNumberSet(parameters.knownUids.ranges, Math.max(view.mailbox.uidNext - 1, 1))
      : undefined;
  const from = firstUncertainUid(view, parameters);
  const wanted: readonly NumberRange[] | undefined =
    from === 0 ? known : intersectRanges(known ?? [[1, 4294967295]], [[from + 1, 4294967295]]);
  const vanished = await view.vanishedSince(parameters.modSeq, wanted, signal);
  for (let at = 0; at < vanished.length; at += 500) session.text(`* VANISHED (EARLIER) ${formatRanges(vanished.slice(at, at + 500))}\r\n`);
  const changed: number[] = [];
  for (const [first, last] of known ?? [[1, 4294967295] as const]) {
    const end = view.lowerBound(last + 1) - 1;
    for (let seq = view.lowerBound(first); seq <= end; seq++) if (view.modSeqAt(seq) > parameters.modSeq) changed.push(seq);
  }
  await writeFlagChanges(session, changed, true);
}

/**
 * The sequence match data (RFC 7162 3.2.5.2) tells up to which UID nothing is missing: there the client has the same messages.
 * @returns 0 when nothing is known
 */
function firstUncertainUid(view: MailboxView, { sequenceMatch, modSeq }: QresyncParameters): number {
  // Expunges that this mailbox still remembers are found exactly; the match data only shortens the list of a forgotten history.
  if (sequenceMatch === undefined || modSeq === 0) return 0;
  if (sequenceMatch.sequences.kind !== 'ranges' || sequenceMatch.uids.kind !== 'ranges') return 0;
  const sequences = sequenceMatch.sequences.ranges;
  const uids = sequenceMatch.uids.ranges;
  let certain = 0;
  for (const [seq, uid] of pairs(sequences, uids)) {
    if (seq > view.count || view.uidAt(seq) !== uid) return certain;
    certain = uid;
  }
  return certain;
}

/** Numbers of two sets side by side, at most 10,000. */
function* pairs(left: readonly NumberRange[], right: readonly NumberRange[]): Generator<readonly [number, number]> {
  let count = 0;
  const numbers = function* (ranges: readonly NumberRange[]): Generator<number> {
    for (const [first, last] of ranges) for (let number = first; number <= last; number++) yield number;
  };
  const second = numbers(right);
  for (const number of numbers(left)) {
    const other = second.next();
    if (other.done === true || count >= 10_000) return;
    count += 1;
    yield [number, other.value];
  }
}

export const selectRow = row({
  name: 'SELECT',
  state: 'authenticated',
  flags: ['no-updates'],
  parse: parseSelect,
  run: (session, command, call) => open(session, command, call, false),
});

export const examineRow = row({
  name: 'EXAMINE',
  state: 'authenticated',
  flags: ['no-updates'],
  parse: parseSelect,
  run: (session, command, call) => open(session, command, call, true),
});

export const closeRow = row({
  name: 'CLOSE',
  state: 'selected',
  flags: ['no-updates', 'heavy'],
  parse: parseNothing,
  async run(session, _command, { signal }) {
    const { view } = session;
    if (!view.isReadOnly) {
      const count = countDeleted(session);
      if (count > 0 && (await myRights(session, view.mailbox.name, signal)).includes('e')) {
        await view.expunge(undefined, signal);
        session.counters.expunged += count;
      }
    }
    await session.deselect();
    // RFC 7162 3.2.8: no HIGHESTMODSEQ, as the client has not heard what was expunged.
    return ok('Close completed.');
  },
});

export const unselectRow = row({
  name: 'UNSELECT',
  state: 'selected',
  flags: ['no-updates'],
  parse: parseNothing,
  async run(session) {
    await session.deselect();
    return ok('Unselect completed.');
  },
});
