// COPY by hard link and MOVE by rename: no message is read, unless the target is on another file system or hard links are switched off.

import { statSync } from 'node:fs';
import { copyFile, unlink, utimes } from 'node:fs/promises';
import { errnoOf } from '#util/coded-error.js';
import { unknown32 } from '../index/columns.js';
import type { Stamps } from '../index/index-state.js';
import type { MaildirBox } from './box.js';
import { storageErrorOf, syncPath } from './file-calls.js';
import { sizedName } from './file-name.js';
import { guidOf } from './guid.js';
import { expungedError, learnFacts } from './message-files.js';
import { type IncomingMessage, type Placed, placeMessages } from './place.js';
import { pathOfRow, rescanHeld } from './reconcile.js';
import { extensionField } from './uid-list.js';

export interface CopySource {
  readonly box: MaildirBox;
  /** In the order the copies are to have. */
  readonly uids: readonly number[];
}

/**
 * Places copies of the messages in `target`, all or none. For a move the files themselves go; the caller removes them from the source's index, and the originals where
 * they remain.
 * @throws StorageError `expunged` when one of them is gone
 */
export async function copyMessages(
  source: CopySource,
  target: MaildirBox,
  isMove: boolean,
  signal: AbortSignal,
): Promise<Placed & { readonly originalsRemain: boolean; readonly sourceStamps: Stamps | undefined }> {
  const { box, uids } = source;
  await learnFacts(box, uids, { size: true, internalDate: true, saveDate: false }, signal);
  let how: 'link' | 'rename' | 'copy' = isMove ? 'rename' : target.options.copyWithHardlinks ? 'link' : 'copy';
  if (how !== 'copy' && deviceOf(box.curDir) !== deviceOf(target.curDir)) how = 'copy';
  // Noted together with the removal: until then, whoever opens the source must look at the folder.
  let sourceStamps: Stamps | undefined;
  const trackSource = (change: () => void): void => {
    sourceStamps = box.trackedChange(sourceStamps ?? box.state.stamps, change);
  };
  const around = how === 'rename' && box !== target ? trackSource : undefined;
  for (let attempt = 1; ; attempt += 1) {
    const incoming = uids.map((uid) => describe(box, uid, target, how));
    try {
      const placed = how === 'copy' ? await placeCopies(incoming, target, signal) : await placeMessages(target, incoming, signal, around);
      return { ...placed, originalsRemain: how !== 'rename', sourceStamps };
    } catch (error) {
      sourceStamps = undefined;
      const errno = errnoOf(error instanceof Error ? error.cause : undefined);
      if (errno === 'EXDEV' || errno === 'EPERM' || errno === 'EMLINK') {
        if (how === 'copy') throw error;
        how = 'copy';
      } else if (errno === 'ENOENT' && attempt < 4) await box.mutex.run(() => rescanHeld(box, undefined, signal), signal);
      else throw error;
    }
  }
}

function deviceOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.dev ?? -1;
}

function describe(box: MaildirBox, uid: number, target: MaildirBox, how: 'link' | 'rename' | 'copy'): IncomingMessage {
  const { state } = box;
  const { columns } = state;
  const row = columns.rowOf(uid);
  if (row < 0 || columns.isDead(row)) throw expungedError(uid);
  const size = columns.size[row] as number;
  const virtualSize = columns.virtualSize[row] as number;
  const name = target.names.next();
  const isSized = size !== unknown32 && virtualSize !== unknown32;
  const pop3 = extensionField(columns.extensionOf(row), 'P');
  return {
    source: pathOfRow(box, row),
    how: how === 'rename' ? 'rename' : 'link',
    baseName: isSized ? sizedName(name, size, virtualSize) : name,
    extension: `G${guidOf(state, row)} ${pop3 === undefined ? '' : `P${pop3} `}`,
    flags: columns.flags[row] as number,
    keywords: target.state.keywords.creatable(state.keywordsOf(row)),
    internalDate: columns.internalDate[row] as number,
  };
}

/** Through the target's tmp/, each copy durable before it is placed. */
async function placeCopies(incoming: readonly IncomingMessage[], target: MaildirBox, signal: AbortSignal): Promise<Placed> {
  const copied: IncomingMessage[] = [];
  try {
    for (const message of incoming) {
      signal.throwIfAborted();
      const path = `${target.tmpDir}/${message.baseName}`;
      copied.push({ ...message, source: path, how: 'rename' });
      await copyFile(message.source, path);
      await utimes(path, message.internalDate, message.internalDate);
      if (target.options.fsync !== 'never') await syncPath(path, 'file');
    }
    return await placeMessages(target, copied, signal);
  } catch (error) {
    for (const { source } of copied) await unlink(source).catch(() => undefined);
    throw storageErrorOf(error, `copy to ${target.paths.mailDir}`);
  }
}
