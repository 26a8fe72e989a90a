// Giving UIDs to files and putting them into cur/ or new/: the common end of APPEND, COPY and MOVE.
//
// All or none, except that a move leaves out files that are not where they were: of two sessions that move a message one wins, and to take back
// what has been moved would show it to peers as expunged and come again.
//
// Under the dot lock: bring the index up to date with the uidlist, rename or link each file to its final name, append the uidlist, append the index
// log; then, the lock released, fsync. Where the file system keeps the order (util/write-out.ts), the uidlist alone is synced: it became longer after the
// names had changed, so what makes its length durable makes the names durable.
// Elsewhere files or folders and uidlist are synced together; a message alone has its UID in its name instead (uid-in-name.ts).
// A crash in between leaves files that get a UID when they are found next: never a UID for a file that is not there, never a second copy.
import { errnoOf } from '#util/coded-error.js';
import { Slicer } from '#util/deadline.js';
import type { DotLock } from '#util/dot-lock.js';
import { type AddedMessage, addRecord, maxRowsPerRecord, stampsRecord } from '../index/log-record.js';
import { parseSuffix, suffixText } from '../index/suffix-table.js';
import { unseenRecords } from './adopt.js';
import type { MaildirBox } from './box.js';
import { commit } from './commit.js';
import { isSameStamp, storageErrorOf } from './file-calls.js';
import { pathIn } from './file-name.js';
import { giveName, type NameSource, takeNameBack } from './final-name.js';
import { lettersOf } from './keyword-mapping.js';
import { ensureLetters } from './letters.js';
import { rewriteListing } from './listing.js';
import { type SyncedMessage, syncList, syncNumbered, syncPlaced } from './placed-syncs.js';
import { inMemory, refreshHeld, rescanHeld } from './reconcile.js';
import { nameWithUid } from './uid-in-name.js';
import { formatUidListRecord } from './uid-list.js';

export interface IncomingMessage extends NameSource, SyncedMessage {
  /** Sizes included. */
  readonly baseName: string;
  /** uidlist fields, as `Columns.extensionOf`. */
  readonly extension: string;
  /** Seconds. */
  readonly internalDate: number;
}

/** One whose file has a name. */
export interface IncomingFile extends IncomingMessage {
  readonly source: string | Buffer;
}

export interface Placed {
  readonly uidValidity: number;
  readonly uids: readonly number[];
  /** Which of the messages the UIDs are for. */
  readonly placed: readonly IncomingMessage[];
  /** The uidlist became longer, and was not replaced. */
  readonly hasAppended: boolean;
  /** The names of the files say them, too. */
  readonly areUidsInNames: boolean;
}

