// Finding and reading message files of index rows, and learning sizes and dates that their names do not tell.
import { fstatSync, stat as statCallback, statSync } from 'node:fs';
import { errnoOf } from '#util/coded-error.js';
import { Slicer } from '#util/deadline.js';
import { StorageError } from '../errors.js';
import { rowBit, unknown32 } from '../index/columns.js';
import { type LearnedSizes, sizesRecord } from '../index/log-record.js';
import type { MessageReader } from '../mailbox.js';
import type { MaildirBox } from './box.js';
import { correctSizes } from './correct-sizes.js';
import { storageErrorOf } from './file-calls.js';
import { MemoryMessageReader } from './memory-reader.js';
import type { FileTimes } from './native-files.js';
import { maxQuickBytes } from './quick-read.js';
import { closeFile, countBareLineFeeds, FileMessageReader, openFile, readAt, type StructureStore, toCrlf } from './reader.js';
import { pathOfRow, putPathOfRow, rescanHeld } from './reconcile.js';

/** Files open at once for one caller: libuv has few threads, more would only wait. */
export const filesInFlight = 16;

export async function eachLimit<T>(items: readonly T[], limit: number, work: (item: T) => Promise<void>): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < items.length) {
      const item = items[next] as T;
      next += 1;
      await work(item);
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, lane));
}

export function expungedError(uid: number): StorageError {
  return new StorageError('expunged', `message ${uid} was expunged`, { clientText: 'Some of the requested messages no longer exist.' });
}

/** For messages whose files are not where they were: others rename, too. */
export const looksForRenamed = 10;

/** After so many looks. What is there must not be taken for gone. */
export function renamedError({ paths: { mailDir } }: MaildirBox, count: number): StorageError {
  const clientText = 'Mailbox is being changed by others';
  return new StorageError('in-use', `${count} messages of ${mailDir} were renamed each time they were looked for`, { clientText });
}

/**
 * Opens the file of a message wherever it is now.
 * @returns undefined when the message is gone
 * @throws StorageError `in-use` when peers rename it faster than it can be looked for
 */
export async function openByUid(box: MaildirBox, uid: number, signal: AbortSignal): Promise<number | undefined> {
  for (let looks = 0; ; looks += 1) {
    const row = box.state.columns.rowOf(uid);
    if (row < 0 || box.state.columns.isDead(row)) return undefined;
    try {
      return await openFile(pathOfRow(box, row), box.quickReads.storage);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw storageErrorOf(error, `open message ${uid} in ${box.paths.mailDir}`);
      // Renamed or removed by somebody else.
      if (looks === looksForRenamed) throw renamedError(box, 1);
      await box.mutex.run(() => rescanHeld(box, undefined, signal), signal);
    }
  }
}

/** A reader of the message. @throws StorageError `expunged`; `in-use` as `openByUid` */
export async function openReader(box: MaildirBox, uid: number, signal: AbortSignal, structures?: StructureStore): Promise<MessageReader> {
  const quick = readQuickly(box, uid);
  if (quick !== undefined) return new MemoryMessageReader(quick.bytes, quick.storedSize);
  const fd = await openByUid(box, uid, signal);
  if (fd === undefined) throw expungedError(uid);
  try {
    return await FileMessageReader.open(fd, isAsStored(box, uid, fd), { structures, storage: box.quickReads.storage });
  } catch (error) {
    throw storageErrorOf(error, `read message ${uid} in ${box.paths.mailDir}`);
  }
}

/** A small file where it is expected to be. @returns undefined when it has to be looked for, or read the long way, which reports what fails */
function readQuickly(box: MaildirBox, uid: number): { readonly bytes: Buffer; readonly storedSize: number } | undefined {
  const row = box.state.columns.rowOf(uid);
  if (row < 0 || box.state.columns.isDead(row)) return undefined;
  const size = quickSize(box, row);
  const bytes = size === undefined ? undefined : quickOctets(box, row, () => box.quickReads.read(pathOfRow(box, row), size));
  return size === undefined || bytes === undefined ? undefined : { bytes, storedSize: size };
}

