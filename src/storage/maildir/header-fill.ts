// Messages that nothing is known of, read for a search of all of them by a header field: of each file the head, and what it says goes to the cache
// as a record, from which the search takes it (key-scan.ts). Nothing is kept for a message, and no object is made for it.
import { Buffer } from 'node:buffer';
import type { Slicer } from '#util/deadline.js';
import type { CacheFile } from '../index/cache-file.js';
import { rowBit, unknown32 } from '../index/columns.js';
import type { MaildirBox } from './box.js';
import { loadContents } from './contents.js';
import type { NativeFiles } from './native-files.js';
import { toCrlf } from './reader.js';
import { putPathOfRow } from './reconcile.js';
import { Summaries } from './summaries.js';

/** Almost no header is longer; one that is takes the way of single messages. */
const headBytes = 16 * 1024;
/** Written with one call. */
const messagesAtOnce = 256;
/** Several times what the thread pool reads at once. */
const messagesReadSlowly = 128;
const noNames: readonly string[] = [];

export class HeaderFill {
  readonly #box: MaildirBox;
  readonly #field: string;
  readonly #cache: CacheFile;
  readonly #files: NativeFiles;
  /** Number of the list of header names, and the names. */
  readonly #list: number;
  readonly #names: readonly string[] | undefined;
  readonly #summaries: Summaries;
  readonly #head = Buffer.allocUnsafeSlow(headBytes + 1);

  #isInVain = false;

  private constructor(box: MaildirBox, cache: CacheFile, files: NativeFiles, field: string, list: number) {
    this.#box = box;
    this.#field = field;
    this.#cache = cache;
    this.#files = files;
    this.#list = list;
    this.#names = box.state.cacheNames.get(list);
    this.#summaries = new Summaries({}, list, this.#names ?? noNames);
  }

  /** @returns undefined where it cannot be done: no C library, or too many fields are cached already. The cache is open, and `state` up to date with it */
  static begin(box: MaildirBox, field: string): HeaderFill | undefined {
    const { cache, state } = box;
    const files = box.quickReads.nativeForMany;
    const list = files === undefined ? undefined : cache?.learn(state, [field]);
    return cache === undefined || files === undefined || list === undefined ? undefined : new HeaderFill(box, cache, files, field, list);
  }

  /**
   * Makes cache records of those of the messages that have none, as many as the time allows.
   * @param rows first and last
   * @returns the last row that was looked at; less than the first one while storage is slow
   */
  run(rows: readonly [number, number], slicer: Slicer): number {
    const { quickReads, state } = this.#box;
    const { cacheOffset, bits } = state.columns;
    // The cache may have been begun anew meanwhile: there the number may be that of another list, and the record would say that it has fields which it has not.
    this.#isInVain = state.cacheNames.get(this.#list) !== this.#names;
    if (this.#isInVain) return rows[1];
    let made = 0;
    let lastMade = -1;
    let row = rows[0];
    for (; row <= rows[1] && made < messagesAtOnce; row += 1) {
      if (cacheOffset[row] !== 0 || ((bits[row] as number) & rowBit.dead) !== 0) continue;
      if (quickReads.storage.isPaused) break;
      if (this.#add(row)) lastMade = row;
      made += 1;
      if (slicer.isDue) {
        row += 1;
        break;
      }
    }
    if (lastMade >= 0) {
      this.#cache.addRecords(state, this.#summaries.take());
      this.#box.saveCachePositions();
      this.#isInVain = state.columns.cacheOffset[lastMade] === 0;
    }
    return row - 1;
  }

  /**
   * The same for a while, and not in the event loop.
   * @returns UID up to which messages were looked at
   */
  async runSlowly(rows: readonly [number, number], signal: AbortSignal): Promise<number> {
    const { columns } = this.#box.state;
    const uids: number[] = [];
    let row = rows[0];
    for (; row <= rows[1] && uids.length < messagesReadSlowly; row += 1) {
      if (columns.cacheOffset[row] === 0 && ((columns.bits[row] as number) & rowBit.dead) === 0) uids.push(columns.uid[row] as number);
    }
    const last = columns.uid[row - 1] as number;
    if (uids.length > 0) {
      await loadContents(this.#box, uids, { headers: [this.#field] }, signal);
      this.#isInVain = uids.every((uid) => columns.cacheOffset[columns.rowOf(uid)] === 0);
    }
    return last;
  }

  /** Records do not come to the cache: a peer has written at the same time, or it has been thrown away. */
  get isInVain(): boolean {
    return this.#isInVain;
  }

  /** @returns false when the message is to be read the other way */
  #add(row: number): boolean {
    const box = this.#box;
    const { columns } = box.state;
    if (!box.options.ignoreSizesInNames) box.state.fillSizesFromName(row);
    if (!putPathOfRow(box, row, this.#files)) return false;
    const head = this.#head;
    const count = box.quickReads.readNative(this.#files, head, head.length);
    const size = columns.size[row] as number;
    // The size in its name may be wrong, and so may be what follows from that; who reads the message puts it right.
    if (count < 0 || (size !== unknown32 && count !== Math.min(size, head.length))) return false;
    const isAsStored = ((columns.bits[row] as number) & rowBit.asStored) !== 0;
    const stored = head.subarray(0, count);
    return this.#summaries.addHead(columns.uid[row] as number, isAsStored ? stored : toCrlf(stored, false), count < head.length);
  }
}
