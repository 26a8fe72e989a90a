// From the names that clients use to the mailboxes of an account, and to those of others which the user may do something with.
import { denied, mailboxExists, notFound, notSelectable } from './account-errors.js';
import { type AccountNamespace, type ResolvedName, resolveMailbox, resolveName } from './account-namespace.js';
import type { MailboxDriver } from './driver.js';
import { StorageError } from './errors.js';
import { checkNewLevels, isInboxLevels, type Levels } from './list/name.js';
import type { MailboxAccess } from './mailbox-access.js';
import type { SharedName, SharedNamespaces } from './shared-namespaces.js';

export interface AccountNamesOptions {
  /** The account's own namespaces. */
  readonly all: readonly AccountNamespace[];
  readonly shared: SharedNamespaces | undefined;
  readonly access: MailboxAccess;
  readonly driver: MailboxDriver;
}

export class AccountNames {
  readonly #all: readonly AccountNamespace[];
  readonly #shared: SharedNamespaces | undefined;
  readonly #access: MailboxAccess;
  readonly #driver: MailboxDriver;

  constructor({ all, shared, access, driver }: AccountNamesOptions) {
    this.#all = all;
    this.#shared = shared;
    this.#access = access;
    this.#driver = driver;
  }

  /** Undefined for names that are no other user's. */
  findShared(name: string): SharedName | undefined {
    return this.#shared?.find(name, this.#all);
  }

  /** As resolveName, also for mailboxes of others. */
  async resolve(name: string, signal: AbortSignal): Promise<ResolvedName> {
    const shared = this.#shared;
    const found = shared?.find(name, this.#all);
    return shared === undefined || found === undefined ? resolveName(this.#all, name) : shared.resolve(found, signal);
  }

  /** As resolveMailbox; a mailbox of another user is there, and the user may do something with it. @throws StorageError `not-found` */
  async resolveMailbox(name: string, signal: AbortSignal): Promise<ResolvedName> {
    const shared = this.#shared;
    const found = shared?.find(name, this.#all);
    if (shared === undefined || found === undefined) return resolveMailbox(this.#all, name);
    const resolved = await shared.resolve(found, signal);
    if (!(await this.#isShared(resolved))) throw notFound(name);
    return resolved;
  }

  async #isShared({ at, levels }: ResolvedName): Promise<boolean> {
    if ((await this.#access.rights(at, levels)) === '') return false;
    return this.#driver.exists(at.tree.pathsOf(levels));
  }

  /** For mailboxes of others; what a user may do with the own ones is a matter of the protocol. @throws StorageError `no-permission`, `not-found` */
  async demandShared({ at, levels, name }: ResolvedName, right: string): Promise<void> {
    if (at.owner === undefined) return;
    const rights = await this.#access.rights(at, levels);
    if (!rights.includes(right)) throw rights.includes('l') ? denied(name) : notFound(name);
  }

  async resolveNew(name: string, signal: AbortSignal): Promise<ResolvedName> {
    const shared = this.#shared;
    const found = shared?.find(name, this.#all);
    if (shared !== undefined && found !== undefined) return this.#resolveNewShared(shared.resolve(found, signal), name, signal);
    const { at } = resolveName(this.#all, name);
    // RFC 9051 6.3.4: a final separator only says that the name will have children.
    const { separator } = at.namespace;
    const trimmed = name.length > 1 && name.endsWith(separator) ? name.slice(0, -separator.length) : name;
    const named = resolveName(this.#all, trimmed);
    if (named.levels.length === 0 && named.name !== '') throw mailboxExists(named.name);
    const resolved = resolveMailbox(this.#all, trimmed);
    checkNewLevels(resolved.levels, resolved.name);
    checkWritable(resolved.at, resolved.name);
    return resolved;
  }

  /** Below a mailbox where the user may create some (RFC 4314 4). Whatever is wrong with the name, others are told the same. */
  async #resolveNewShared(resolving: Promise<ResolvedName>, name: string, signal: AbortSignal): Promise<ResolvedName> {
    let resolved: ResolvedName;
    try {
      resolved = await resolving;
    } catch (error) {
      if (error instanceof StorageError && error.code === 'not-found') throw denied(name);
      throw error;
    }
    const { at, levels } = resolved;
    for (let depth = levels.length - 1; depth > 0; depth -= 1) {
      const parent = levels.slice(0, depth);
      if ((await at.tree.kindOf(parent, signal)) !== 'mailbox') continue;
      if (!(await this.#access.rights(at, parent)).includes('k')) break;
      checkNewLevels(levels, resolved.name);
      return resolved;
    }
    throw denied(name);
  }

  /** Makes INBOX and auto-created mailboxes when they are not there. */
  async requireMailbox(resolved: ResolvedName, signal: AbortSignal): Promise<void> {
    const { at, levels, name } = resolved;
    if (await this.#driver.exists(at.tree.pathsOf(levels))) return;
    if (at.owner !== undefined) throw notFound(name);
    if (!isInbox(at, levels) && !isAutoCreated(resolved)) {
      throw (await at.tree.kindOf(levels, signal)) === 'container' ? notSelectable(name) : notFound(name);
    }
    try {
      await at.tree.create(levels, signal);
    } catch (error) {
      // Somebody else was quicker.
      if (!(error instanceof StorageError && error.code === 'exists')) throw error;
    }
  }

  findName(name: string): ResolvedName | undefined {
    try {
      return resolveName(this.#all, name);
    } catch (error) {
      if (error instanceof StorageError) return undefined;
      throw error;
    }
  }

  /** A namespace without subscriptions of its own leaves them to the one around it. */
  subscriptionKeeper({ at, levels, name }: ResolvedName): { readonly at: AccountNamespace; readonly levels: Levels } {
    return at.namespace.subscriptions ? { at, levels } : this.keeperOf(name);
  }

  keeperOf(name: string): { readonly at: AccountNamespace; readonly levels: Levels } {
    const parents = this.#all.filter(({ namespace }) => namespace.subscriptions && name.startsWith(namespace.prefix));
    const parent = parents.sort((a, b) => b.namespace.prefix.length - a.namespace.prefix.length)[0];
    if (parent === undefined) {
      throw new StorageError('cannot', `no namespace keeps the subscription of ${name}`, {
        clientText: 'Subscriptions not supported here',
      });
    }
    return { at: parent, levels: name.slice(parent.namespace.prefix.length).split(parent.namespace.separator) };
  }
}

export function isInbox(at: AccountNamespace, levels: Levels): boolean {
  return (at.namespace.isInbox || at.owner !== undefined) && isInboxLevels(levels);
}

export function isAutoCreated({ at, levels }: ResolvedName): boolean {
  return at.configured.some((mailbox) => mailbox.auto !== 'no' && mailbox.levels.join('\0') === levels.join('\0'));
}

export function checkWritable(at: AccountNamespace, name: string): void {
  if (at.isReadOnly) throw new StorageError('no-permission', `${name} is in a read-only namespace`, { clientText: 'Permission denied' });
}
