// Removing messages: the files first, then the index. A process that dies in between leaves a folder whose mtime tells the next opener to look.
import { unlinkSync } from 'node:fs';
import { errnoOf } from '#util/coded-error.js';
import { Slicer } from '#util/deadline.js';
import { unknown32 } from '../index/columns.js';
import { expungeRecord, stampsRecord } from '../index/log-record.js';
import type { MaildirBox } from './box.js';
import { commit } from './commit.js';
import { storageErrorOf } from './file-calls.js';
import { looksForRenamed, renamedError } from './message-files.js';
import { pathOfRow, rescanHeld } from './reconcile.js';

export interface Freed {
  readonly octets: number;
  readonly messages: number;
}

const unlinksPerLook = 16;

/**
 * Removes the messages for which `isWanted` says so now. Those already gone are passed over.
 * @param uids ascending
 * @throws StorageError `in-use` when peers rename files faster than they can be looked for
 */
export async function expungeMessages(
  box: MaildirBox,
  uids: ArrayLike<number>,
  isWanted: (row: number) => boolean,
  signal: AbortSignal,
): Promise<Freed> {
  return box.mutex.run(async () => {
    await box.catchUp();
    await box.listDebt.settle();
    let { freed, missed } = await removeFiles(box, uids, isWanted);
    // A look tells which of them are gone, and what those are called now that a peer has renamed, who may do so again meanwhile.
    for (let looks = 0; missed.length > 0; looks += 1) {
      if (looks === looksForRenamed) throw renamedError(box, missed.length);
      await rescanHeld(box, undefined, signal);
      const more = await removeFiles(box, missed, isWanted);
      freed = { octets: freed.octets + more.freed.octets, messages: freed.messages + more.freed.messages };
      missed = more.missed;
    }
    return freed;
  }, signal);
}

async function removeFiles(
  box: MaildirBox,
  uids: ArrayLike<number>,
  isWanted: (row: number) => boolean,
): Promise<{ readonly freed: Freed; readonly missed: number[] }> {
  const { state } = box;
  const missed: number[] = [];
  const removed: [number, number][] = [];
  const slicer = new Slicer();
  let octets = 0;
  let next = 0;
  let stamps = state.stamps;
  let failure: unknown;
  const removeOne = (uid: number): void => {
    const row = state.columns.rowOf(uid);
    if (row < 0 || state.columns.isDead(row) || !isWanted(row)) return;
    try {
      unlinkSync(pathOfRow(box, row));
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
      missed.push(uid);
      return;
    }
    state.fillSizesFromName(row);
    const size = state.columns.virtualSize[row] as number;
    if (size !== unknown32) octets += size;
    const last = removed.at(-1);
    if (last !== undefined && last[1] === uid - 1) last[1] = uid;
    else removed.push([uid, uid]);
  };
  while (next < uids.length && failure === undefined) {
    stamps = box.trackedChangeOfKnown(stamps, () => {
      try {
        do {
          const end = Math.min(next + unlinksPerLook, uids.length);
          for (; next < end; next += 1) removeOne(uids[next] as number);
        } while (next < uids.length && !slicer.isDue);
      } catch (error) {
        failure = error;
      }
    });
    if (next < uids.length && failure === undefined) await slicer.pause();
  }
  let messages = 0;
  for (const [first, last] of removed) messages += last - first + 1;
  if (messages > 0) {
    await commit(box, [expungeRecord(removed), stampsRecord(stamps)]);
    box.changed();
    if (box.options.fsync === 'always') await Promise.all([box.syncCur.request(), box.syncNew.request()]);
  }
  if (failure !== undefined) throw storageErrorOf(failure, `remove from ${box.paths.mailDir}`);
  return { freed: { octets, messages }, missed };
}
