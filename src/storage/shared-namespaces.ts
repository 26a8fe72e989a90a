// Mailboxes of other users (`namespace { type = shared }`) as one account sees them: names to their owners, and the owners whose mailboxes are listed.
//
// Rights are not looked at here but whether there is a way at all: what the user may not see is left out by `SharedAccess`.
import { LRUCache } from 'lru-cache';
import { notFound } from './account-errors.js';
import type { AccountNamespace, ResolvedName } from './account-namespace.js';
import type { AclSubject } from './acl.js';
import type { SharedDict } from './acl-shared-dict.js';
import { inboxLevels, type Levels } from './list/name.js';
import type { OwnedName, OwnerPrefix } from './owner-prefix.js';
import type { Namespace } from './user.js';
import type { UserdbUser } from './userdb-user.js';

/** One `namespace` block. */
export interface SharedBlock {
  readonly prefix: OwnerPrefix;
  /** With the root of the prefix, as NAMESPACE tells it. */
  readonly namespace: Namespace;
  /** The owner's mailboxes below `prefix`. @throws StorageError `unavailable` when there is no way to the owner's mail */
  open(owner: UserdbUser, prefix: string): AccountNamespace;
}

export interface SharedNamespacesOptions {
  readonly subject: AclSubject;
  readonly blocks: readonly SharedBlock[];
  readonly dict: SharedDict | undefined;
  readonly allowsAnyone: boolean;
  /** INBOX is `shared/otto/INBOX`, and not `shared/otto`. */
  readonly explicitInbox: boolean;
  readonly findOwner: (name: string, signal: AbortSignal) => Promise<UserdbUser | undefined>;
}

/** A name below the root of a block. */
export interface SharedName {
  readonly block: SharedBlock;
  readonly name: string;
  /** Undefined for the root, and for half of an owner's name. */
  readonly owned: OwnedName | undefined;
}

/** Owners of one account whose mailboxes are open. */
const maxOpenOwners = 1000;
/** Owners of one list; all others can be reached by name. */
const maxListedOwners = 1000;

export class SharedNamespaces {
  readonly options: SharedNamespacesOptions;
  readonly #open = new LRUCache<string, { readonly owner: UserdbUser; readonly at: AccountNamespace }>({
    max: maxOpenOwners,
    dispose: ({ at }) => void at.owner?.quota.close().catch(() => undefined),
  });

  constructor(options: SharedNamespacesOptions) {
    this.options = options;
  }

  get namespaces(): readonly Namespace[] {
    return this.options.blocks.map(({ namespace }) => namespace);
  }

  /** @param others the account's own namespaces, of which one may lie inside a shared one */
  find(name: string, others: readonly AccountNamespace[]): SharedName | undefined {
    const { blocks, subject } = this.options;
    for (const block of blocks) {
      const { root } = block.prefix;
      if (!name.startsWith(root) && name !== root.slice(0, -1)) continue;
      if (
        others.some(({ namespace: { prefix } }) => prefix.length > root.length && `${name}${block.namespace.separator}`.startsWith(prefix))
      )
        continue;
      return { block, name, owned: block.prefix.match(name, subject.name) };
    }
    return undefined;
  }

  /** Whom the mailboxes of this name belong to. */
  ownerOf({ owned }: SharedName): string | undefined {
    return owned?.owner;
  }

  /**
   * The mailbox may be there or not, and the user may see it or not.
   * @throws StorageError `not-found` where no mailbox of anybody can be; `unavailable`
   */
  async resolve({ block, name, owned }: SharedName, signal: AbortSignal): Promise<ResolvedName> {
    const at = owned === undefined ? undefined : await this.#namespaceOf(block, owned.owner, signal);
    if (owned === undefined || at === undefined || at.namespace.prefix !== owned.prefix) throw notFound(name);
    const levels = this.#levelsOf(at, owned.rest);
    if (levels === undefined || levels.some((level) => level === '') || at.tree.problemOf(levels) !== undefined) throw notFound(name);
    return { at, levels, name: sharedName(at, levels) };
  }

  /**
   * Owners whom names mean, and those who share something with the user.
   * @param names patterns and subscriptions
   */
  async listed(
    block: SharedBlock,
    names: readonly string[],
    withKnown: boolean,
    signal: AbortSignal,
  ): Promise<readonly AccountNamespace[]> {
    const { subject, dict, allowsAnyone } = this.options;
    const known = dict === undefined || !withKnown ? [] : await dict.ownersFor(subject, allowsAnyone);
    const asked = names.flatMap((name) => {
      // A pattern that has a wildcard in the owner's name names nobody.
      const fixed = name.replace(/[*%].*$/s, '');
      const owned = block.prefix.match(fixed, subject.name);
      return owned !== undefined && (fixed === name || fixed.startsWith(owned.prefix)) ? [owned.owner] : [];
    });
    const found: AccountNamespace[] = [];
    for (const owner of [...new Set([...asked, ...known])].slice(0, maxListedOwners)) {
      const at = await this.#namespaceOf(block, owner, signal);
      if (at !== undefined) found.push(at);
    }
    return found;
  }

  close(): void {
    this.#open.clear();
  }

  async #namespaceOf(block: SharedBlock, ownerName: string, signal: AbortSignal): Promise<AccountNamespace | undefined> {
    const { subject, findOwner } = this.options;
    // Nobody's own mailboxes have a second name.
    if (ownerName === subject.name) return undefined;
    const prefix = block.prefix.prefixOf(ownerName, subject.name);
    if (prefix === undefined) return undefined;
    const owner = await findOwner(ownerName, signal);
    if (owner === undefined) return undefined;
    const known = this.#open.get(prefix);
    if (known?.owner === owner) return known.at;
    const at = block.open(owner, prefix);
    this.#open.set(prefix, { owner, at });
    return at;
  }

  #levelsOf({ namespace: { separator } }: AccountNamespace, rest: string): Levels | undefined {
    if (rest === '') return this.options.explicitInbox ? undefined : inboxLevels;
    // A separator at the end is ignored (RFC 9051 6.3.4).
    const levels = (rest.endsWith(separator) ? rest.slice(0, -1) : rest).split(separator);
    return levels.length === 1 && levels[0]?.toUpperCase() === 'INBOX' ? inboxLevels : levels;
  }
}

/** The one spelling of a mailbox of another user. */
export function sharedName({ namespace, owner }: AccountNamespace, levels: Levels): string {
  const isOwnersInbox = levels.length === 1 && levels[0] === 'INBOX';
  if (isOwnersInbox && owner?.hasExplicitInbox === false) return namespace.prefix.slice(0, -namespace.separator.length);
  return namespace.prefix + levels.join(namespace.separator);
}
