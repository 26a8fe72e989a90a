import { IndexState } from './index-state.js';
import { type Applied, applyRecord } from './log-record.js';

export interface IndexOptions {
  readonly maxKeywordLength: number;
  readonly maxHistoryRanges: number;
}

/** The first modseq of an index made from nothing: microseconds, so that it is above everything an index lost earlier gave out. */
export function freshModSeq(): number {
  return Date.now() * 1000;
}

/** The index of one mailbox, in memory. */
export class MailboxIndex {
  state: IndexState;
  constructor(options: IndexOptions) {
    this.state = new IndexState(options, freshModSeq());
  }
  /** Applies what peers wrote. @returns true when anything changed */
  catchUp(): boolean {
    return false;
  }
  append(records: readonly Buffer[]): Applied[] {
    return records.map((record) => applyRecord(this.state, record));
  }
}
