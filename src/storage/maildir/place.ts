// Giving UIDs to files and putting them into cur/ or new/, all or none: the common end of APPEND, COPY and MOVE.
//
// Under the dot lock: bring the index up to date with the uidlist, rename or link each file to its final name, append the uidlist, append the index
// log; then, the lock released, fsync folders and uidlist together. A crash in between leaves files that get a UID when they are found next: never
// a UID for a file that is not there, never a second copy.
import { linkSync, renameSync, unlinkSync } from 'node:fs';
import { Slicer } from '#util/deadline.js';
import type { DotLock } from '#util/dot-lock.js';
import { type AddedMessage, addRecord, maxRowsPerRecord, stampsRecord } from '../index/log-record.js';
import { parseSuffix, suffixText } from '../index/suffix-table.js';
import { unseenRecords } from './adopt.js';
import type { MaildirBox } from './box.js';
import { isSameStamp, storageErrorOf } from './file-calls.js';
import { pathIn } from './file-name.js';
import { lettersOf } from './keyword-mapping.js';
import { ensureLetters } from './letters.js';
import { rewriteListing } from './listing.js';
import { refreshHeld, rescanHeld } from './reconcile.js';
import { formatUidListRecord } from './uid-list.js';

export interface IncomingMessage {
  readonly source: string | Buffer;
  readonly how: 'rename' | 'link';
  /** Sizes included. */
  readonly baseName: string;
  /** uidlist fields, as `Columns.extensionOf`. */
  readonly extension: string;
  readonly flags: number;
  readonly keywords: readonly string[];
  /** Seconds. */
  readonly internalDate: number;
}

export interface Placed {
  readonly uidValidity: number;
  readonly uids: readonly number[];
}

const placesPerLook = 16;
/** Records of gone messages are more than a quarter of the list. */
const compactAbove = 4 / 3;
const emptySuffix = parseSuffix('');

/** The name's end: '' for new/, which is where a message without flags and keywords goes. */
export function suffixOfNew(box: MaildirBox, flags: number, keywords: readonly string[]): string {
  const letters = lettersOf(box.state, keywords);
  return flags === 0 && keywords.length === 0 ? '' : suffixText(flags, letters, emptySuffix);
}

/** Runs a slice of renames; a move wraps it to keep the source's stamps. */
export type Around = (change: () => void) => void;

/**
 * @param around for the renames of a move
 * @throws StorageError: nothing is placed then, and files to be renamed are where they were
 */
export async function placeMessages(
  box: MaildirBox,
  incoming: readonly IncomingMessage[],
  signal: AbortSignal,
  around: Around = (change) => change(),
): Promise<Placed> {
  const placed = await box.mutex.run(async () => {
    box.checkExists();
    const lock = await box.list.lock(signal);
    try {
      return await placeLocked(box, incoming, lock, around, signal);
    } finally {
      lock.release();
    }
  }, signal);
  box.changed();
  if (box.options.fsync !== 'never') {
    const inNew = incoming.some(({ flags, keywords }) => flags === 0 && keywords.length === 0);
    const inCur = incoming.some(({ flags, keywords }) => flags !== 0 || keywords.length > 0);
    try {
      await Promise.all([inNew ? box.syncNew.request() : undefined, inCur ? box.syncCur.request() : undefined, box.syncList.request()]);
    } catch (error) {
      throw storageErrorOf(error, `fsync ${box.paths.mailDir}`);
    }
  }
  return placed;
}

async function placeLocked(
  box: MaildirBox,
  incoming: readonly IncomingMessage[],
  lock: DotLock,
  around: Around,
  signal: AbortSignal,
): Promise<Placed> {
  box.index.catchUp();
  // Messages that another program has given UIDs come before ours.
  if (!isSameStamp(box.list.stamp(), box.state.stamps.uidList)) await refreshHeld(box, lock, signal);
  // Read by a look that was given up: once there is a higher UID their files could not have theirs any more.
  if (unseenRecords(box, []).length > 0) await rescanHeld(box, lock, signal);
  const keywords = [...new Set(incoming.flatMap((message) => message.keywords))];
  box.state.keywords.checkCreatable(keywords);
  await ensureLetters(box, keywords, signal, lock);
  const { state } = box;
  const suffixes = incoming.map((message) => suffixOfNew(box, message.flags, message.keywords));
  const done: { readonly from: string | Buffer; readonly to: string | Buffer; readonly how: 'rename' | 'link' }[] = [];
  let stamps = state.stamps;
  const slicer = new Slicer();
  try {
    while (done.length < incoming.length) {
      let failure: unknown;
      const placeSlice = (): void => {
        do {
          const end = Math.min(done.length + placesPerLook, incoming.length);
          while (done.length < end) {
            const { source, how, baseName } = incoming[done.length] as IncomingMessage;
            const suffix = suffixes[done.length] as string;
            const to = pathIn(suffix === '' ? box.newDir : box.curDir, baseName + suffix);
            if (how === 'rename') renameSync(source, to);
            else linkSync(source, to);
            done.push({ from: source, to, how });
          }
        } while (done.length < incoming.length && !slicer.isDue);
      };
      stamps = box.trackedChange(stamps, () =>
        around(() => {
          try {
            placeSlice();
          } catch (error) {
            failure = error;
          }
        }),
      );
      if (failure !== undefined) throw failure;
      if (done.length < incoming.length) await slicer.pause();
    }
    const first = state.uidNext;
    if (first + incoming.length >= 0xffffffff) throw new RangeError('no UIDs left');
    const added = incoming.map((message, index) => ({ message, suffix: suffixes[index] as string, uid: first + index }));
    const lines = added.map(({ message, uid }) => formatUidListRecord(uid, message.extension, message.baseName)).join('');
    if (isSparse(box)) {
      await rewriteListing(box, lines);
    } else box.listRead = box.list.append(lines);
    stamps = { ...stamps, uidList: box.listRead ?? stamps.uidList };
    box.listRead = undefined;
    const saveDate = Math.floor(Date.now() / 1000);
    const messages = added.map(
      ({ message, suffix, uid }): AddedMessage => ({
        uid,
        flags: message.flags,
        keywords: message.keywords,
        suffix,
        isInNew: suffix === '',
        extension: message.extension,
        baseName: message.baseName,
        internalDate: message.internalDate,
        saveDate,
      }),
    );
    const records: Buffer[] = [];
    for (let at = 0; at < messages.length; at += maxRowsPerRecord) records.push(addRecord(messages.slice(at, at + maxRowsPerRecord)));
    box.index.append([...records, stampsRecord(stamps)]);
    return { uidValidity: state.uidValidity, uids: added.map(({ uid }) => uid) };
  } catch (error) {
    undo(box, done);
    throw storageErrorOf(error, `save to ${box.paths.mailDir}`);
  }
}

function isSparse(box: MaildirBox): boolean {
  const { columns, stamps } = box.state;
  return stamps.uidList.size > (columns.heapLength + columns.length * 9 + 200) * compactAbove + 4096;
}

function undo(
  box: MaildirBox,
  done: readonly { readonly from: string | Buffer; readonly to: string | Buffer; readonly how: 'rename' | 'link' }[],
): void {
  for (const { from, to, how } of done) {
    try {
      if (how === 'rename') renameSync(to, from);
      else unlinkSync(to);
    } catch (error) {
      box.log.error('maildir.undo', `Could not undo a failed save in ${box.paths.mailDir}`, { error });
    }
  }
}
