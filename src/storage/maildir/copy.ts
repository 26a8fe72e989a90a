// COPY by hard link and MOVE by rename: no message is read, unless the target is on another file system or hard links are switched off.

import { statSync } from 'node:fs';
import { chmod, copyFile, open, unlink, utimes } from 'node:fs/promises';
import { errnoOf } from '#util/coded-error.js';
import { givePermissions, permissionsIn } from '#util/file-permissions.js';
import { normalizeRanges } from '#util/number-set.js';
import { unknown32 } from '../index/columns.js';
import type { Stamps } from '../index/index-state.js';
import { expungeRecord, stampsRecord } from '../index/log-record.js';
import type { KeptFlags } from '../mailbox.js';
import type { MaildirBox } from './box.js';
import { expungeMessages } from './expunge.js';
import { storageErrorOf, syncPath } from './file-calls.js';
import { sizedName } from './file-name.js';
import { guidOf } from './guid.js';
import { expungedError, learnFacts, looksForRenamed, renamedError } from './message-files.js';
import { type IncomingFile, type IncomingMessage, type MoveSource, type Placed, placeMessages } from './place.js';
import { pathOfRow, rescanHeld } from './reconcile.js';
import { extensionField } from './uid-list.js';

export interface CopySource {
  readonly box: MaildirBox;
  /** In the order the copies are to have. */
  readonly uids: readonly number[];
  readonly kept?: KeptFlags | undefined;
}

export interface Copied {
  readonly uidValidity: number;
  /** In the order in which they were placed. */
  readonly sourceUids: readonly number[];
  readonly targetUids: readonly number[];
}

/**
 * Places copies of the messages in `target`, all or none.
 * @throws StorageError `expunged` when one of them is gone
 */
export async function copyMessages(source: CopySource, target: MaildirBox, signal: AbortSignal): Promise<Copied> {
  const { box, uids } = source;
  await learnFacts(box, uids, { size: true, internalDate: true, saveDate: false }, signal);
  await box.disk.whole;
  let how: 'link' | 'copy' = target.options.copyWithHardlinks && mayShareFiles(box, target) ? 'link' : 'copy';
  for (let attempt = 1; ; attempt += 1) {
    const incoming = uids.map((uid) => describe(source, uid, target, how));
    try {
      const placed = how === 'copy' ? await placeCopies(incoming, target, signal) : await placeMessages(target, incoming, signal);
      return { uidValidity: placed.uidValidity, sourceUids: uids, targetUids: placed.uids };
    } catch (error) {
      if (how === 'link' && cannotLink(error)) how = 'copy';
      else if (causeOf(error) === 'ENOENT' && attempt <= looksForRenamed && target.orGone(error) === error)
        await box.mutex.run(() => rescanHeld(box, undefined, signal), signal);
      else throw target.orGone(error);
    }
  }
}

/**
 * Moves the messages to `target`, each wholly or not at all (RFC 6851 3.3); the source's index no longer has those that were moved.
 * @returns those that were moved: others are gone, because somebody was faster
 * @throws StorageError `expunged` when all are gone; `in-use` when peers rename them faster than they can be looked for
 */
export async function moveMessages(source: CopySource, target: MaildirBox, signal: AbortSignal): Promise<Copied> {
  const { box, uids } = source;
  if (!mayShareFiles(box, target)) return copyAndExpunge(source, target, signal);
  await learnFacts(box, uids, { size: true, internalDate: true, saveDate: false }, signal);
  await box.disk.whole;
  await box.listDebt.settle();
  const sourceUids: number[] = [];
  const targetUids: number[] = [];
  let uidValidity = 0;
  let left = uids;
  for (let looks = 0; left.length > 0 && looks <= looksForRenamed; looks += 1) {
    if (looks > 0) await box.mutex.run(() => rescanHeld(box, undefined, signal), signal);
    left = left.filter((uid) => isLive(box, uid));
    const moving = new Map<IncomingMessage, number>(left.map((uid) => [describe(source, uid, target, 'rename'), uid]));
    try {
      const placed = await placeMessages(target, [...moving.keys()], signal, moveSource(box, target, moving));
      uidValidity = placed.uidValidity;
      targetUids.push(...placed.uids);
      for (const message of placed.placed) {
        sourceUids.push(moving.get(message) as number);
        moving.delete(message);
      }
      left = [...moving.values()];
    } catch (error) {
      if (sourceUids.length === 0 && cannotLink(error)) return copyAndExpunge(source, target, signal);
      if (sourceUids.length === 0) throw target.orGone(error);
      box.log.warning('maildir.move', `Could not move all messages from ${box.paths.mailDir}`, { error });
      break;
    }
  }
  if (sourceUids.length === 0) throw left.length > 0 ? renamedError(box, left.length) : expungedError(uids[0] ?? 0);
  return { uidValidity, sourceUids, targetUids };
}

