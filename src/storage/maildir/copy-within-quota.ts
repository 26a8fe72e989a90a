// COPY and MOVE between mailboxes: room in the quota first, then the messages, then what was used of it.
import type { CopyResult, KeptFlags } from '../mailbox.js';
import type { Uid } from '../types.js';
import { copyMessages, moveMessages } from './copy.js';
import type { MaildirMailboxBase } from './mailbox-base.js';
import { expungedError, learnFacts } from './message-files.js';

export interface CopyOrder {
  /** Where the messages are. */
  readonly mailbox: MaildirMailboxBase;
  /** At least one; in the order the copies are to have. */
  readonly uids: readonly Uid[];
  readonly kept: KeptFlags | undefined;
  readonly isMove: boolean;
}

/** @throws StorageError `expunged`, `over-quota`, and those of `copyMessages` and `moveMessages` */
export async function copyWithinQuota(
  { mailbox, uids, kept, isMove }: CopyOrder,
  target: MaildirMailboxBase,
  signal: AbortSignal,
): Promise<CopyResult> {
  const { box, quota } = mailbox;
  for (const uid of await learnFacts(box, uids, { size: true, internalDate: true, saveDate: false }, signal)) throw expungedError(uid);
  const octetsOf = uids.map((uid) => box.state.columns.virtualSize[box.state.columns.rowOf(uid)] as number);
  const isSameUsage = target.quota === quota || target.quota.sharesUsageWith?.(quota) === true;
  using room = target.quota.beginSave();
  if (!(isMove && isSameUsage)) {
    const wanted = octetsOf.reduce((sum, octets) => sum + octets, 0);
    await room.reserve(wanted, uids.length);
    await room.settle(signal);
  }
  const copied = isMove
    ? await moveMessages({ box, uids, kept }, target.box, signal)
    : await copyMessages({ box, uids, kept }, target.box, signal);
  // Of a move only a part may have been possible.
  const sizes = new Map(uids.map((uid, index) => [uid as number, octetsOf[index] as number]));
  const octets = copied.sourceUids.reduce((sum, uid) => sum + (sizes.get(uid) ?? 0), 0);
  room.commit(octets, copied.sourceUids.length);
  if (isMove) mailbox.quota.changed(-octets, -copied.sourceUids.length);
  return {
    uidValidity: copied.uidValidity,
    sourceUids: copied.sourceUids as readonly Uid[],
    targetUids: copied.targetUids as readonly Uid[],
  };
}
