// Files without a row in the index get one, and a UID where dovecot-uidlist has none for them.
import { renameSync, statSync } from 'node:fs';
import { errnoOf } from '#util/coded-error.js';
import type { DotLock } from '#util/dot-lock.js';
import { unknown32 } from '../index/columns.js';
import type { IndexState } from '../index/index-state.js';
import { type AddedMessage, addRecord, maxRowsPerRecord, recentRecord } from '../index/log-record.js';
import { fewNames, LinearLookup, NameLookup } from '../index/name-lookup.js';
import { parseSuffix } from '../index/suffix-table.js';
import type { FolderTimes, MaildirBox } from './box.js';
import { isSameStamp } from './file-calls.js';
import { baseLength, compareArrival, pathIn } from './file-name.js';
import { keywordsFromName } from './keyword-mapping.js';
import { readListing, rewriteListing } from './listing.js';
import type { FoundFile } from './scan.js';
import { formatUidListRecord } from './uid-list.js';

/** A file this much older than now may have been here before, and so have a record in the list that the index no longer knows. */
const freshSeconds = 600;
/** Records of gone messages make up more than a quarter of the list: replace it. */
const compactAbove = 4 / 3;
/** Files that are looked at one by one before they are given UIDs. */
const mostLooks = 1000;

/**
 * Records of the list above all UIDs of the index whose file is not among these. A file that is renamed while its folder is read may be missed, and
 * a message that came after the listing is; if a later UID were taken or given first, theirs would be lost.
 * @returns their UIDs
 */
export function unseenRecords(box: MaildirBox, found: readonly FoundFile[]): number[] {
  if (box.unclaimed.size === 0) return [];
  const names = new Set(found.map(({ fileName }) => fileName.slice(0, baseLength(fileName))));
  const unseen: number[] = [];
  for (const [baseName, { uid }] of box.unclaimed) if (uid > box.state.highestUid && !names.has(baseName)) unseen.push(uid);
  return unseen;
}

/** What a look at the folders found, and what was known at that moment. */
export interface ScanRead {
  readonly unknown: readonly FoundFile[];
  readonly state: IndexState;
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
  const mayHaveReturned = files.some(({ fileName }) => isOld(fileName));
  const returned = mayHaveReturned && box.state.columns.length > 0 ? await recordsOfReturned(box, files) : new Set<string>();
  // From here on without a pause: a UID is given to a file that is there.
  const there = stillThere(box, files, read.times);
  if (there.length < files.length && !isLastAttempt) return false;
  const { listed, unlisted } = sortOut(box, there);
  if (listed.length + unlisted.length === 0) return true;
  const isFirst = box.state.columns.length === 0 && box.state.firstRecentUid === 1;
  const next = Math.max(box.state.uidNext, ...lastOf(listed));
  unlisted.sort((a, b) => compareArrival(a.baseName, b.baseName));
  const given = unlisted.map((message, index) => ({ ...message, uid: next + index }));
  await writeList(box, given, returned);
  logAdded(box, [...listed, ...given], isFirst);
  return true;
}

/** Many files are taken as there while nothing has happened in their folders: one by one they cost as much as the listing. */
function stillThere(box: MaildirBox, files: readonly FoundFile[], times: FolderTimes): readonly FoundFile[] {
  if (files.length > mostLooks) {
    const now = box.folderTimes();
    if (now.newMtimeMs === times.newMtimeMs && now.curMtimeMs === times.curMtimeMs) return files;
  }
  return files.filter(({ fileName, isInNew }) => {
    return statSync(pathIn(isInNew ? box.newDir : box.curDir, fileName), { throwIfNoEntry: false }) !== undefined;
  });
}

function lastOf(messages: readonly AddedMessage[]): number[] {
  const last = messages.at(-1);
  return last === undefined ? [] : [last.uid + 1];
}

function withoutKnown(box: MaildirBox, files: readonly FoundFile[]): readonly FoundFile[] {
  const { columns } = box.state;
  const lookup = files.length <= fewNames ? new LinearLookup(columns) : new NameLookup(columns);
  return files.filter(({ fileName }) => lookup.find(fileName, baseLength(fileName)) < 0);
}

