// The state of one mailbox as the index knows it: columns, names of keywords and suffixes, modseqs, expunge history, and stamps of the
// Maildir files it was made from. It changes only through `applyRecord` (apply-record.ts), which is deterministic: processes that read
// the same log have the same state, modseqs included.
import { KeywordTable } from '../keyword-table.js';
import { Columns, rowBit, unknown32 } from './columns.js';
import { ExpungeHistory } from './expunge-history.js';
import { SuffixTable } from './suffix-table.js';

/** What a folder or file looked like when its contents were last known. mtime in ms, 0: unknown. */
export interface FileStamp {
  readonly inode: number;
  readonly size: number;
  readonly mtimeMs: number;
}

export interface Stamps {
  readonly newMtimeMs: number;
  /** Look at new/ again at this time even if its mtime is the same (a change may hide in the clock's granularity); 0: no need. ms. */
  readonly newRecheckAtMs: number;
  readonly curMtimeMs: number;
  readonly curRecheckAtMs: number;
  readonly uidList: FileStamp;
  readonly keywordsFile: FileStamp;
}

export const noStamp: FileStamp = { inode: 0, size: 0, mtimeMs: 0 };
export const noStamps: Stamps = {
  newMtimeMs: 0,
  newRecheckAtMs: 0,
  curMtimeMs: 0,
  curRecheckAtMs: 0,
  uidList: noStamp,
  keywordsFile: noStamp,
};

/** The first modseq of an index made from nothing: microseconds, so that it is above everything an index lost earlier gave out. */
export function freshModSeq(): number {
  return Date.now() * 1000;
}

/** Keywords of one mailbox; far above what any client uses, far below what hurts. */
export const maxKeywords = 1000;

export interface IndexLimits {
  /** Octets. */
  readonly maxKeywordLength: number;
  /** Ranges of expunged UIDs remembered. */
  readonly maxHistoryRanges: number;
}

export class IndexState {
  readonly columns = new Columns();
  readonly suffixes = new SuffixTable();
  readonly keywords: KeywordTable;
  readonly history: ExpungeHistory;
  /** 32 hex digits. */
  guid = '';
  uidValidity = 0;
  uidNext = 1;
  highestModSeq: number;
  /** Messages from this UID on have been taken by no view (\Recent). */
  firstRecentUid = 1;
  stamps: Stamps = noStamps;
  /** Keyword of each letter a to z in file names; '' for a free letter. */
  letters: readonly string[] = [];
  /** Header fields of dovecot-uidlist that we keep for others (`P...`). */
  uidListExtras: readonly string[] = [];
  liveCount = 0;
  /** Expunges ever applied to this object: views compare it to notice them. */
  expungeCount = 0;
  /** Octets of the cache file that `cacheOffset` knows about, and the file's id; 0: none. */
  cacheLength = 0;
  cacheId = 0;
  /** Lists of header field names that cache records refer to by number. */
  readonly cacheNames = new Map<number, readonly string[]>();
  /** When a learned name was asked for last, in days since 1970. */
  readonly cacheNameDays = new Map<string, number>();

  readonly #sets: (readonly string[])[] = [];
  readonly #idBySet = new Map<readonly string[], number>();

  constructor(limits: IndexLimits, firstModSeq: number) {
    this.keywords = new KeywordTable({ maxKeywords, maxLength: limits.maxKeywordLength });
    this.highestModSeq = firstModSeq;
    this.history = new ExpungeHistory(firstModSeq, limits.maxHistoryRanges);
    this.keywordSetId(this.keywords.intern([]));
  }

  /** Id 0 is the empty set. @param set interned by `keywords` */
  keywordSetId(set: readonly string[]): number {
    const known = this.#idBySet.get(set);
    if (known !== undefined) return known;
    const id = this.#sets.length;
    this.#sets.push(set);
    this.#idBySet.set(set, id);
    return id;
  }

  get keywordSetCount(): number {
    return this.#sets.length;
  }

  keywordSetAt(id: number): readonly string[] {
    const set = this.#sets[id];
    if (set === undefined) throw new RangeError(`keyword set ${id}`);
    return set;
  }

  keywordsOf(row: number): readonly string[] {
    return this.keywordSetAt(this.columns.keywordSet[row] as number);
  }

  get highestUid(): number {
    return this.columns.length === 0 ? 0 : (this.columns.uid[this.columns.length - 1] as number);
  }

  markDead(row: number): void {
    this.columns.bits[row] = (this.columns.bits[row] as number) | rowBit.dead;
    this.liveCount -= 1;
    this.expungeCount += 1;
  }

  get hasDeadRows(): boolean {
    return this.liveCount !== this.columns.length;
  }

  /** Sizes from `,S=` and `,W=` of the base name where the columns do not have them. */
  fillSizesFromName(row: number): void {
    const columns = this.columns;
    if (columns.size[row] !== unknown32 && columns.virtualSize[row] !== unknown32) return;
    const start = (columns.nameStart[row] as number) + (columns.extensionLength[row] as number);
    const end = start + (columns.nameLength[row] as number);
    const heap = columns.heap;
    for (let index = start; index + 3 < end; index += 1) {
      if (heap[index] !== 0x2c || heap[index + 2] !== 0x3d) continue;
      const letter = heap[index + 1];
      if (letter !== 0x53 && letter !== 0x57) continue;
      let value = 0;
      let digits = 0;
      for (index += 3; index < end; index += 1) {
        const digit = (heap[index] as number) - 48;
        if (digit < 0 || digit > 9) break;
        value = value * 10 + digit;
        digits += 1;
      }
      index -= 1;
      if (digits === 0 || value >= unknown32) continue;
      if (letter === 0x53) {
        if (columns.size[row] === unknown32) columns.size[row] = value;
      } else if (columns.virtualSize[row] === unknown32) columns.virtualSize[row] = value;
    }
    if (columns.size[row] !== unknown32 && columns.size[row] === columns.virtualSize[row]) {
      columns.bits[row] = (columns.bits[row] as number) | rowBit.asStored;
    }
  }
}
