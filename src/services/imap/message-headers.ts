// Reads header fields and dates of many messages, slice by slice, without keeping the event loop.
import { type FieldSet, fieldText, splitHeader } from '#mail/header.js';
import type { MailboxView } from '#storage/mailbox.js';
import type { MessageNeeds } from '#storage/types.js';
import { TimeSlice } from './time-slice.js';
import type { Progress } from './work-progress.js';

/** Messages prepared at once; the contract allows 1,000, fewer keep the pauses short. */
const sliceSize = 250;

/**
 * Calls `visit` for each message that is still there, in order, while its needs can be read.
 * @throws StorageError, the signal's reason
 */
export async function forEachPrepared(
  view: MailboxView,
  seqs: readonly number[],
  needs: MessageNeeds,
  visit: (seq: number) => void,
  signal: AbortSignal,
  progress?: Progress,
): Promise<void> {
  const hasNeeds = Object.keys(needs).length > 0;
  if (progress !== undefined) progress.goal = seqs.length;
  const slice = new TimeSlice();
  for (let start = 0; start < seqs.length; start += sliceSize) {
    const batch = seqs.slice(start, start + sliceSize);
    const gone = new Set(hasNeeds ? await view.prepare(batch, needs, signal) : []);
    for (const seq of batch) {
      if (gone.has(seq)) continue;
      visit(seq);
      if (slice.isOver) await slice.giveWay();
    }
    if (progress !== undefined) progress.done = Math.min(start + sliceSize, seqs.length);
    signal.throwIfAborted();
  }
}

/** Values of the first field of each name, unfolded. */
export function firstFields(block: Buffer, wanted: FieldSet): Map<string, string> {
  const values = new Map<string, string>();
  for (const field of splitHeader(block, wanted)) {
    if (!values.has(field.name)) values.set(field.name, fieldText(block, field));
  }
  return values;
}
