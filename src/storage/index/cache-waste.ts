// How much of roost.cache is about messages that are gone: guessed from a sample of those that are there.
import type { CachedMessage } from './cache-record.js';
import { encodeCacheRecord } from './cache-record.js';
import type { IndexState } from './index-state.js';

/** A file up to this size is left as it is. */
const floorBytes = 1024 * 1024;
/** What a message needs at most in common mailboxes: a file with more for each is looked at once it is opened. */
const commonBytes = 2 * 1024;
/** After a look the next one comes when the file has grown by this factor, or the mailbox has shrunk to this part of its messages. */
const growth = 1.5;
const shrinkage = 0.75;
const sampleSize = 64;
/** The file is written anew when it is this many times as large as it would be then. */
const wasteFactor = 2;

export class CacheWaste {
  /** At the last look; 0: none yet. */
  #bytes = 0;
  /** Most messages there were since. */
  #messages = 0;

  isSuspicious(cacheLength: number, messages: number): boolean {
    if (messages > this.#messages) this.#messages = messages;
    if (cacheLength <= floorBytes) return false;
    if (messages < this.#messages * shrinkage) return true;
    return this.#bytes === 0 ? cacheLength > floorBytes + messages * commonBytes : cacheLength > this.#bytes * growth;
  }

  /** @param find what is known of messages */
  async isMostOf(
    state: IndexState,
    { find }: { readonly find: (uids: readonly number[]) => Promise<ReadonlyMap<number, CachedMessage>> },
  ): Promise<boolean> {
    this.#bytes = state.cacheLength;
    this.#messages = state.liveCount;
    const { uids, cached } = sample(state);
    const found = await find(uids);
    let octets = 0;
    for (const [uid, message] of found) octets += encodeCacheRecord(uid, 0, message).length;
    const needed = found.size === 0 ? 0 : (octets / found.size) * cached;
    return state.cacheLength > floorBytes && state.cacheLength > needed * wasteFactor;
  }
}

/** @returns some of the messages of which the cache knows anything, and how many these are */
function sample({ columns }: IndexState): { readonly uids: readonly number[]; readonly cached: number } {
  let cached = 0;
  for (let row = 0; row < columns.length; row += 1) if (isCached(columns, row)) cached += 1;
  const step = Math.max(1, Math.floor(cached / sampleSize));
  const uids: number[] = [];
  let place = 0;
  for (let row = 0; row < columns.length && uids.length < sampleSize; row += 1) {
    if (!isCached(columns, row)) continue;
    if (place % step === 0) uids.push(columns.uid[row] as number);
    place += 1;
  }
  return { uids, cached };
}

function isCached(columns: IndexState['columns'], row: number): boolean {
  return columns.cacheOffset[row] !== 0 && !columns.isDead(row);
}
