// Tells the client what changed in the selected mailbox, at the points where it may be told.

import type { FetchItem } from '#protocol/imap/fetch-item.js';
import type { MailboxView, ViewChanges } from '#storage/mailbox.js';
import { formatRanges, rangesOf } from '#util/number-set.js';
import { writeFetches } from './commands/fetch.js';
import { allFlags, changeableFlags } from './flag-text.js';
import type { Session } from './session.js';
import { TimeSlice } from './time-slice.js';

export interface UpdateOptions {
  /** False while sequence numbers of the client are in use (RFC 9051 7.5.1). */
  readonly allowExpunge: boolean;
  /** FETCH replies carry the UID: after UID commands (RFC 9051 6.4.9). */
  readonly withUid?: boolean;
  /** Nobody asked for news: the folder is looked at once a second only (SyncOptions). */
  readonly mayLag?: boolean;
  /** The command itself changed the mailbox: its client hears of it whatever NOTIFY says. */
  readonly isOwn?: boolean;
}

/** Syncs the selected mailbox and writes EXPUNGE or VANISHED, EXISTS, RECENT, FLAGS, FETCH and ESEARCH. @throws StorageError */
export async function writeUpdates(session: Session, options: UpdateOptions, signal: AbortSignal): Promise<void> {
  const view = session.selectedView;
  if (view === undefined) return;
  const events = session.selectedEvents;
  // RFC 5465 3.1: a client that did not ask for events of the selected mailbox sees it as it was.
  if (events !== undefined && !events.has('MessageNew') && options.isOwn !== true) return;
  const toldUpTo = session.toldUpTo ?? lastUidOf(view);
  const hasNew = session.toldUpTo !== undefined;
  session.toldUpTo = undefined;
  const changes = shownChanges(session, await view.sync(options, signal));
  for (const line of session.contexts.expungedLines(view, changes.expunged)) session.text(line);
  // RFC 5465 5.1: with the UID, as the client may have given up message numbers.
  await writeChanges(session, view, changes, options.withUid === true || events !== undefined);
  const { lines, wanted } = await session.contexts.changes(view, signal);
  if (hasNew || changes.exists !== undefined) await writeNewMessages(session, view.lowerBound(toldUpTo + 1), wanted, signal);
  for (const line of lines) session.text(line);
  if (session.has('QRESYNC')) writeHeldBack(session, view, options.allowExpunge);
}

function lastUidOf(view: MailboxView): number {
  return view.count === 0 ? 0 : view.uidAt(view.count);
}

/** Changes as far as NOTIFY lets them through. */
function shownChanges({ selectedEvents }: Session, changes: ViewChanges): ViewChanges {
  return selectedEvents === undefined || selectedEvents.has('FlagChange') ? changes : { ...changes, flagsChanged: [] };
}

/**
 * What others did while STORE ran: its reply tells of it together with the client's own changes.
 * @returns nothing but new keywords where NOTIFY leaves out the selected mailbox (RFC 5465 3.1)
 */
export async function syncBesideStore(session: Session, keywordsBefore: number, signal: AbortSignal): Promise<ViewChanges> {
  const { view, selectedEvents } = session;
  if (selectedEvents !== undefined && !selectedEvents.has('MessageNew')) {
    const newKeywords = view.mailbox.keywords.length !== keywordsBefore;
    return { expunged: [], flagsChanged: [], exists: undefined, recent: undefined, newKeywords };
  }
  const lastUid = lastUidOf(view);
  const changes = shownChanges(session, await view.sync({ allowExpunge: false, mayLag: true }, signal));
  if (changes.exists !== undefined) session.toldUpTo ??= lastUid;
  return changes;
}

/**
 * While an expunge waits, the client must not take the modseqs of other changes for its new starting point: after a lost connection it would never
 * hear of the expunge (RFC 7162 3.2, 6).
 */
function writeHeldBack(session: Session, view: MailboxView, allowExpunge: boolean): void {
  const isHeldBack = !allowExpunge && view.highestModSeq < view.mailbox.highestModSeq;
  if (isHeldBack) session.text(`* OK [HIGHESTMODSEQ ${view.highestModSeq}] An expunge is still to be told\r\n`);
  else if (session.isModSeqHeldBack && allowExpunge) session.text(`* OK [HIGHESTMODSEQ ${view.highestModSeq}] Highest\r\n`);
  if (isHeldBack || allowExpunge) session.isModSeqHeldBack = isHeldBack;
}

