// What the user of an account may do with a mailbox by its access control list, and what others are told when a list changes.
import type { Logger } from '#log/logger.js';
import type { AccountNamespace } from './account-namespace.js';
import { type AclEntry, type AclStore, type AclSubject, grantedRights, ownerRights } from './acl.js';
import type { GlobalAcl } from './acl-global.js';
import { type Reader, readersOf, type SharedDict } from './acl-shared-dict.js';
import type { MailboxPaths } from './driver.js';
import { StorageError } from './errors.js';
import { inboxLevels, type Levels } from './list/name.js';
import { visibleName } from './list/visible-list.js';
import { sharedName } from './shared-namespaces.js';

export interface MailboxAccessOptions {
  readonly subject: AclSubject;
  readonly acls: AclStore;
  /** `acl_defaults_from_inbox`: a mailbox of a private or shared namespace without a list has that of INBOX. */
  readonly defaultsFromInbox: boolean;
  /** `acl_anyone = allow`. */
  readonly allowsAnyone: boolean;
  readonly dict: SharedDict | undefined;
  /** `acl = vfile:PATH`. */
  readonly globals?: GlobalAcl | undefined;
  /** `acl_globals_only`: lists of mailboxes do not hold. */
  readonly globalsOnly?: boolean | undefined;
  readonly log: Logger;
}

export class MailboxAccess {
  readonly options: MailboxAccessOptions;
  readonly #warned = new Set<string>();

  constructor(options: MailboxAccessOptions) {
    this.options = options;
  }

  /** The list itself. @throws StorageError */
  entries(at: AccountNamespace, levels: Levels): Promise<readonly AclEntry[]> {
    return this.options.acls.read(at.tree.pathsOf(levels));
  }

  /** Letters of RFC 4314. Who cannot read another user's files has none. */
  async rights(at: AccountNamespace, levels: Levels): Promise<string> {
    try {
      return await this.#by(at, levels, await this.#effective(at, levels));
    } catch (error) {
      if (at.owner === undefined || !(error instanceof StorageError) || error.code !== 'no-permission') throw error;
      this.#warnOnce(at.owner.name, error);
      return '';
    }
  }

  /** Of a namespace itself, which has a list although it is no mailbox. */
  async rootRights(at: AccountNamespace): Promise<string> {
    return this.#by(at, [], await this.options.acls.read(rootPaths(at)));
  }

  /** After a list of the owner's has changed, or a mailbox with one came or went. Failures are logged: the list itself holds. */
  async told(at: AccountNamespace, trees: readonly AccountNamespace[], signal: AbortSignal): Promise<void> {
    const { dict, subject, log } = this.options;
    const owner = at.owner?.name ?? (at.namespace.type === 'private' ? subject.name : undefined);
    if (dict === undefined || owner === undefined) return;
    try {
      await dict.replace(owner, () => this.#readers(owner, at.owner === undefined ? trees : [at], signal), signal);
    } catch (error) {
      if (signal.aborted) throw error;
      log.error('acl.shared-dict', `${dict.path} cannot be changed: LIST of others may not show what ${owner} shares`, { error });
    }
  }

  async #readers(owner: string, trees: readonly AccountNamespace[], signal: AbortSignal): Promise<ReadonlySet<Reader>> {
    const readers = new Set<Reader>();
    for (const at of trees) {
      const levels = (await at.tree.entries(signal)).filter(({ isMailbox }) => isMailbox).map((entry) => entry.levels);
      for (const each of [inboxLevels, ...levels])
        for (const reader of readersOf(await this.entries(at, each), owner, this.options.allowsAnyone)) readers.add(reader);
    }
    return readers;
  }

  async #effective(at: AccountNamespace, levels: Levels): Promise<readonly AclEntry[]> {
    if (this.options.globalsOnly === true) return [];
    const own = await this.entries(at, levels);
    if (own.length > 0 || !this.options.defaultsFromInbox || at.namespace.type === 'public') return own;
    return this.entries(at, inboxLevels);
  }

  async #by(at: AccountNamespace, levels: Levels, entries: readonly AclEntry[]): Promise<string> {
    const { subject, globals } = this.options;
    const name = at.owner === undefined ? visibleName(at.namespace, levels) : sharedName(at, levels);
    const above = (await globals?.entriesFor(name)) ?? [];
    return at.namespace.type === 'private' ? ownerRights(entries, subject, above) : grantedRights(entries, subject, above);
  }

  #warnOnce(owner: string, error: StorageError): void {
    if (this.#warned.has(owner) || this.#warned.size > 1000) return;
    this.#warned.add(owner);
    this.options.log.warning('acl.unreadable', `Mailboxes of ${owner} cannot be shared with this user: ${error.message}`, { error });
  }
}

export function rootPaths(at: AccountNamespace): MailboxPaths {
  const { accountControlDir } = at.tree.pathsOf(inboxLevels);
  return { ...at.tree.pathsOf(inboxLevels), mailDir: accountControlDir, controlDir: accountControlDir };
}
