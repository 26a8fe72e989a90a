// The second half of adopting files: they are put in order, get UIDs, and go into dovecot-uidlist and the index. In columns: a folder seen for the
// first time may hold a million files.
import { renameSync } from 'node:fs';
import { errnoOf } from '#util/coded-error.js';
import { putDecimal, putLatin1 } from '#util/put-text.js';
import { unknown32 } from '../index/columns.js';
import { recentRecord } from '../index/log-record.js';
import type { NewRows } from '../index/new-rows.js';
import type { MaildirBox } from './box.js';
import { addRows, commit } from './commit.js';
import { storageErrorOf } from './file-calls.js';
import { arrivalOf, baseLength, pathIn } from './file-name.js';
import type { FoundFile, FoundFiles } from './found-files.js';
import { keywordsFromName } from './keyword-mapping.js';
import { rewriteListing } from './listing.js';
import { uidInName } from './uid-in-name.js';

const linesBytes = 256 * 1024;
/** Longer than any name of a file, with its UID. */
const maxLineBytes = 512;

/** Records of gone messages make up more than a quarter of the list: replace it. */
const compactAbove = 4 / 3;

/**
 * The caller holds the dot lock.
 * @param files without a row in the index; those that `box.unclaimed` names get the UID it says
 * @param returned base names among them to which the list still gives a UID that is no longer theirs
 */
export async function giveUids(box: MaildirBox, files: FoundFiles, returned: ReadonlySet<string>): Promise<void> {
  const { state } = box;
  const isFirst = state.columns.length === 0 && state.firstRecentUid === 1;
  const found = new FoundColumns(box, files);
  const { listed, unlisted } = found.sortOut();
  if (listed.length + unlisted.length === 0) return;
  const last = listed.at(-1);
  let next = state.uidNext;
  if (last !== undefined) next = Math.max(next, (found.uid[last] as number) + 1);
  const given = found.namedFirst(unlisted, next);
  for (const index of given) {
    const uid = (found.uid[index] as number) || next;
    found.uid[index] = uid;
    next = uid + 1;
  }
  await writeList(box, found, given, returned);
  const order = joined(listed, given);
  const saveDateOf = saveDates(box);
  if (saveDateOf === undefined) found.forgetArrivals();
  await addRows(box, found.rows(order, saveDateOf));
  if (box.unclaimed.size > 0) for (const index of order) box.unclaimed.delete(found.baseName(index));
  // Seen for the first time: what lies in cur/ has been taken by some reader before.
  if (isFirst) await commit(box, [recentRecord(found.firstRecent(order, box.state.uidNext))]);
}

/**
 * When a message was saved (RFC 8514 3): between the last look at the folder and now, and at the second that its name tells where that is between them.
 * What another program has moved here under an old name was saved later than its name says.
 * @returns of the second in a name; undefined on the first look, when nobody knows
 */
function saveDates(box: MaildirBox): ((named: number) => number) | undefined {
  const { columns, stamps } = box.state;
  const changedMs = Math.max(stamps.newMtimeMs, stamps.curMtimeMs);
  if (columns.length === 0 && changedMs === 0) return undefined;
  const now = Math.floor(Date.now() / 1000);
  const since = Math.floor(Math.max(box.lookedAtMs, changedMs) / 1000);
  return (named) => (since > 0 && named >= since && named <= now ? named : now);
}

function joined(first: Uint32Array, second: Uint32Array): Uint32Array {
  if (first.length === 0) return second;
  const both = new Uint32Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}

async function writeList(box: MaildirBox, found: FoundColumns, given: Uint32Array, returned: ReadonlySet<string>): Promise<void> {
  if (given.length === 0) return;
  const { state } = box;
  const liveOctets = state.columns.heapLength + state.columns.length * 9 + 200;
  const isSparse = state.liveCount > 0 && (box.listRead ?? state.stamps.uidList).size > liveOctets * compactAbove + 4096;
  if (!isSparse && !(returned.size > 0 && given.some((index) => returned.has(found.baseName(index))))) {
    box.listRead = box.list.append(found.uidListLines(given));
    if (box.options.fsync === 'never') return;
    try {
      // Before any client is told: after a loss of power the files would be numbered anew, and some of them may be gone by then.
      await box.syncList.request();
    } catch (error) {
      throw storageErrorOf(error, `fsync ${box.list.path}`);
    }
    return;
  }
  for (const index of given) box.unclaimed.delete(found.baseName(index));
  let lines = '';
  for (const piece of found.uidListLines(given)) lines += piece.toString('latin1');
  await rewriteListing(box, lines);
}