function isOld(fileName: string): boolean {
  const seconds = Number.parseInt(fileName, 10);
  return !(seconds > Date.now() / 1000 - freshSeconds);
}

/** Names among `files` that the list already gives a UID which is no longer theirs. */
async function recordsOfReturned(box: MaildirBox, files: readonly FoundFile[]): Promise<Set<string>> {
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

type UidlessMessage = Omit<AddedMessage, 'uid'>;

function sortOut(box: MaildirBox, files: readonly FoundFile[]): { readonly listed: AddedMessage[]; readonly unlisted: UidlessMessage[] } {
  const { state } = box;
  const listed: AddedMessage[] = [];
  const unlisted: UidlessMessage[] = [];
  const nowSeconds = Math.floor(Date.now() / 1000);
  // On the first look nobody knows when the messages came; later ones come now.
  const saveDate = state.columns.length === 0 ? unknown32 : nowSeconds;
  const taken = new Set<string>();
  for (const file of files) {
    const fileName = usableName(box, file);
    if (fileName === undefined) continue;
    const length = baseLength(fileName);
    const baseName = fileName.slice(0, length);
    // A second file of this name becomes a duplicate at the next scan.
    if (taken.has(baseName)) continue;
    taken.add(baseName);
    const suffix = fileName.slice(length);
    const parsed = suffix === '' ? undefined : parseSuffix(suffix);
    const message: UidlessMessage = {
      flags: parsed?.flags ?? 0,
      keywords: keywordsFromName(state, parsed?.letters ?? 0, []),
      suffix,
      isInNew: file.isInNew,
      extension: '',
      baseName,
      internalDate: unknown32,
      saveDate,
    };
    const record = box.unclaimed.get(baseName);
    if (record === undefined || record.uid <= state.highestUid) unlisted.push(message);
    else listed.push({ ...message, uid: record.uid, extension: record.extension });
  }
  listed.sort((a, b) => a.uid - b.uid);
  return { listed, unlisted };
}

/** A line end in a name would break the list: the file gets another name. */
function usableName(box: MaildirBox, { fileName, isInNew }: FoundFile): string | undefined {
  if (!/[\n\r]/.test(fileName)) return fileName;
  const folder = isInNew ? box.newDir : box.curDir;
  const length = baseLength(fileName);
  const better = `${box.names.next()}${/[\n\r]/.test(fileName.slice(length)) ? '' : fileName.slice(length)}`;
  try {
    renameSync(pathIn(folder, fileName), pathIn(folder, better));
    return better;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function writeList(box: MaildirBox, given: readonly AddedMessage[], returned: ReadonlySet<string>): Promise<void> {
  if (given.length === 0) return;
  const { state } = box;
  const lines = given.map(({ uid, extension, baseName }) => formatUidListRecord(uid, extension, baseName)).join('');
  const liveOctets = state.columns.heapLength + state.columns.length * 9 + 200;
  const isSparse = state.liveCount > 0 && (box.listRead ?? state.stamps.uidList).size > liveOctets * compactAbove + 4096;
  if (isSparse || given.some(({ baseName }) => returned.has(baseName))) {
    for (const { baseName } of given) box.unclaimed.delete(baseName);
    await rewriteListing(box, lines);
  } else {
    box.listRead = box.list.append(lines);
  }
}

function logAdded(box: MaildirBox, messages: readonly AddedMessage[], isFirst: boolean): void {
  for (let at = 0; at < messages.length; at += maxRowsPerRecord) box.index.append([addRecord(messages.slice(at, at + maxRowsPerRecord))]);
  for (const { baseName } of messages) box.unclaimed.delete(baseName);
  if (!isFirst) return;
  // Seen for the first time: what lies in cur/ has been taken by some reader before.
  let recent = box.state.uidNext;
  for (const { uid, isInNew } of messages) if (isInNew && uid < recent) recent = uid;
  box.index.append([recentRecord(recent)]);
}
