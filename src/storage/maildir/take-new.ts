// What opening and syncing a read-write view takes from the mailbox: files in new/, and messages that no session has seen (RFC 3501 2.3.2).
import { recentRecord } from '../index/log-record.js';
import type { MaildirBox } from './box.js';
import { emptyNew } from './flag-store.js';
import { inMemory } from './reconcile.js';

/** A read-write opener takes the new messages out of new/. */
export async function takeNew(box: MaildirBox, signal: AbortSignal): Promise<void> {
  if (box.hasNewFiles()) await inMemory(box, () => emptyNew(box, signal), signal);
}

/** The next view that is opened does not show these messages as \Recent. */
export function claimRecent(box: MaildirBox): void {
  const { state } = box;
  if (state.firstRecentUid <= state.highestUid) box.index.append([recentRecord(state.highestUid + 1)]);
}
