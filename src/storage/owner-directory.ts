// Finding other users whose mailboxes are shared. The names come from clients, so that what is asked is bounded: each name is checked before it is
// looked up, answers are remembered, also that there is nobody, and a user who asks for many that are not there has to wait.
import { LRUCache } from 'lru-cache';
import type { Logger } from '#log/logger.js';
import { sleep } from '#util/deadline.js';
import { StorageError } from './errors.js';
import type { UserdbUser } from './userdb-user.js';

/** Asks userdb. @returns undefined when there is no such user @throws when userdb cannot be asked */
export type FindUser = (name: string, signal: AbortSignal) => Promise<UserdbUser | undefined>;

const maxRemembered = 1000;
/** As long as a change in userdb may go unnoticed. */
const rememberMs = 60_000;
const maxNameBytes = 255;
const lookupTimeoutMs = 15_000;
/** A user may ask for this many unknown names in a minute without waiting. */
const freeMisses = 30;
const missWaitMs = 1000;

interface Misses {
  count: number;
  /** Those who wait stand in line. */
  line: Promise<void>;
}

export class OwnerDirectory {
  readonly #find: FindUser;
  readonly #log: Logger;
  readonly #known = new LRUCache<string, { readonly user: UserdbUser | undefined }>({ max: maxRemembered, ttl: rememberMs });
  readonly #asking = new Map<string, Promise<UserdbUser | undefined>>();
  readonly #misses = new LRUCache<string, Misses>({ max: maxRemembered, ttl: 60_000 });

  constructor(find: FindUser, log: Logger) {
    this.#find = find;
    this.#log = log;
  }

  /**
   * @param askedBy whose client named the other
   * @returns undefined for names that cannot be a user's, and for users that are not there
   * @throws StorageError `unavailable` when userdb does not answer
   */
  async find(name: string, askedBy: string, signal: AbortSignal): Promise<UserdbUser | undefined> {
    if (!isOwnerName(name)) return undefined;
    const known = this.#known.get(name);
    if (known !== undefined) return known.user;
    const misses = this.#misses.get(askedBy);
    if (misses !== undefined && misses.count >= freeMisses) await this.#standInLine(misses, signal);
    const user = await this.#ask(name);
    signal.throwIfAborted();
    if (user === undefined) {
      const counted = this.#misses.get(askedBy) ?? { count: 0, line: Promise.resolve() };
      counted.count += 1;
      this.#misses.set(askedBy, counted, { noUpdateTTL: true });
    }
    return user;
  }

  async #standInLine(misses: Misses, signal: AbortSignal): Promise<void> {
    const turn = misses.line.then(() => sleep(missWaitMs, signal));
    misses.line = turn.catch(() => undefined);
    await turn;
  }

  /** One question for all who ask at the same time; it goes on when one of them leaves. */
  #ask(name: string): Promise<UserdbUser | undefined> {
    const asking = this.#asking.get(name);
    if (asking !== undefined) return asking;
    const asked = this.#lookUp(name).finally(() => this.#asking.delete(name));
    this.#asking.set(name, asked);
    return asked;
  }

  async #lookUp(name: string): Promise<UserdbUser | undefined> {
    try {
      const found = await this.#find(name, AbortSignal.timeout(lookupTimeoutMs));
      // One spelling for each mailbox: what userdb knows under another name is listed under that.
      const user = found?.user === name ? { user: found.user, fields: storageFields(found.fields) } : undefined;
      this.#known.set(name, { user });
      return user;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#log.error('storage.shared-owner', `userdb lookup of ${JSON.stringify(name)} failed: ${reason}`, { error });
      throw new StorageError('unavailable', `userdb lookup of ${JSON.stringify(name)} failed`, { cause: error });
    }
  }
}

/** What mail is found and counted by; nothing else of another user is kept. */
function storageFields(fields: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(fields).filter(([key]) => /^(?:home|mail|mail_location|uid|gid|acl_.*|quota.*)$/.test(key)));
}

/** Like a login name; the name, and what is before and behind its `@`, may become components of paths and parts of locations. */
export function isOwnerName(name: string): boolean {
  if (name === '' || Buffer.byteLength(name) > maxNameBytes || /[\x00-\x20\x7f-\x9f/\\:*%?"'~]/.test(name)) return false;
  return ![name, ...name.split('@')].some((part) => part === '' || part === '.' || part === '..');
}