/** A small message as the client sees it, good until the next call. @returns undefined when it has to be read the long way */
export function peekMessage(box: MaildirBox, row: number, times?: FileTimes): Buffer | undefined {
  const size = quickSize(box, row);
  if (size === undefined) return undefined;
  const { native } = box.quickReads;
  if (native === undefined || !putPathOfRow(box, row, native)) {
    return quickOctets(box, row, () => box.quickReads.peek(pathOfRow(box, row), size, times));
  }
  const stored = box.quickReads.peekNative(native, size, times);
  return stored === undefined ? undefined : asServed(box, row, stored);
}

/** Learns the dates of messages that are read for something else. */
export class DateNotes {
  readonly times: FileTimes = { mtimeMs: 0, ctimeMs: 0 };
  readonly #box: MaildirBox;
  readonly #learned: LearnedSizes[] = [];

  constructor(box: MaildirBox) {
    this.#box = box;
  }

  isMissing(row: number): boolean {
    const { columns } = this.#box.state;
    return columns.internalDate[row] === unknown32 || columns.saveDate[row] === unknown32;
  }

  /** `times` are those of this message. */
  take(uid: number): void {
    const times = { internalDate: seconds(this.times.mtimeMs), saveDate: seconds(this.times.ctimeMs) };
    this.#learned.push({ uid, size: unknown32, virtualSize: unknown32, ...keepKnown(this.#box, uid, times) });
  }

