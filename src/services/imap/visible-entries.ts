// What LIST may show of a mailbox and of what is below it: who may not look a mailbox up learns nothing of it (RFC 4314 4, 6; RFC 5258 4).
import { allRights } from '#storage/acl.js';
import { StorageError } from '#storage/errors.js';
import type { MailboxListEntry } from '#storage/user.js';
import { isGuarded, myRights } from './rights.js';
import type { Session } from './session.js';

export interface VisibleEntry {
  readonly entry: MailboxListEntry;
  /** All for what is no mailbox. */
  readonly rights: string;
}

export class VisibleEntries {
  readonly #session: Session;
  readonly #signal: AbortSignal;
  /** Everything below those listed that lists may hide. */
  readonly #below: readonly MailboxListEntry[];
  readonly #rights = new Map<string, string | undefined>();

  private constructor(session: Session, below: readonly MailboxListEntry[], signal: AbortSignal) {
    this.#session = session;
    this.#below = below;
    this.#signal = signal;
  }

  /** @param all everything that there is */
  static ofAll(session: Session, all: readonly MailboxListEntry[], signal: AbortSignal): VisibleEntries {
    return new VisibleEntries(session, all, signal);
  }

  static async of(session: Session, listed: readonly MailboxListEntry[], signal: AbortSignal): Promise<VisibleEntries> {
    const tops: string[] = [];
    for (const { name, separator, hasChildren } of listed) {
      if (!hasChildren || !isGuarded(session, name)) continue;
      // Sorted, parents first: what is below one of them comes with it.
      if (!tops.some((top) => name.startsWith(top))) tops.push(name + separator);
    }
    const patterns = tops.map((top) => `${top}*`);
    const below = tops.length === 0 ? [] : await session.user.list(patterns, { subscribedOnly: false }, signal);
    return new VisibleEntries(session, below, signal);
  }

  /**
   * @param showsLevels a mailbox that is hidden shows as a level of the hierarchy where something below it can be seen (RFC 9051 6.3.9: `%`)
   * @returns the entry as it may be shown; undefined when it may not
   */
  async look(entry: MailboxListEntry, showsLevels: boolean): Promise<VisibleEntry | undefined> {
    if (!isGuarded(this.#session, entry.name)) return { entry, rights: allRights };
    const hasChildren = entry.hasChildren && (await this.#showsBelow(entry));
    const shown = { ...entry, hasChildren };
    if (!isMailbox(entry)) {
      const isEmptyLevel = entry.hasChildren && !hasChildren && !entry.isSubscribed && !this.#isNamespace(entry);
      return isEmptyLevel ? undefined : { entry: shown, rights: allRights };
    }
    const rights = (await this.#rightsOn(entry.name)) ?? allRights;
    if (rights.includes('l')) return { entry: shown, rights };
    if (!hasChildren || !showsLevels) return undefined;
    const level = { ...shown, exists: false, isSelectable: false, isSubscribed: false, specialUse: [], isMarked: undefined };
    return { entry: level, rights: allRights };
  }

  /** Also true for what is no mailbox. */
  async canSee(entry: MailboxListEntry): Promise<boolean> {
    return !isMailbox(entry) || !isGuarded(this.#session, entry.name) || ((await this.#rightsOn(entry.name))?.includes('l') ?? false);
  }

  async #showsBelow({ name, separator }: MailboxListEntry): Promise<boolean> {
    for (const entry of this.#below) {
      if (entry.name.startsWith(name + separator) && isMailbox(entry) && (await this.canSee(entry))) return true;
    }
    return false;
  }

  async #rightsOn(name: string): Promise<string | undefined> {
    if (this.#rights.has(name)) return this.#rights.get(name);
    const rights = await rightsNow(this.#session, name, this.#signal);
    this.#rights.set(name, rights);
    return rights;
  }

  #isNamespace({ name, separator }: MailboxListEntry): boolean {
    return this.#session.user.namespaces.some(({ prefix }) => prefix === name + separator);
  }
}

const isMailbox = (entry: MailboxListEntry): boolean => entry.exists && entry.isSelectable;

/** @returns undefined for a mailbox that is not there any more, or not yet */
async function rightsNow(session: Session, name: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    return await myRights(session, name, signal);
  } catch (error) {
    if (error instanceof StorageError) return undefined;
    throw error;
  }
}
