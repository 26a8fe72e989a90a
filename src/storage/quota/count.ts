// The `count` backend: the sum of what the mailboxes' own indexes say. Nothing is written; a mailbox is asked again only when its folders have
// changed.
import { StorageError } from '../errors.js';
import type { Mailbox } from '../mailbox.js';
import type { MailboxStatus } from '../types.js';
import { stampOf } from './count-maildirs.js';
import { HeldRoom, type UsageBackend, type UsageCount } from './usage.js';

/** Other processes' changes are noticed after this, or after so many times what counting costs; our own at once. */
const leastRecheckMs = 200;
const mostRecheckMs = 5000;
const recheckFactor = 50;
/** A folder that changed less than this before it was looked at may change again without another time stamp. */
const settledMs = 1000;
/** How often mailboxes may go while they are counted until the count is taken as it is. */
const mostTurns = 5;

export interface CountedMailbox {
  readonly name: string;
  readonly mailDir: string;
  open(signal: AbortSignal): Promise<Mailbox>;
}

export interface CountOptions {
  readonly mailboxes: (signal: AbortSignal) => Promise<readonly CountedMailbox[]>;
  readonly now?: () => number;
}

interface Remembered extends UsageCount {
  readonly stamp: string;
}

export function createCountBackend({ mailboxes, now = Date.now }: CountOptions): UsageBackend {
  const remembered = new Map<string, Remembered>();
  let total: UsageCount = { bytes: 0, messages: 0 };
  let recheckMs = leastRecheckMs;
  let checkedMs = Number.NEGATIVE_INFINITY;
  let counting: Promise<UsageCount> | undefined;
  /** Changes of our own while a count is under way may or may not be in it: count again. */
  let changes = 0;
  let changesWhenCounting = 0;

  /** `isWhole`: false when mailboxes have gone since they were listed. */
  const addUp = async (signal: AbortSignal): Promise<UsageCount & { readonly isWhole: boolean }> => {
    const startedMs = now();
    const present = new Set<string>();
    let bytes = 0;
    let messages = 0;
    let isWhole = true;
    for (const mailbox of await mailboxes(signal)) {
      present.add(mailbox.mailDir);
      const stamp = `${await stampOf(`${mailbox.mailDir}/cur`)} ${await stampOf(`${mailbox.mailDir}/new`)}`;
      let known = remembered.get(mailbox.mailDir);
      if (known === undefined || known.stamp !== stamp || stamp === ' ') {
        const status = await statusOf(mailbox, signal);
        if (status === undefined) isWhole = false;
        known = { stamp, bytes: status?.size ?? 0, messages: status?.messages ?? 0 };
        if (status !== undefined && startedMs - changedMs(stamp) >= settledMs) remembered.set(mailbox.mailDir, known);
        else remembered.delete(mailbox.mailDir);
      }
      bytes += known.bytes;
      messages += known.messages;
    }
    for (const mailDir of remembered.keys()) if (!present.has(mailDir)) remembered.delete(mailDir);
    return { bytes, messages, isWhole };
  };

  const count = async (signal: AbortSignal): Promise<UsageCount> => {
    const changesBefore = changes;
    changesWhenCounting = changes;
    const startedMs = now();
    let sum = await addUp(signal);
    // What was renamed meanwhile is there under a name that was not listed.
    for (let turn = 1; !sum.isWhole && turn < mostTurns; turn += 1) sum = await addUp(signal);
    const { bytes, messages } = sum;
    total = { bytes, messages };
    recheckMs = Math.min(mostRecheckMs, Math.max(leastRecheckMs, (now() - startedMs) * recheckFactor));
    checkedMs = changes === changesBefore ? startedMs : Number.NEGATIVE_INFINITY;
    return total;
  };

  return {
    room: new HeldRoom(),

    async usage(signal) {
      if (now() - checkedMs < recheckMs) return total;
      // One that began before our own last change may lack it.
      if (changes !== changesWhenCounting) await counting?.catch(() => undefined);
      counting ??= count(signal).finally(() => {
        counting = undefined;
      });
      return counting;
    },

    async currentUsage(signal) {
      // One that is under way may have passed a mailbox before it changed.
      await counting?.catch(() => undefined);
      counting ??= count(signal).finally(() => {
        counting = undefined;
      });
      return counting;
    },

    async recount(signal) {
      remembered.clear();
      checkedMs = Number.NEGATIVE_INFINITY;
      return count(signal);
    },

    async forget() {
      changes += 1;
      checkedMs = Number.NEGATIVE_INFINITY;
    },

    async add(bytes, messages) {
      changes += 1;
      total = { bytes: Math.max(0, total.bytes + bytes), messages: Math.max(0, total.messages + messages) };
    },
  };
}

/** Undefined when it is gone: nobody else's mailbox may keep a save from its place. */
async function statusOf(mailbox: CountedMailbox, signal: AbortSignal): Promise<MailboxStatus | undefined> {
  try {
    return await (await mailbox.open(signal)).status({ size: true }, signal);
  } catch (error) {
    if (error instanceof StorageError && error.code === 'not-found') return undefined;
    throw error;
  }
}

/** @returns ms since the epoch of the latest change of both folders; 0 when there are none */
function changedMs(stamp: string): number {
  return Math.max(0, ...stamp.split(' ').map((part) => Number(part.split('.')[1] ?? 0) / 1_000_000));
}