  save(): void {
    if (this.#learned.length > 0) this.#box.index.append([sizesRecord(this.#learned.sort((a, b) => a.uid - b.uid))]);
    this.#learned.length = 0;
  }
}

/** Octets of a file that may be read in the event loop. */
function quickSize(box: MaildirBox, row: number): number | undefined {
  if (!box.options.ignoreSizesInNames) box.state.fillSizesFromName(row);
  const size = box.state.columns.size[row] as number;
  return size > maxQuickBytes ? undefined : size;
}

function quickOctets(box: MaildirBox, row: number, read: () => Buffer | undefined): Buffer | undefined {
  try {
    const stored = read();
    return stored === undefined ? undefined : asServed(box, row, stored);
  } catch {
    return undefined;
  }
}

function asServed(box: MaildirBox, row: number, stored: Buffer): Buffer {
  const isAsStored = ((box.state.columns.bits[row] as number) & rowBit.asStored) !== 0;
  return isAsStored ? stored : toCrlf(stored, false);
}

/** Whether the open file needs no conversion; wrong sizes in the name are noticed here and corrected in the background. */
export function isAsStored(box: MaildirBox, uid: number, fd: number): boolean {
  const { state } = box;
  const row = state.columns.rowOf(uid);
  if (row < 0) return false;
  if (!box.options.ignoreSizesInNames) state.fillSizesFromName(row);
  const size = state.columns.size[row] as number;
  if (size !== unknown32 && size !== fstatSync(fd).size) {
    state.columns.size[row] = unknown32;
    state.columns.virtualSize[row] = unknown32;
    state.columns.bits[row] = (state.columns.bits[row] as number) & ~rowBit.asStored;
    correctSizes(box, uid);
    return false;
  }
  return ((state.columns.bits[row] as number) & rowBit.asStored) !== 0;
}

export interface FactNeeds {
  readonly size: boolean;
  readonly internalDate: boolean;
  readonly saveDate: boolean;
}

/** Makes the needed columns known. @returns UIDs that are gone */
export async function learnFacts(box: MaildirBox, uids: readonly number[], needs: FactNeeds, signal: AbortSignal): Promise<number[]> {
  const { state } = box;
  const { columns } = state;
  const missing: number[] = [];
  for (const uid of uids) {
    const row = columns.rowOf(uid);
    if (row < 0) continue;
    if (needs.size && !box.options.ignoreSizesInNames) state.fillSizesFromName(row);
    const lacks =
      (needs.size && columns.virtualSize[row] === unknown32) ||
      (needs.internalDate && columns.internalDate[row] === unknown32) ||
      (needs.saveDate && columns.saveDate[row] === unknown32);
    if (lacks) missing.push(uid);
  }
  if (missing.length === 0) return missing;
  const learned: LearnedSizes[] = [];
  const gone: number[] = [];
  const others: number[] = [];
  const slicer = new Slicer();
  for (const uid of missing) {
    const fact = learnQuickly(box, uid, needs);
    if (fact === undefined) others.push(uid);
    else learned.push(fact);
    if (slicer.isDue) await slicer.pause();
    signal.throwIfAborted();
  }
  await eachLimit(others, filesInFlight, async (uid) => {
    const fact = await learnOne(box, uid, needs, signal);
    if (fact === undefined) gone.push(uid);
    else learned.push(fact);
  });
  if (learned.length > 0) box.index.append([sizesRecord(learned.sort((a, b) => a.uid - b.uid))]);
  return gone;
}

/** Dates that one stat tells. @returns undefined when more is needed, or storage is slow */
function learnQuickly(box: MaildirBox, uid: number, needs: FactNeeds): LearnedSizes | undefined {
  const { columns } = box.state;
  const row = columns.rowOf(uid);
  if (row < 0 || columns.isDead(row) || (needs.size && columns.virtualSize[row] === unknown32)) return undefined;
  const { storage } = box.quickReads;
  if (storage.isPaused) return undefined;
  try {
    const stat = storage.run(() => statSync(pathOfRow(box, row), { throwIfNoEntry: false }));
    if (stat === undefined) return undefined;
    const times = { internalDate: seconds(stat.mtimeMs), saveDate: seconds(stat.ctimeMs) };
    return { uid, size: unknown32, virtualSize: unknown32, ...keepKnown(box, uid, times) };
  } catch {
    // The long way reports what fails.
    return undefined;
  }
}

async function learnOne(box: MaildirBox, uid: number, needs: FactNeeds, signal: AbortSignal): Promise<LearnedSizes | undefined> {
  const { columns } = box.state;
  const row = columns.rowOf(uid);
  if (row < 0 || columns.isDead(row)) return undefined;
  const needsCount = needs.size && columns.virtualSize[row] === unknown32;
  if (!needsCount) {
    const times = await datesOf(pathOfRow(box, row));
    if (times !== undefined) return { uid, size: unknown32, virtualSize: unknown32, ...keepKnown(box, uid, times) };
  }
  const fd = await openByUid(box, uid, signal);
  if (fd === undefined) return undefined;
  try {
    const stat = fstatSync(fd);
    const times = { internalDate: seconds(stat.mtimeMs), saveDate: seconds(stat.ctimeMs) };
    return { uid, size: stat.size, virtualSize: await virtualSizeOf(fd, stat.size), ...keepKnown(box, uid, times) };
  } catch (error) {
    throw storageErrorOf(error, `read message ${uid} in ${box.paths.mailDir}`);
  } finally {
    await closeFile(fd);
  }
}

function keepKnown(
  box: MaildirBox,
  uid: number,
  times: { readonly internalDate: number; readonly saveDate: number },
): { internalDate: number; saveDate: number } {
  const { columns } = box.state;
  const row = columns.rowOf(uid);
  return {
    internalDate: columns.internalDate[row] === unknown32 ? times.internalDate : unknown32,
    saveDate: columns.saveDate[row] === unknown32 ? times.saveDate : unknown32,
  };
}

function datesOf(path: string | Buffer): Promise<{ internalDate: number; saveDate: number } | undefined> {
  return new Promise((resolve, reject) => {
    statCallback(path, (error, stat) => {
      if (error === null) resolve({ internalDate: seconds(stat.mtimeMs), saveDate: seconds(stat.ctimeMs) });
      else if (error.code === 'ENOENT') resolve(undefined);
      else reject(storageErrorOf(error, 'stat a message'));
    });
  });
}

function seconds(ms: number): number {
  return Math.min(0xfffffffe, Math.max(0, Math.floor(ms / 1000)));
}

const countBlockBytes = 256 * 1024;

async function virtualSizeOf(fd: number, size: number): Promise<number> {
  let virtualSize = size;
  let isAfterCr = false;
  for (let at = 0; at < size; at += countBlockBytes) {
    const block = await readAt(fd, at, Math.min(countBlockBytes, size - at));
    virtualSize += countBareLineFeeds(block, isAfterCr);
    isAfterCr = block.at(-1) === 0x0d;
  }
  return virtualSize;
}