/** The files as columns, one place each. */
class FoundColumns {
  readonly uid: Uint32Array;
  readonly #box: MaildirBox;
  readonly #count: number;
  readonly #files: FoundFiles;
  /** Places in `#files`, where some of them were left out. */
  #places: Uint32Array | undefined;
  /** Names that were no use and have been changed. */
  readonly #renamed = new Map<number, string>();
  readonly #isInNew: Uint8Array;
  readonly #baseLengths: Uint16Array;
  readonly #suffixes: Uint32Array;
  /** Arrival. */
  #seconds: Float64Array;
  /** Given up once the files are in order. */
  #micros: Uint32Array;
  readonly #extensions = new Map<number, string>();
  /** What names say. */
  readonly #namedUids = new Map<number, number>();
  #lastSuffix = '';
  #lastSuffixId = 0;

  constructor(box: MaildirBox, files: FoundFiles) {
    this.#box = box;
    this.#files = files;
    this.uid = new Uint32Array(files.length);
    this.#isInNew = new Uint8Array(files.length);
    this.#baseLengths = new Uint16Array(files.length);
    this.#suffixes = new Uint32Array(files.length);
    this.#seconds = new Float64Array(files.length);
    this.#micros = new Uint32Array(files.length);
    let count = 0;
    for (let place = 0; place < files.length; place += 1) {
      const fileName = files.nameAt(place);
      const isInNew = files.isInNewAt(place);
      const name = usableName(box, { fileName, isInNew });
      if (name === undefined) {
        this.#places ??= Uint32Array.from({ length: files.length }, (_, index) => index);
        continue;
      }
      const length = baseLength(name);
      if (this.#places !== undefined) this.#places[count] = place;
      if (name !== fileName) this.#renamed.set(count, name);
      this.#isInNew[count] = isInNew ? 1 : 0;
      this.#baseLengths[count] = length;
      this.#suffixes[count] = this.#suffixId(name, length);
      const [seconds, micros] = arrivalOf(name);
      this.#seconds[count] = seconds;
      this.#micros[count] = micros;
      const uid = uidInName(name, box.state.guid);
      if (uid > 0) this.#namedUids.set(count, uid);
      count += 1;
    }
    this.#count = count;
  }

  baseName(index: number): string {
    return this.#nameAt(index).slice(0, this.#baseLengths[index]);
  }

  #copyBaseName(index: number, target: Buffer, at: number): void {
    const length = this.#baseLengths[index] as number;
    const renamed = this.#renamed.size === 0 ? undefined : this.#renamed.get(index);
    if (renamed !== undefined) putLatin1(target, at, renamed, length);
    else this.#files.copyName(this.#placeOf(index), target, at, length);
  }

