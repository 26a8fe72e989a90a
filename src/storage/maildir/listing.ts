// Reading dovecot-uidlist into the index, and making or replacing it.
import { randomBytes } from 'node:crypto';
import type { DotLock } from '#util/dot-lock.js';
import { rowBit } from '../index/columns.js';
import { expungeRecord, headerRecord, resetRecord } from '../index/log-record.js';
import { fewNames, LinearLookup, NameLookup } from '../index/name-lookup.js';
import type { MaildirBox } from './box.js';
import { commit } from './commit.js';
import type { UidListRead } from './list-file.js';
import { nextUidValidity } from './uid-validity.js';

/**
 * Reads the uidlist. It wins over the index, except where it is missing or broken: then the index, if it knows the mailbox, writes it anew and no
 * UID changes; only when both are gone there is a new UIDVALIDITY.
 */
export async function readListing(box: MaildirBox, lock: DotLock | undefined, signal: AbortSignal): Promise<void> {
  const list = await box.list.read();
  // What a peer wrote to the log before it wrote the list.
  await box.catchUp();
  if (list?.header !== undefined && !list.needsRewrite && (lock !== undefined || !contradicts(box, list))) await takeListing(box, list);
  else await withLock(box, lock, signal, () => repairListing(box, signal));
}

/**
 * Messages would be lost from the index. A peer that is replacing the list may be the reason, which only the lock tells: log and list agree when nobody
 * holds it.
 */
function contradicts(box: MaildirBox, list: UidListRead): boolean {
  const { state } = box;
  if (state.uidValidity === 0) return false;
  if (state.uidValidity !== list.header?.uidValidity) return true;
  return conflictingUids(box, list).length > 0 || renumberedUids(box, unclaimedOf(box, list)).length > 0;
}

async function withLock(box: MaildirBox, lock: DotLock | undefined, signal: AbortSignal, work: () => Promise<void>): Promise<void> {
  if (lock !== undefined) {
    await work();
    return;
  }
  const own = await box.list.lock(signal);
  try {
    await work();
  } finally {
    own.release();
  }
}

async function repairListing(box: MaildirBox, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await box.catchUp();
  const list = await box.list.read();
  const { state } = box;
  if (list?.header !== undefined && !list.needsRewrite) {
    await takeListing(box, list);
    return;
  }
  if (list?.broken !== undefined) {
    box.log.error('maildir.broken-uidlist', `Broken file ${box.list.path} ${list.broken}`, { path: box.list.path, reason: list.broken });
  }
  if (list?.header !== undefined) await takeListing(box, list);
  else if (state.uidValidity === 0) {
    await commit(box, [resetRecord(await nextUidValidity(box.paths.accountControlDir), randomBytes(16).toString('hex'))]);
  } else if (list === undefined) {
    box.log.warning('maildir.lost-uidlist', `${box.list.path} is gone; written anew from the index`, { path: box.list.path });
  }
  const { guid, uidNext, uidListExtras } = box.state;
  if (guid === '') await commit(box, [headerRecord(uidNext, randomBytes(16).toString('hex'), uidListExtras)]);
  await rewriteListing(box, '');
}

/** Replaces the uidlist by what the index knows. The caller holds the dot lock, and logs `box.listRead`. @param more lines of records above the highest UID */
export async function rewriteListing(box: MaildirBox, more: string): Promise<void> {
  const { state } = box;
  const header = { uidValidity: state.uidValidity, uidNext: state.uidNext, guid: state.guid, extras: state.uidListExtras };
  let unclaimed = '';
  for (const [name, { uid, extension }] of box.unclaimed) if (uid > state.highestUid) unclaimed += `${uid} ${extension}:${name}\n`;
  box.listRead = await box.list.rewrite(header, state.columns, unclaimed + more, box.options.fsync !== 'never', box.permissions);
}

async function takeListing(box: MaildirBox, list: UidListRead): Promise<void> {
  const { header } = list;
  if (header === undefined) return;
  const log: Buffer[] = [];
  if (box.state.uidValidity !== header.uidValidity) {
    if (box.state.uidValidity !== 0) {
      box.log.warning(
        'maildir.uidvalidity',
        `UIDVALIDITY of ${box.paths.mailDir} changed from ${box.state.uidValidity} to ${header.uidValidity}`,
      );
    }
    log.push(resetRecord(header.uidValidity, header.guid));
  } else {
    const conflicts = conflictingUids(box, list);
    if (conflicts.length > 0) log.push(expungeRecord(conflicts.map((uid) => [uid, uid] as const)));
  }
  if (log.length > 0) await commit(box, log.splice(0));
  const { state } = box;
  if (state.guid !== header.guid || state.uidNext < header.uidNext || state.uidListExtras.join(' ') !== header.extras.join(' ')) {
    log.push(headerRecord(header.uidNext, header.guid === '' ? state.guid : header.guid, header.extras));
  }
  box.unclaimed = unclaimedOf(box, list);
  const renumbered = renumberedUids(box, box.unclaimed);
  if (renumbered.length > 0) log.push(expungeRecord(renumbered.map((uid) => [uid, uid] as const)));
  if (log.length > 0) await commit(box, log);
  box.listRead = list.stamp;
}

/** Records above our highest UID. */
function unclaimedOf(box: MaildirBox, { records }: UidListRead): MaildirBox['unclaimed'] {
  const unclaimed: MaildirBox['unclaimed'] = new Map();
  for (let row = records.lowerBound(box.state.highestUid + 1); row < records.length; row += 1) {
    unclaimed.set(records.nameOf(row), { uid: records.uid[row] as number, extension: records.extensionOf(row) });
  }
  return unclaimed;
}

/**
 * UIDs of files that the list names again, above all we know: the message was expunged and another has been saved under its name (Dovecot names a
 * copy after the original when that name is free), which the folder alone does not show.
 */
function renumberedUids(box: MaildirBox, unclaimed: MaildirBox['unclaimed']): number[] {
  if (unclaimed.size === 0) return [];
  const { columns } = box.state;
  const lookup = unclaimed.size <= fewNames ? new LinearLookup(columns) : new NameLookup(columns);
  const uids: number[] = [];
  for (const name of unclaimed.keys()) {
    const row = lookup.find(name, name.length);
    if (row >= 0) uids.push(columns.uid[row] as number);
  }
  return uids.sort((a, b) => a - b);
}

/** UIDs that the list gives to another file than the index does: another program has renumbered. */
function conflictingUids(box: MaildirBox, list: UidListRead): number[] {
  const { columns } = box.state;
  const { records } = list;
  const conflicts: number[] = [];
  let at = 0;
  for (let row = 0; row < columns.length; row += 1) {
    if (((columns.bits[row] as number) & rowBit.dead) !== 0) continue;
    const uid = columns.uid[row] as number;
    while (at < records.length && (records.uid[at] as number) < uid) at += 1;
    if (at >= records.length || records.uid[at] !== uid) continue;
    const length = columns.nameLength[row] as number;
    const start = (columns.nameStart[row] as number) + (columns.extensionLength[row] as number);
    const other = (records.nameStart[at] as number) + (records.extensionLength[at] as number);
    if (records.nameLength[at] !== length || columns.heap.compare(records.heap, other, other + length, start, start + length) !== 0) {
      conflicts.push(uid);
    }
  }
  return conflicts;
}
