// Files without a row in the index get one, and a UID where dovecot-uidlist has none for them.
import { statSync } from 'node:fs';
import type { DotLock } from '#util/dot-lock.js';
import type { IndexState } from '../index/index-state.js';
import { fewNames, LinearLookup, NameLookup } from '../index/name-lookup.js';
import type { MaildirBox } from './box.js';
import { isSameStamp } from './file-calls.js';
import { baseLength, pathIn } from './file-name.js';
import type { FolderTimes } from './folder-times.js';
import type { FoundFile, FoundFiles } from './found-files.js';
import { giveUids } from './give-uids.js';
import { readListing } from './listing.js';

/** A file this much older than now may have been here before, and so have a record in the list that the index no longer knows. */
const freshSeconds = 600;
/** Files that are looked at one by one before they are given UIDs. */
const mostLooks = 1000;

/**
 * Records of the list above all UIDs of the index whose file is not among these. A file that is renamed while its folder is read may be missed, and
 * a message that came after the listing is; if a later UID were taken or given first, theirs would be lost.
 * @returns their UIDs
 */
export function unseenRecords(box: MaildirBox, found: Iterable<FoundFile>): number[] {
  if (box.unclaimed.size === 0) return [];
  const names = new Set<string>();
  for (const { fileName } of found) names.add(fileName.slice(0, baseLength(fileName)));
  const unseen: number[] = [];
  for (const [baseName, { uid }] of box.unclaimed) if (uid > box.state.highestUid && !names.has(baseName)) unseen.push(uid);
  return unseen;
}

/** What a look at the folders found, and what was known at that moment. */
export interface ScanRead {
  readonly unknown: FoundFiles;
  readonly state: IndexState;
  /** The highest one when the listing was compared with the index. */
  readonly modSeq: number;
  /** Before the listing began. */
  readonly times: FolderTimes;
  readonly readAtMs: number;
  readonly inNew: boolean;
  readonly inCur: boolean;
  /** False: the folders changed so fast that some files could not be made out. */
  readonly isSettled: boolean;
}

/**
 * The caller holds the dot lock.
 *
 * The listing may be older than the lock: whoever held it may have given these files UIDs, or taken them away again.
 * @param isLastAttempt take what is there
 * @returns false when the listing is too old, or the list has meanwhile got records of files that are not in it: the folders have to be read again
 */
export async function adoptFiles(
  box: MaildirBox,
  read: ScanRead,
  lock: DotLock,
  signal: AbortSignal,
  isLastAttempt: boolean,
): Promise<boolean> {
  await box.catchUp();
  let files = read.unknown;
  if (box.state !== read.state || box.state.highestModSeq !== read.modSeq) files = withoutKnown(box, files);
  if (!isSameStamp(box.list.stamp(), box.listRead ?? box.state.stamps.uidList)) {
    await readListing(box, lock, signal);
    if (!isLastAttempt && unseenRecords(box, files).length > 0) return false;
    files = withoutKnown(box, files);
  }
  const returned = box.state.columns.length > 0 && hasOld(files) ? await recordsOfReturned(box, files) : new Set<string>();
  // A state that was given up meanwhile knows none of the UIDs that files have.
  box.index.checkLoaded();
  // From here on without a pause: a UID is given to a file that is there.
  const there = stillThere(box, files, read.times);
  if (there.length < files.length && !isLastAttempt) return false;
  await giveUids(box, there, returned);
  return true;
}

/** Many files are taken as there while nothing has happened in their folders: one by one they cost as much as the listing. */
function stillThere(box: MaildirBox, files: FoundFiles, times: FolderTimes): FoundFiles {
  if (files.length > mostLooks) {
    const now = box.folderTimes();
    if (now.newMtimeMs === times.newMtimeMs && now.curMtimeMs === times.curMtimeMs) return files;
  }
  return files.filter(({ fileName, isInNew }) => {
    return statSync(pathIn(isInNew ? box.newDir : box.curDir, fileName), { throwIfNoEntry: false }) !== undefined;
  });
}

function withoutKnown(box: MaildirBox, files: FoundFiles): FoundFiles {
  const { columns } = box.state;
  const lookup = files.length <= fewNames ? new LinearLookup(columns) : new NameLookup(columns);
  return files.filter(({ fileName }) => lookup.find(fileName, baseLength(fileName)) < 0);
}

function hasOld(files: FoundFiles): boolean {
  for (const { fileName } of files) if (isOld(fileName)) return true;
  return false;
}

function isOld(fileName: string): boolean {
  const seconds = Number.parseInt(fileName, 10);
  return !(seconds > Date.now() / 1000 - freshSeconds);
}

/** Names among `files` that the list already gives a UID which is no longer theirs. */
async function recordsOfReturned(box: MaildirBox, files: FoundFiles): Promise<Set<string>> {
  const returned = new Set<string>();
  const list = await box.list.read();
  if (list === undefined) return returned;
  const lookup = new NameLookup(list.records);
  for (const { fileName } of files) {
    const length = baseLength(fileName);
    const baseName = fileName.slice(0, length);
    const record = lookup.find(fileName, length);
    if (record < 0 || box.unclaimed.has(baseName)) continue;
    const uid = list.records.uid[record] as number;
    if (uid > box.state.highestUid) box.unclaimed.set(baseName, { uid, extension: list.records.extensionOf(record) });
    else returned.add(baseName);
  }
  return returned;
}