  #placeOf(index: number): number {
    return this.#places === undefined ? index : (this.#places[index] as number);
  }

  #nameAt(index: number): string {
    return this.#renamed.get(index) ?? this.#files.nameAt(this.#placeOf(index));
  }

  /** Places of files that the list names, ascending by UID, and of the others in order of arrival. A second file of a base name is left out. */
  sortOut(): { readonly listed: Uint32Array; readonly unlisted: Uint32Array } {
    const { unclaimed, state } = this.#box;
    const listed: number[] = [];
    const unlisted = new Uint32Array(this.#count);
    let unlistedCount = 0;
    for (let index = 0; index < this.#count; index += 1) {
      const record = unclaimed.size === 0 ? undefined : unclaimed.get(this.baseName(index));
      if (record === undefined || record.uid <= state.highestUid) {
        unlisted[unlistedCount] = index;
        unlistedCount += 1;
        continue;
      }
      this.uid[index] = record.uid;
      if (record.extension !== '') this.#extensions.set(index, record.extension);
      listed.push(index);
    }
    const byUid = Uint32Array.from(listed).sort((a, b) => (this.uid[a] as number) - (this.uid[b] as number) || a - b);
    const byArrival = unlisted.subarray(0, unlistedCount).sort((a, b) => this.#compareArrival(a, b));
    const sorted = { listed: this.#withoutTwins(byUid), unlisted: this.#withoutTwins(byArrival) };
    this.#micros = new Uint32Array(0);
    return sorted;
  }

  /**
   * Gives UIDs to those files whose names say one, no lower than `least`.
   * @returns the same places, with these first, ascending
   */
  namedFirst(unlisted: Uint32Array, least: number): Uint32Array {
    if (this.#namedUids.size === 0) return unlisted;
    const byUid = new Map<number, number>();
    for (const index of unlisted) {
      const uid = this.#namedUids.get(index) ?? 0;
      if (uid >= least && !byUid.has(uid)) byUid.set(uid, index);
    }
    const named = Uint32Array.from(byUid.keys()).sort();
    for (const uid of named) this.uid[byUid.get(uid) as number] = uid;
    return joined(
      named.map((uid) => byUid.get(uid) as number),
      unlisted.filter((index) => this.uid[index] === 0),
    );
  }

  /** Lines of dovecot-uidlist, whole ones in each piece; a piece is good until the next one. */
  *uidListLines(order: Uint32Array): Generator<Buffer> {
    const lines = Buffer.allocUnsafeSlow(Math.min(linesBytes, order.length * maxLineBytes));
    let at = 0;
    for (const index of order) {
      if (at + maxLineBytes > lines.length) {
        yield lines.subarray(0, at);
        at = 0;
      }
      at = putDecimal(lines, at, this.uid[index] as number);
      lines[at] = 0x20;
      lines[at + 1] = 0x3a;
      this.#copyBaseName(index, lines, at + 2);
      at += 2 + (this.#baseLengths[index] as number);
      lines[at] = 0x0a;
      at += 1;
    }
    yield lines.subarray(0, at);
  }

  /** Saves memory where nobody asks for them any more. */
  forgetArrivals(): void {
    this.#seconds = new Float64Array(0);
  }

  rows(order: Uint32Array, saveDateOf: ((named: number) => number) | undefined): NewRows {
    const { state } = this.#box;
    const suffixes = this.#suffixes;
    const placeOf = (at: number): number => order[at] as number;
    const keywordSets = new Map<number, number>();
    const keywordSetOf = (suffix: number, letters: number): number => {
      let set = keywordSets.get(suffix);
      if (set === undefined) {
        set = state.keywordSetId(state.keywords.intern(keywordsFromName(state, letters, [])));
        keywordSets.set(suffix, set);
      }
      return set;
    };
    return {
      count: order.length,
      uidAt: (at) => this.uid[placeOf(at)] as number,
      flagsAt: (at) => state.suffixes.at(suffixes[placeOf(at)] as number).flags,
      isInNewAt: (at) => this.#isInNew[placeOf(at)] === 1,
      keywordSetAt: (at) => {
        const id = suffixes[placeOf(at)] as number;
        const { letters } = state.suffixes.at(id);
        return letters === 0 ? 0 : keywordSetOf(id, letters);
      },
      suffixAt: (at) => suffixes[placeOf(at)] as number,
      copyBaseName: (at, target, to) => this.#copyBaseName(placeOf(at), target, to),
      baseLengthAt: (at) => this.#baseLengths[placeOf(at)] as number,
      extensionAt: (at) => (this.#extensions.size === 0 ? '' : (this.#extensions.get(placeOf(at)) ?? '')),
      saveDateAt: (at) => saveDateOf?.(this.#seconds[placeOf(at)] as number) ?? unknown32,
      internalDate: unknown32,
    };
  }

  /** The lowest UID of a file in new/, else `none`. */
  firstRecent(order: Uint32Array, none: number): number {
    let lowest = none;
    for (const index of order) if (this.#isInNew[index] === 1) lowest = Math.min(lowest, this.uid[index] as number);
    return lowest;
  }

  /** Files that came together often have the same flags. */
  #suffixId(name: string, length: number): number {
    if (length === name.length) return 0;
    const suffix = name.slice(length);
    if (suffix !== this.#lastSuffix) {
      this.#lastSuffix = suffix;
      this.#lastSuffixId = this.#box.state.suffixes.idOf(suffix);
    }
    return this.#lastSuffixId;
  }

  #compareArrival(a: number, b: number): number {
    const seconds = (this.#seconds[a] as number) - (this.#seconds[b] as number);
    if (seconds !== 0) return seconds;
    const micros = (this.#micros[a] as number) - (this.#micros[b] as number);
    if (micros !== 0) return micros;
    const aName = this.baseName(a);
    const bName = this.baseName(b);
    return aName < bName ? -1 : aName > bName ? 1 : a - b;
  }

  /** Sorted, files of one base name are neighbours; the second becomes a duplicate at the next scan. */
  #withoutTwins(order: Uint32Array): Uint32Array {
    let single = 1;
    while (single < order.length && !this.#isTwin(order[single - 1] as number, order[single] as number)) single += 1;
    if (single >= order.length) return order;
    return order.filter((index, at) => at === 0 || !this.#isTwin(order[at - 1] as number, index));
  }

  #isTwin(a: number, b: number): boolean {
    if (this.#micros[a] !== this.#micros[b] || this.#seconds[a] !== this.#seconds[b]) return false;
    return this.#baseLengths[a] === this.#baseLengths[b] && this.baseName(a) === this.baseName(b);
  }
}

const lineEnds = /[\n\r]/;

/** A line end in a name would break the list: the file gets another name. */
function usableName(box: MaildirBox, { fileName, isInNew }: FoundFile): string | undefined {
  if (!lineEnds.test(fileName)) return fileName;
  const folder = isInNew ? box.newDir : box.curDir;
  const length = baseLength(fileName);
  const better = `${box.names.next()}${lineEnds.test(fileName.slice(length)) ? '' : fileName.slice(length)}`;
  try {
    renameSync(pathIn(folder, fileName), pathIn(folder, better));
    return better;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}
