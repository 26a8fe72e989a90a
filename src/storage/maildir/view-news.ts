// What one view has not told its client yet: changed flags, recent messages, keywords.

import type { IndexState } from '../index/index-state.js';
import type { SuspendedView } from '../mailbox.js';
import type { ModSeq } from '../types.js';
import type { Numbering } from './numbering.js';

export class ViewNews {
  #state: IndexState;
  /** Every change up to here has been reported. */
  syncedModSeq: ModSeq;
  uidNext: number;
  /** UIDs this view shows as \Recent, ascending. */
  recentRanges: [number, number][] = [];
  /** There are such. Asked for instead of the ranges where all messages are gone through: arrays change their hidden class with what they hold. */
  hasRecents = false;
  /** Below every expunge that a lost index state may hide. */
  ghostFloor: ModSeq;
  /** Modseqs that our own silent changes took. Undefined: none; an idle session holds little. */
  #silent: Set<ModSeq> | undefined;
  /** Rows that somebody else changed before we changed them silently, by UID. */
  #loud: Set<number> | undefined;
  #announcedKeywords: number;
  #reportedRecent = 0;

  constructor(state: IndexState) {
    this.#state = state;
    this.syncedModSeq = state.highestModSeq;
    this.ghostFloor = state.highestModSeq;
    this.uidNext = state.uidNext;
    this.#announcedKeywords = state.keywords.names.length;
  }

  /** Silent changes have been made that the next sync must leave out. */
  get hasSilent(): boolean {
    return this.#silent !== undefined;
  }

  get announcedKeywords(): number {
    return this.#announcedKeywords;
  }

  get reportedRecent(): number {
    return this.#reportedRecent;
  }

  /** Takes the place of a view that another process has suspended. */
  resume(suspended: SuspendedView): void {
    // Modseqs that start anew (a lost index) cannot tell what is old: everything is reported.
    const isKnown = suspended.highestModSeq <= this.#state.highestModSeq;
    this.syncedModSeq = isKnown ? suspended.highestModSeq : 0;
    this.ghostFloor = this.syncedModSeq;
    this.uidNext = suspended.uidNext;
    this.recentRanges = suspended.recent.map(([first, last]) => [first, last]);
    this.hasRecents = this.recentRanges.length > 0;
    this.#announcedKeywords = Math.min(suspended.keywordCount, this.#state.keywords.names.length);
    this.#reportedRecent = suspended.recentCount;
  }

  start(recentCount: number): void {
    this.#reportedRecent = recentCount;
  }

  noteRecent(first: number, last: number): void {
    if (first > last) return;
    this.hasRecents = true;
    const previous = this.recentRanges.at(-1);
    if (previous !== undefined && first <= previous[1] + 1) previous[1] = Math.max(previous[1], last);
    else this.recentRanges.push([first, last]);
  }

  /** Every change up to this one has been told. */
  highestTold(numbering: Numbering): ModSeq {
    if (!numbering.hasUntold) return this.syncedModSeq;
    let lowest = this.syncedModSeq;
    const { columns } = numbering.state;
    for (let seq = 1; seq <= numbering.count; seq += 1) {
      const row = numbering.rowAt(seq);
      if (row < 0) return Math.min(lowest, this.ghostFloor);
      if (columns.isDead(row)) lowest = Math.min(lowest, (columns.modSeq[row] as number) - 1);
    }
    return lowest;
  }

  /** Any of these UIDs. */
  hasRecent(firstUid: number, lastUid: number): boolean {
    return this.hasRecents && this.recentRanges.some(([first, last]) => first <= lastUid && last >= firstUid);
  }

  isRecent(uid: number): boolean {
    const ranges = this.recentRanges;
    for (let index = 0; index < ranges.length; index += 1) {
      const range = ranges[index] as [number, number];
      if (uid >= range[0] && uid <= range[1]) return true;
    }
    return false;
  }

  /** Before a row gets a new modseq: a silent change must not hide what somebody else did and we have not told. */
  aboutToChange(row: number, isSilent: boolean): void {
    if (!isSilent) return;
    const modSeq = this.#state.columns.modSeq[row] as number;
    if (modSeq <= this.syncedModSeq || this.#silent?.has(modSeq) === true) return;
    this.#loud ??= new Set();
    this.#loud.add(this.#state.columns.uid[row] as number);
  }

  addSilent(modSeq: ModSeq): void {
    this.#silent ??= new Set();
    this.#silent.add(modSeq);
  }

  /** Ascending sequence numbers with unreported changes; expunged messages are left out. */
  flagsChanged(numbering: Numbering): number[] {
    const changed: number[] = [];
    if (this.#state.highestModSeq <= this.syncedModSeq) return changed;
    const { modSeq } = this.#state.columns;
    for (let seq = 1; seq <= numbering.count; seq += 1) {
      const row = numbering.rowAt(seq);
      if (row >= 0 && (modSeq[row] as number) > this.syncedModSeq && this.#isLoud(row) && !this.#state.columns.isDead(row))
        changed.push(seq);
    }
    return changed;
  }

  hasNews(numbering: Numbering): boolean {
    if (this.#state.keywords.names.length > this.#announcedKeywords) return true;
    if (this.#state.highestModSeq <= this.syncedModSeq) return false;
    return this.flagsChanged(numbering).length > 0;
  }

  /** Everything up to now has been reported. */
  synced(recentCount: number): { readonly newKeywords: boolean; readonly recent: number | undefined } {
    const newKeywords = this.#state.keywords.names.length > this.#announcedKeywords;
    const recent = recentCount === this.#reportedRecent ? undefined : recentCount;
    this.#announcedKeywords = this.#state.keywords.names.length;
    this.#reportedRecent = recentCount;
    this.syncedModSeq = this.#state.highestModSeq;
    this.ghostFloor = this.syncedModSeq;
    this.uidNext = this.#state.uidNext;
    this.#silent = undefined;
    this.#loud = undefined;
    return { newKeywords, recent };
  }

  moveTo(state: IndexState): void {
    this.#state = state;
    this.#announcedKeywords = Math.min(this.#announcedKeywords, state.keywords.names.length);
  }

  /** The state is given up for a while. */
  park(placeholder: IndexState): void {
    this.#state = placeholder;
  }

  #isLoud(row: number): boolean {
    if (this.#silent?.has(this.#state.columns.modSeq[row] as number) !== true) return true;
    return this.#loud?.has(this.#state.columns.uid[row] as number) === true;
  }
}
