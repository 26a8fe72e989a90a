// Bringing the index in line with the folder, dovecot-uidlist and dovecot-keywords.
//
// When to look (as Dovecot does): a folder or file is read only when its mtime (file: inode, size, mtime) is not the one remembered, or when
// the remembered one was less than a second old when the folder was read, because a later change in the same clock tick leaves it as it is.
// Changes made by Roost itself move the remembered mtime along; that they hid somebody else's is checked later, at most 1 % of the time.
// Where one look follows the other and nothing happens, the kernel says so (quiet-time.ts).
//
// UIDs: a file that the uidlist names has that UID, unless a later one was already seen here (then it came back after being expunged, and gets
// a new one); other files get the next UIDs in order of arrival. UIDs are given under the dot lock, and the index log is written before
// the lock is released, so that UIDs appear in ascending order in every process.
import { opendirSync, readdirSync, renameSync, statSync, unlinkSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { errnoOf } from '#util/coded-error.js';
import type { DotLock } from '#util/dot-lock.js';
import { putLatin1 } from '#util/put-text.js';
import { StorageError } from '../errors.js';
import { rowBit } from '../index/columns.js';
import { noStamp, type Stamps } from '../index/index-state.js';
import { expungeRecord, FlagsRecordBuilder, lettersRecord, stampsRecord } from '../index/log-record.js';
import { LinearLookup } from '../index/name-lookup.js';
import { adoptFiles, type ScanRead, unseenRecords } from './adopt.js';
import { dirtyWindowMs, type MaildirBox } from './box.js';
import { commit } from './commit.js';
import { listFolder, stampOf } from './file-calls.js';
import { baseLength, pathIn } from './file-name.js';
import type { FoundFile } from './found-files.js';
import { keywordsFromName } from './keyword-mapping.js';
import { parseKeywordsFile } from './keywords-file.js';
import { readListing } from './listing.js';
import { NameList } from './name-list.js';
import type { NativeFiles } from './native-files.js';
import { findOutdated, type Outdated } from './outdated.js';
import { compareListings, type ScanResult, splitFileName } from './scan.js';

/** Listings in a row that must miss a file before it counts as removed. */
const listingsToMiss = 2;
const mostListings = 6;
/** Missed files of one scan that are looked for one by one. */
const mostLooks = 1000;
/** Listings of which some file is gone before it can be given a UID. */
const mostAdoptions = 10;
/** Files in new/ up to which it is worth a look at every sync while a change may be hidden. */
const fewArrivals = 64;
/** A folder of this size has room for some hundred names at most, whatever its file system counts. */
const fewNamesBytes = 4096;

/** For who waits for the mailbox while nobody waits for him. */
const restTimeoutMs = 60_000;

/** How long a look at the folder lasts for those who do not ask for news. Dovecot lets 5 s pass. */
const lagMs = 1000;

/**
 * Brings the mailbox up to date if anything changed. Cheap when nothing did.
 * @param mayLag the folder itself is looked at once a second only; what is in the index log is always taken
 */
export async function refresh(box: MaildirBox, signal: AbortSignal, mayLag = false): Promise<void> {
  box.checkExists();
  const nowMs = Date.now();
  const isQuiet = !box.hasArrivals && !box.index.needsReload;
  if (isQuiet && box.quiet.lasts(nowMs)) return;
  // A clock that was set back counts as time gone by.
  const isLook = !mayLag || box.hasArrivals || nowMs < box.lookedAtMs || nowMs - box.lookedAtMs >= lagMs;
  if (isLook) box.quiet.beginLook();
  if (box.index.catchUp()) box.changed();
  if (box.index.needsReload) await inMemory(box, async () => box.catchUp(), signal);
  if (!isLook && !box.hasArrivals) return;
  box.hasArrivals = false;
  const { stamps } = box.state;
  if (findOutdated(box, nowMs) !== undefined) await inMemory(box, () => refreshHeld(box, undefined, signal), signal);
  else if (stamps.newRecheckAtMs === 0) box.quiet.found(nowMs, stamps.curRecheckAtMs, () => box.watchedFolders);
  else if (await hasUnknownArrivals(box, signal)) {
    const order = { inNew: true, inCur: false, list: false, keywords: false };
    await inMemory(box, () => reconcile(box, order, undefined, signal), signal);
  }
  box.lookedAtMs = nowMs;
}

/**
 * A message delivered in the same clock tick as the last change we know of leaves the mtime of new/ as it was; a client that is told of the delivery
 * by other means and asks must find it. Bounded: of a folder with more names than a few, which read-write sessions do not leave behind, only those are
 * read.
 */
async function hasUnknownArrivals(box: MaildirBox, signal: AbortSignal): Promise<boolean> {
  let names: readonly string[] | undefined;
  try {
    const size = statSync(box.newDir).size;
    names = size <= fewNamesBytes ? readdirSync(box.newDir, { encoding: 'latin1' }) : firstNames(box.newDir);
  } catch {
    // Whatever is wrong, the next look reports it.
  }
  if (names === undefined || names.length > fewArrivals) return false;
  if (names.length > 0) await wholeIndex(box, signal);
  const lookup = new LinearLookup(box.state.columns);
  return names.some((name) => !name.startsWith('.') && lookup.find(name, baseLength(name)) < 0);
}

/** Of a folder that is large, or once was. @returns undefined when there are many. Takes five times as long as reading a small one. */
function firstNames(path: string): readonly string[] | undefined {
  const names: string[] = [];
  const folder = opendirSync(path, { encoding: 'latin1' });
  try {
    for (let entry = folder.readSync(); entry !== null; entry = folder.readSync()) {
      if (names.push(entry.name) > fewArrivals) return undefined;
    }
  } finally {
    folder.closeSync();
  }
  return names;
}

/** Does something alone, with a mailbox that is in memory: it may have been given up since the caller looked. */
export async function inMemory<Result>(box: MaildirBox, work: () => Promise<Result> | Result, signal: AbortSignal): Promise<Result> {
  signal.throwIfAborted();
  // Each save comes here, and hardly ever has to wait.
  const release = box.mutex.acquireNow() ?? (await box.mutex.acquire(signal));
  try {
    if (!box.isLoaded || !box.index.isWhole) await box.loadHeld(() => refreshHeld(box, undefined, signal));
    const result = work();
    return result instanceof Promise ? await result : result;
  } finally {
    release();
  }
}

/** Waits until the whole index is in memory, not only what a mailbox is opened with. */
export async function wholeIndex(box: MaildirBox, signal: AbortSignal): Promise<void> {
  if (box.isLoaded && (await box.complete())) return;
  await inMemory(box, async () => undefined, signal);
}

/** The same soon, with nobody waiting for it. */
export function readRestSoon(box: MaildirBox): void {
  if (box.index.isWhole) return;
  box.lateReading.begin(() => {
    if (!box.isLoaded || box.isDeleted) return;
    wholeIndex(box, AbortSignal.timeout(restTimeoutMs)).catch((error: unknown) =>
      box.log.warning('index.rest', `Could not read all of the index of ${box.paths.mailDir}`, { error }),
    );
  });
}

/** The same as `refresh` for a caller that holds the mutex, and the dot lock if given. */
export async function refreshHeld(box: MaildirBox, lock: DotLock | undefined, signal: AbortSignal): Promise<void> {
  await box.catchUp();
  const outdated = findOutdated(box);
  if (outdated !== undefined) await reconcile(box, outdated, lock, signal);
}

/** Reads both folders whatever their mtimes are: a file was not where the index says. The caller holds the mutex, and the dot lock if given. */
export async function rescanHeld(box: MaildirBox, lock: DotLock | undefined, signal: AbortSignal): Promise<void> {
  await reconcile(box, { inNew: true, inCur: true, list: false, keywords: false }, lock, signal);
}

export async function reconcile(box: MaildirBox, outdated: Outdated, lock: DotLock | undefined, signal: AbortSignal): Promise<void> {
  const modSeqBefore = box.state.highestModSeq;
  const startedAt = performance.now();
  box.index.checkLoaded();
  await box.catchUp();
  const lettersChanged = outdated.keywords && (await readLetters(box));
  if (outdated.list) await readListing(box, lock, signal);
  const wantNew = outdated.inNew || outdated.list || lettersChanged;
  const wantCur = outdated.inCur || outdated.list || lettersChanged;
  if (wantNew || wantCur) await scanFolders(box, { inNew: wantNew, inCur: wantCur, lettersChanged }, lock, signal);
  if (wantCur) box.lastScanMs = Math.max(1, performance.now() - startedAt);
  if (box.state.highestModSeq !== modSeqBefore) box.changed();
}

async function readLetters(box: MaildirBox): Promise<boolean> {
  const stamp = stampOf(box.keywordsFile) ?? noStamp;
  let text = '';
  try {
    text = await readFile(box.keywordsFile.path, 'utf8');
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
  const letters = parseKeywordsFile(text);
  const isChanged = letters.join('\n') !== box.state.letters.join('\n');
  const records = [stampsRecord({ ...box.state.stamps, keywordsFile: stamp })];
  await commit(box, isChanged ? [lettersRecord(letters), ...records] : records);
  return isChanged;
}

interface ScanOrder {
  readonly inNew: boolean;
  readonly inCur: boolean;
  readonly lettersChanged: boolean;
}

async function scanFolders(box: MaildirBox, order: ScanOrder, lock: DotLock | undefined, signal: AbortSignal): Promise<void> {
  let own: DotLock | undefined;
  try {
    let read = await scanUntilSettled(box, order, signal);
    for (let attempt = 1; read.unknown.length > 0; attempt += 1) {
      own ??= lock === undefined ? await box.list.lock(signal) : undefined;
      const held = own ?? lock;
      if (held === undefined || (await adoptFiles(box, read, held, signal, attempt === mostAdoptions))) break;
      // Nobody can add to the list now: what it names is in the folders, or gone.
      read = await scanUntilSettled(box, { ...order, inNew: true, inCur: true }, signal);
    }
    await rememberTimes(box, read);
  } finally {
    own?.release();
  }
}

/** Reads the folders until what they miss has been missed twice in a row, and takes over flags and removals. */
async function scanUntilSettled(box: MaildirBox, order: ScanOrder, signal: AbortSignal): Promise<ScanRead> {
  let { inNew, inCur } = order;
  let missedBefore: ReadonlySet<number> = new Set();
  for (let attempt = 1; ; attempt += 1) {
    signal.throwIfAborted();
    // A peer's record that arrives while the folder is read makes its rows newer than the listing.
    await box.catchUp();
    const { state } = box;
    const modSeqAtStart = state.highestModSeq;
    const times = box.folderTimes();
    const readAtMs = Date.now();
    const listings = {
      inNew: inNew ? await listOrEmpty(box.newDir) : undefined,
      inCur: inCur ? await listOrEmpty(box.curDir) : undefined,
    };
    box.index.catchUp();
    // New files are taken at the start of the next round.
    if (box.state !== state || box.index.needsReload) continue;
    const result = compareListings(state, listings);
    const missed = new Set([...result.missing.map((row) => state.columns.uid[row] as number), ...unseenRecords(box, result.unknown)]);
    const isSettled = missed.size === 0 || (attempt >= listingsToMiss && isSubset(missed, missedBefore));
    if (!isSettled && attempt < mostListings) {
      missedBefore = missed;
      inNew = true;
      inCur = true;
      continue;
    }
    // Before our own records bring in what peers wrote since.
    const modSeq = state.highestModSeq;
    const missing = result.missing.filter((row) => missedBefore.has(state.columns.uid[row] as number));
    await applyScan(
      box,
      { ...result, missing: missing.length > mostLooks ? missing : missing.filter((row) => !isThere(box, row)) },
      modSeqAtStart,
      order.lettersChanged,
    );
    await resolveDuplicates(box, result.duplicates);
    return { unknown: result.unknown, state, modSeq, times, readAtMs, inNew, inCur, isSettled };
  }
}

/** A listing may miss a file that is renamed meanwhile; where it went, its log record tells. */
function isThere(box: MaildirBox, row: number): boolean {
  return statSync(pathOfRow(box, row), { throwIfNoEntry: false }) !== undefined;
}

async function listOrEmpty(folder: string): Promise<NameList> {
  try {
    return await listFolder(folder);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' && folder.endsWith('/new')) return new NameList();
    if (errnoOf(error) === 'ENOENT') throw new StorageError('not-found', `${folder} is gone`, { clientText: 'Mailbox was deleted' });
    throw error;
  }
}

function isSubset(part: ReadonlySet<number>, whole: ReadonlySet<number>): boolean {
  for (const value of part) if (!whole.has(value)) return false;
  return true;
}

/** Flags and removals that the listing shows. */
async function applyScan(box: MaildirBox, result: ScanResult, modSeqAtStart: number, lettersChanged: boolean): Promise<void> {
  const { state } = box;
  const records: Buffer[] = [];
  const builder = new FlagsRecordBuilder(state, result.changed.length / 3, modSeqAtStart);
  const addRow = (row: number, suffixId: number, isInNew: boolean): void => {
    const suffix = state.suffixes.at(suffixId);
    const keywords = keywordsFromName(state, suffix.letters, state.keywordsOf(row));
    builder.add(state.columns.uid[row] as number, suffix.flags, state.keywordSetId(keywords), suffixId, isInNew);
  };
  const isTold = new Set<number>();
  for (let index = 0; index < result.changed.length; index += 3) {
    const row = result.changed[index] as number;
    isTold.add(row);
    addRow(row, result.changed[index + 1] as number, result.changed[index + 2] === 1);
  }
  if (lettersChanged) {
    for (let row = 0; row < state.columns.length; row += 1) {
      if (isTold.has(row) || state.columns.isDead(row)) continue;
      const suffixId = state.columns.suffix[row] as number;
      if (state.suffixes.at(suffixId).letters === 0) continue;
      addRow(row, suffixId, ((state.columns.bits[row] as number) & rowBit.inNew) !== 0);
    }
  }
  if (builder.count > 0) records.push(builder.finish());
  if (result.missing.length > 0) {
    records.push(expungeRecord(result.missing.map((row) => [state.columns.uid[row] as number, state.columns.uid[row] as number] as const)));
  }
  if (records.length > 0) await commit(box, records);
}

/**
 * Two files with one base name. The same file under two names (a rename that was interrupted, or seen halfway): the one found second goes when
 * both are still there. Different files: the second gets a base name, and so a UID, of its own.
 */
async function resolveDuplicates(box: MaildirBox, duplicates: readonly FoundFile[]): Promise<void> {
  for (const { fileName, isInNew } of duplicates) {
    const { baseName, suffix } = splitFileName(fileName);
    const folder = isInNew ? box.newDir : box.curDir;
    const path = pathIn(folder, fileName);
    const row = new LinearLookup(box.state.columns).find(baseName, baseName.length);
    const second = statSync(path, { throwIfNoEntry: false });
    if (row < 0 || second === undefined) continue;
    const first = statSync(pathOfRow(box, row), { throwIfNoEntry: false });
    if (first === undefined) continue;
    if (first.ino === second.ino) {
      if (Date.now() - second.ctimeMs > 30_000) unlinkSync(path);
      continue;
    }
    const fresh = `${box.names.next()}${suffix}`;
    renameSync(path, pathIn(folder, fresh));
    box.log.warning('maildir.duplicate', `Fixed a duplicate: ${baseName} -> ${fresh}`, { mailDir: box.paths.mailDir });
  }
}

export function fileNameOf(box: MaildirBox, row: number): string {
  const { state } = box;
  return state.columns.nameOf(row) + state.suffixes.at(state.columns.suffix[row] as number).text;
}

export function pathOfRow(box: MaildirBox, row: number): string | Buffer {
  const isInNew = ((box.state.columns.bits[row] as number) & rowBit.inNew) !== 0;
  return pathIn(isInNew ? box.newDir : box.curDir, fileNameOf(box, row));
}

/** The same as octets in `files.path`. @returns false for a path that is too long */
export function putPathOfRow({ state, newDir, curDir }: MaildirBox, row: number, files: NativeFiles): boolean {
  const { columns } = state;
  const isInNew = ((columns.bits[row] as number) & rowBit.inNew) !== 0;
  const { text } = state.suffixes.at(columns.suffix[row] as number);
  const length = columns.nameLength[row] as number;
  const at = files.beginPath(isInNew ? newDir : curDir, length + text.length);
  if (at === 0) return false;
  const from = (columns.nameStart[row] as number) + (columns.extensionLength[row] as number);
  const { path } = files;
  columns.heap.copy(path, at, from, from + length);
  path[putLatin1(path, at + length, text, text.length)] = 0;
  return true;
}

async function rememberTimes(box: MaildirBox, { times, readAtMs, inNew, inCur, isSettled }: ScanRead): Promise<void> {
  // What could not be made out is looked at again next time, the uidlist included.
  if (!isSettled) return;
  const { stamps } = box.state;
  const recheckAt = (mtimeMs: number): number => (mtimeMs > readAtMs - dirtyWindowMs ? Math.ceil(mtimeMs) + dirtyWindowMs + 100 : 0);
  const next: Stamps = {
    ...stamps,
    ...(box.listRead === undefined ? {} : { uidList: box.listRead }),
    ...(inNew ? { newMtimeMs: times.newMtimeMs, newRecheckAtMs: recheckAt(times.newMtimeMs) } : {}),
    ...(inCur ? { curMtimeMs: times.curMtimeMs, curRecheckAtMs: recheckAt(times.curMtimeMs) } : {}),
  };
  await commit(box, [stampsRecord(next)]);
  box.listRead = undefined;
}

/** The index now agrees with the uidlist last read or written. */
export async function rememberList(box: MaildirBox): Promise<void> {
  if (box.listRead === undefined) return;
  await commit(box, [stampsRecord({ ...box.state.stamps, uidList: box.listRead })]);
  box.listRead = undefined;
}