/**
 * What NOTIFY and the updated searches ask for of new messages, in one FETCH for each (RFC 5465 5.2, 7).
 * @param first sequence number of the first new message
 * @param wanted by the searches
 */
async function writeNewMessages(
  session: Session,
  first: number,
  wanted: ReadonlyMap<number, readonly FetchItem[]>,
  signal: AbortSignal,
): Promise<void> {
  const { view, newMessageItems } = session;
  if (newMessageItems === undefined && wanted.size === 0) return;
  for (let seq = first; seq <= view.count; seq += 1) {
    if (session.takeOwn(view.uidAt(seq))) continue;
    const items = [...(newMessageItems ?? []), ...(wanted.get(seq) ?? [])];
    if (items.length > 0) await writeFetches(session, [seq], onceEach(items), signal);
  }
}

function onceEach(items: readonly FetchItem[]): FetchItem[] {
  const byName = new Map(
    items.map((item) => [item.kind === 'simple' ? item.name : item.kind === 'preview' ? 'PREVIEW' : item.label, item]),
  );
  return [...byName.values()];
}

export async function writeChanges(session: Session, view: MailboxView, changes: ViewChanges, withUid: boolean): Promise<void> {
  const { expunged } = changes;
  if (expunged.length > 0) writeExpunges(session, expunged);
  if (changes.exists !== undefined) session.text(`* ${changes.exists} EXISTS\r\n`);
  // RFC 9051 has no RECENT.
  if (changes.recent !== undefined && !session.isRev2) session.text(`* ${changes.recent} RECENT\r\n`);
  if (changes.newKeywords) writeFlagList(session, view);
  if (changes.flagsChanged.length > 0) await writeFlagChanges(session, changes.flagsChanged, withUid);
}

function writeExpunges(session: Session, expunged: ViewChanges['expunged']): void {
  if (session.has('QRESYNC') || session.has('UIDONLY')) {
    const uids = expunged.map(({ uid }) => uid as number).sort((a, b) => a - b);
    // One line of UIDs may be long: cut, so that no client's line limit is hit.
    const ranges = rangesOf(uids);
    for (let at = 0; at < ranges.length; at += 500) session.text(`* VANISHED ${formatRanges(ranges.slice(at, at + 500))}\r\n`);
    return;
  }
  for (const { seq } of expunged) session.text(`* ${seq} EXPUNGE\r\n`);
}

/** FLAGS and PERMANENTFLAGS, at SELECT and when a keyword appears. */
export function writeFlagList(session: Session, view: MailboxView): void {
  const { mailbox } = view;
  const flags = allFlags(mailbox.keywords);
  session.text(`* FLAGS (${flags})\r\n`);
  if (view.isReadOnly) session.text('* OK [PERMANENTFLAGS ()] Read-only mailbox.\r\n');
  else {
    const { changeable } = session;
    const listed = changeable === undefined ? flags : changeableFlags(mailbox.keywords, changeable);
    const more = mailbox.canCreateKeywords && changeable?.keywords !== false ? ' \\*' : '';
    session.text(`* OK [PERMANENTFLAGS (${listed}${more})] Flags permitted.\r\n`);
  }
}

/** `* 3 FETCH (UID 7 FLAGS (\Seen) MODSEQ (12))` for each of the messages. */
export async function writeFlagChanges(session: Session, seqs: Iterable<number>, withUid: boolean): Promise<void> {
  const { view, output, flagText } = session;
  const isUidOnly = session.has('UIDONLY');
  const needsUid = session.namesUids || (withUid && !isUidOnly);
  const needsModSeq = session.has('CONDSTORE');
  const slice = new TimeSlice();
  let untilCheck = 256;
  for (const seq of seqs) {
    const uid = needsUid ? `UID ${view.uidAt(seq)} ` : '';
    const flags = flagText.list(view.systemFlagsAt(seq), view.keywordsAt(seq));
    const modSeq = needsModSeq ? ` MODSEQ (${view.modSeqAt(seq)})` : '';
    output.text(`${isUidOnly ? `* ${view.uidAt(seq)} UIDFETCH (` : `* ${seq} FETCH (`}${uid}FLAGS ${flags}${modSeq})\r\n`);
    untilCheck -= 1;
    if (untilCheck > 0) continue;
    untilCheck = 256;
    if (output.isFull) await output.drain();
    if (slice.isOver) await slice.giveWay();
  }
}