function isLive(box: MaildirBox, uid: number): boolean {
  const row = box.state.columns.rowOf(uid);
  return row >= 0 && !box.state.columns.isDead(row);
}

function moveSource(box: MaildirBox, target: MaildirBox, uids: ReadonlyMap<IncomingMessage, number>): MoveSource {
  // Noted together with the removal: until then, whoever opens the source must look at the folder.
  let stamps: Stamps | undefined;
  return {
    around: (change) => {
      // Within one mailbox the target's stamps are the source's.
      if (box === target) change();
      else stamps = box.trackedChange(stamps ?? box.state.stamps, change);
    },
    moved: (messages) => {
      const gone = messages.map((message) => uids.get(message) as number).sort((a, b) => a - b);
      const record = expungeRecord(normalizeRanges(gone.map((uid) => [uid, uid] as const)));
      box.index.append(stamps === undefined ? [record] : [record, stampsRecord(stamps)]);
      box.changed();
    },
  };
}

/** To another file system. */
async function copyAndExpunge(source: CopySource, target: MaildirBox, signal: AbortSignal): Promise<Copied> {
  const copied = await copyMessages(source, target, signal);
  await expungeMessages(
    source.box,
    [...source.uids].sort((a, b) => a - b),
    () => true,
    signal,
  );
  return copied;
}

function causeOf(error: unknown): string | undefined {
  return errnoOf(error instanceof Error ? error.cause : undefined);
}

function cannotLink(error: unknown): boolean {
  return ['EXDEV', 'EPERM', 'EMLINK'].includes(causeOf(error) ?? '');
}

/**
 * One file system, and folders of the same owner, group and mode: a file that is linked or renamed keeps its own, which must be what a file of the
 * target has, as users with uids of their own must not have files of others in their mailboxes.
 */
function mayShareFiles(source: MaildirBox, target: MaildirBox): boolean {
  if (source === target) return true;
  const [a, b] = [source.curDir, target.curDir].map((path) => statSync(path, { throwIfNoEntry: false }));
  if (a === undefined || b === undefined) return false;
  return a.dev === b.dev && a.uid === b.uid && a.gid === b.gid && (a.mode & 0o777) === (b.mode & 0o777);
}

function describe({ box, kept }: CopySource, uid: number, target: MaildirBox, how: 'link' | 'rename' | 'copy'): IncomingFile {
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
    flags: (columns.flags[row] as number) & (kept?.system ?? ~0),
    keywords: kept?.keywords === false ? [] : target.state.keywords.creatable(state.keywordsOf(row)),
    internalDate: columns.internalDate[row] as number,
  };
}

/** Through the target's tmp/, each copy durable before it is placed. */
async function placeCopies(incoming: readonly IncomingFile[], target: MaildirBox, signal: AbortSignal): Promise<Placed> {
  const copied: IncomingFile[] = [];
  try {
    for (const message of incoming) {
      signal.throwIfAborted();
      const path = `${target.tmpDir}/${message.baseName}`;
      copied.push({ ...message, source: path, how: 'rename' });
      await copyFile(message.source, path);
      await givePermissionsTo(path, target);
      await utimes(path, message.internalDate, message.internalDate);
      if (target.options.fsync !== 'never') await syncPath(path, target.disk.syncs);
    }
    return await placeMessages(target, copied, signal);
  } catch (error) {
    for (const { source } of copied) await unlink(source).catch(() => undefined);
    throw storageErrorOf(error, `copy to ${target.paths.mailDir}`);
  }
}

/** Those of the folder, as every file in it has them: the copy has those of its source. */
async function givePermissionsTo(path: string, target: MaildirBox): Promise<void> {
  const { mode, gid } = permissionsIn(target.paths.mailDir);
  await chmod(path, mode);
  if (gid === undefined) return;
  const file = await open(path, 'r');
  try {
    givePermissions(file.fd, { mode, gid });
  } finally {
    await file.close();
  }
}