/** What a move does to the mailbox the messages come from. */
export interface MoveSource {
  /** Wraps a slice of renames, to keep the source's stamps. */
  around(change: () => void): void;
  /** Takes what was moved out of the source's index: at once, so that nobody is sent to files that are gone. */
  moved(messages: readonly IncomingMessage[]): void;
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

/**
 * @param source for a move
 * @throws StorageError: nothing is placed then, and files to be renamed are where they were
 */
export async function placeMessages(
  box: MaildirBox,
  incoming: readonly IncomingMessage[],
  signal: AbortSignal,
  source?: MoveSource,
): Promise<Placed> {
  const placed = await inMemory(
    box,
    () => {
      box.checkExists();
      const lock = box.list.lock(signal);
      const work = (taken: DotLock): Placed | Promise<Placed> => placeUnder(taken, box, incoming, source, signal);
      return lock instanceof Promise ? lock.then(work) : work(lock);
    },
    signal,
  );
  box.changed();
  if (placed.uids.length === 0) return placed;
  if (box.options.fsync === 'never') return placed;
  try {
    if (placed.areUidsInNames) await syncNumbered(box, incoming);
    else await (placed.hasAppended && box.disk.listCoversNames ? syncList : syncPlaced)(box, incoming);
  } catch (error) {
    for (const message of placed.placed) if (message.unsynced?.isNamedFirst === true) takeAway(box, message);
    throw error;
  }
  return placed;
}

/** Gives the lock back at the end. */
function placeUnder(
  lock: DotLock,
  box: MaildirBox,
  incoming: readonly IncomingMessage[],
  source: MoveSource | undefined,
  signal: AbortSignal,
): Placed | Promise<Placed> {
  let placed: Placed | Promise<Placed> | undefined;
  try {
    const [only] = incoming;
    if (incoming.length === 1 && only !== undefined && source === undefined) placed = placeAtOnce(box, only);
    placed ??= placeLocked(box, incoming, lock, source, signal);
  } catch (error) {
    lock.release();
    throw error;
  }
  if (placed instanceof Promise) return placed.finally(() => lock.release());
  lock.release();
  return placed;
}

/**
 * One message alone, which is the ordinary case: nothing is waited for, as long as nobody else has changed anything.
 * @returns undefined, and nothing is changed, where `placeLocked` is needed
 */
function placeAtOnce(box: MaildirBox, incoming: IncomingMessage): Placed | Promise<Placed> | undefined {
  box.index.checkLoaded();
  if (box.index.catchUp()) box.changed();
  const { state } = box;
  if (box.index.needsReload || incoming.keywords.length > 0 || box.unclaimed.size > 0 || isSparse(box)) return undefined;
  const list = box.list.stamp();
  if (!isSameStamp(list, state.stamps.uidList)) return undefined;
  const uid = state.uidNext;
  if (uid + 1 >= 0xffffffff) return undefined;
  const baseName = box.disk.namesTellUids && incoming.extension === '' ? nameWithUid(incoming.baseName, uid, state.guid) : undefined;
  const message = baseName === undefined ? incoming : { ...incoming, baseName };
  const done: PlacedFile[] = [];
  const failed = (error: unknown): unknown => {
    undo(box, done);
    return storageErrorOf(error, `save to ${box.paths.mailDir}`);
  };
  try {
    const place = (): void => {
      const file = placeFile(box, message, false);
      if (file !== undefined) done.push(file);
    };
    const stamps = box.trackedChange(state.stamps, place, message.flags === 0);
    const uidList = box.list.append(formatUidListRecord(uid, message.extension, message.baseName), list.inode);
    box.listRead = undefined;
    const record = addRecord([addedMessage(message, done[0]?.suffix ?? '', uid, Math.floor(Date.now() / 1000))]);
    const logged = commit(box, [record, stampsRecord({ ...stamps, uidList })]);
    const placed: Placed = {
      uidValidity: state.uidValidity,
      uids: [uid],
      placed: [message],
      hasAppended: true,
      areUidsInNames: baseName !== undefined,
    };
    if (!(logged instanceof Promise)) return placed;
    return logged.then(
      () => placed,
      (error: unknown) => Promise.reject(failed(error)),
    );
  } catch (error) {
    throw failed(error);
  }
}

async function placeLocked(
  box: MaildirBox,
  incoming: readonly IncomingMessage[],
  lock: DotLock,
  source: MoveSource | undefined,
  signal: AbortSignal,
): Promise<Placed> {
  box.index.checkLoaded();
  const caughtUp = box.catchUp();
  if (caughtUp !== undefined) await caughtUp;
  // Messages that another program has given UIDs come before ours.
  const list = box.list.stamp();
  // Of the file that is the list, for as long as nothing has been waited for.
  let listInode: number | undefined = list.inode;
  if (!isSameStamp(list, box.state.stamps.uidList)) {
    await refreshHeld(box, lock, signal);
    listInode = undefined;
  }
  // Read by a look that was given up: once there is a higher UID their files could not have theirs any more.
  if (unseenRecords(box, []).length > 0) {
    await rescanHeld(box, lock, signal);
    listInode = undefined;
  }
  const hasKeywords = incoming.some((message) => message.keywords.length > 0);
  if (hasKeywords) {
    const keywords = [...new Set(incoming.flatMap((message) => message.keywords))];
    box.state.keywords.checkCreatable(keywords);
    await ensureLetters(box, keywords, signal, lock);
    listInode = undefined;
  }
  const { state } = box;
  const done: PlacedFile[] = [];
  let next = 0;
  let stamps = state.stamps;
  const slicer = new Slicer();
  const isOfNewOnly = source === undefined && incoming.every(({ flags, keywords }) => flags === 0 && keywords.length === 0);
  try {
    while (next < incoming.length) {
      let failure: unknown;
      const placeSlice = (): void => {
        try {
          do {
            const end = Math.min(next + placesPerLook, incoming.length);
            for (; next < end; next += 1) {
              const file = placeFile(box, incoming[next] as IncomingMessage, source !== undefined);
              if (file !== undefined) done.push(file);
            }
          } while (next < incoming.length && !slicer.isDue);
        } catch (error) {
          failure = error;
        }
      };
      stamps = box.trackedChange(stamps, source === undefined ? placeSlice : () => source.around(placeSlice), isOfNewOnly);
      if (failure !== undefined) throw failure;
      if (next < incoming.length) {
        await slicer.pause();
        listInode = undefined;
      }
    }
    const placed = done.map(({ message }) => message);
    if (done.length === 0) return { uidValidity: state.uidValidity, uids: [], placed, hasAppended: false, areUidsInNames: false };
    const first = state.uidNext;
    if (first + done.length >= 0xffffffff) throw new RangeError('no UIDs left');
    const added = done.map(({ message, suffix }, index) => ({ message, suffix, uid: first + index }));
    const lines = added.map(({ message, uid }) => formatUidListRecord(uid, message.extension, message.baseName)).join('');
    const hasAppended = !isSparse(box);
    // To the file that is the list now: what the index has noted of it may be older, where a look at the folders did not come to rest.
    if (hasAppended) box.listRead = box.list.append(lines, listInode);
    else await rewriteListing(box, lines);
    stamps = { ...stamps, uidList: box.listRead ?? stamps.uidList };
    box.listRead = undefined;
    const saveDate = Math.floor(Date.now() / 1000);
    const messages = added.map(({ message, suffix, uid }) => addedMessage(message, suffix, uid, saveDate));
    const records: Buffer[] = [];
    for (let at = 0; at < messages.length; at += maxRowsPerRecord) records.push(addRecord(messages.slice(at, at + maxRowsPerRecord)));
    await commit(box, [...records, stampsRecord(stamps)]);
    source?.moved(placed);
    return { uidValidity: state.uidValidity, uids: added.map(({ uid }) => uid), placed, hasAppended, areUidsInNames: false };
  } catch (error) {
    undo(box, done);
    throw storageErrorOf(error, `save to ${box.paths.mailDir}`);
  }
}

function addedMessage(message: IncomingMessage, suffix: string, uid: number, saveDate: number): AddedMessage {
  const { flags, keywords, extension, baseName, internalDate } = message;
  return { uid, flags, keywords, suffix, isInNew: suffix === '', extension, baseName, internalDate, saveDate };
}

function isSparse(box: MaildirBox): boolean {
  const { columns, stamps } = box.state;
  return stamps.uidList.size > (columns.heapLength + columns.length * 9 + 200) * compactAbove + 4096;
}

interface PlacedFile {
  readonly message: IncomingMessage;
  readonly suffix: string;
  readonly to: string | Buffer;
}

function finalPath(
  box: MaildirBox,
  { flags, keywords, baseName }: IncomingMessage,
): { readonly suffix: string; readonly to: string | Buffer } {
  const suffix = suffixOfNew(box, flags, keywords);
  return { suffix, to: pathIn(suffix === '' ? box.newDir : box.curDir, baseName + suffix) };
}

/** What is not known to be whole is gone from the next look at the folder on, unless somebody has given it other flags by now. */
function takeAway(box: MaildirBox, message: IncomingMessage): void {
  undo(box, [{ message, ...finalPath(box, message) }]);
  box.changed();
}

/** @returns undefined when a message to be moved is not where it was */
function placeFile(box: MaildirBox, message: IncomingMessage, isMove: boolean): PlacedFile | undefined {
  const { suffix, to } = finalPath(box, message);
  try {
    giveName(box, message, to);
  } catch (error) {
    if (isMove && errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
  return { message, suffix, to };
}

function undo(box: MaildirBox, done: readonly PlacedFile[]): void {
  for (const { message, to } of done) {
    try {
      takeNameBack(message, to);
    } catch (error) {
      box.log.error('maildir.undo', `Could not undo a failed save in ${box.paths.mailDir}`, { error });
    }
  }
}
