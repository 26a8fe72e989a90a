// A file whose name tells wrong sizes gets a name without them, under the same UID: the file is renamed and the uidlist replaced, under the dot
// lock. If the process dies between the two, the message gets a new UID: rare enough for a correction that is itself rare.
import { renameSync } from 'node:fs';
import { errnoOf } from '#util/coded-error.js';
import { rowBit } from '../index/columns.js';
import { renameRecord } from '../index/log-record.js';
import type { MaildirBox } from './box.js';
import { commit } from './commit.js';
import { pathIn, withoutSizes } from './file-name.js';
import { rewriteListing } from './listing.js';
import { pathOfRow, refreshHeld, rememberList } from './reconcile.js';

/** Starts the correction and returns at once; failures are logged. */
export function correctSizes(box: MaildirBox, uid: number): void {
  if (box.options.ignoreSizesInNames || box.correcting.has(uid)) return;
  box.correcting.add(uid);
  box.background(
    box.mutex.run(() => correct(box, uid)).finally(() => box.correcting.delete(uid)),
    'correct sizes',
  );
}

async function correct(box: MaildirBox, uid: number): Promise<void> {
  const signal = AbortSignal.timeout(box.options.lockTimeoutMs + 1000);
  const lock = await box.list.lock(signal);
  try {
    await refreshHeld(box, lock, signal);
    const { state } = box;
    const row = state.columns.rowOf(uid);
    if (row < 0 || state.columns.isDead(row)) return;
    const oldName = state.columns.nameOf(row);
    const newName = withoutSizes(oldName);
    if (newName === oldName) return;
    const suffix = state.suffixes.at(state.columns.suffix[row] as number).text;
    const folder = ((state.columns.bits[row] as number) & rowBit.inNew) !== 0 ? box.newDir : box.curDir;
    try {
      const stamps = box.trackedChange(state.stamps, () => renameSync(pathOfRow(box, row), pathIn(folder, newName + suffix)));
      await commit(box, [renameRecord(uid, state.columns.extensionOf(row), newName), box.stampsRecordFor(stamps)]);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return;
      throw error;
    }
    await rewriteListing(box, '');
    await rememberList(box);
    box.log.warning('maildir.wrong-size', `Maildir filename has wrong S value, renamed the file from ${oldName} to ${newName}`, {
      mailDir: box.paths.mailDir,
      uid,
    });
  } finally {
    lock.release();
  }
}
