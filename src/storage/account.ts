// One user's mail: namespaces, names, the list, and the way from a name to its Mailbox.
import type { Logger } from '#log/logger.js';
import { type AccountNamespace, type ResolvedName, resolveMailbox, resolveName } from './account-namespace.js';
import { AccountWatch } from './account-watch.js';
import type { AclEntry, AclStore } from './acl.js';
import { type AttributeChanges, type AttributeStore, type Attributes, accountAttributes } from './attributes.js';
import { runAutoexpunge } from './autoexpunge.js';
import type { MailboxDriver, MailboxPaths } from './driver.js';
import { StorageError } from './errors.js';
import { checkLevels, checkNewLevels, inboxLevels, isInboxLevels, type Levels } from './list/name.js';
import { compilePattern } from './list/pattern.js';
import type { SpecialUseStore } from './list/special-uses.js';
import { buildList, type ListSources, visibleName } from './list/visible-list.js';
import { ListWatch, type ListWatchSources } from './list-watch.js';
import type { Mailbox } from './mailbox.js';
import type { AccountQuota } from './quota/account-quota.js';
import type { QuotaLimits } from './types.js';
import type { MailboxListEntry, MailUser, Namespace, QuotaRoot, SpecialUse } from './user.js';

export interface AccountOptions {
  readonly name: string;
  readonly namespaces: readonly AccountNamespace[];
  readonly driver: MailboxDriver;
  readonly quota: AccountQuota;
  readonly specialUses: SpecialUseStore;
  readonly attributes: AttributeStore;
  readonly acls: AclStore;
  /** Old messages are removed when the user leaves (autoexpunge); not for deliveries. */
  readonly expiresMessages: boolean;
  /** Mailboxes are opened for beginAppend('deliver') alone. */
  readonly isForDelivery: boolean;
  readonly log: Logger;
}

export class Account implements MailUser {
  readonly name: string;
  readonly namespaces: readonly Namespace[];
  readonly #options: AccountOptions;
  readonly #all: readonly AccountNamespace[];
  readonly #watch: AccountWatch;
  #listWatch: ListWatch | undefined;
  #lists = new Map<AccountNamespace, { readonly sources: ListSources; readonly entries: readonly MailboxListEntry[] }>();
  #isClosed = false;

  constructor(options: AccountOptions) {
    this.#options = options;
    this.name = options.name;
    this.#all = options.namespaces;
    this.namespaces = options.namespaces.map(({ namespace }) => namespace);
    this.#watch = new AccountWatch(this, options.namespaces, options.log);
  }

  async list(
    patterns: readonly string[],
    options: { readonly subscribedOnly: boolean },
    signal: AbortSignal,
  ): Promise<readonly MailboxListEntry[]> {
    const found: MailboxListEntry[] = [];
    const subscribed = await this.#subscriptions(signal);
    const ordered = [...this.#all].sort((a, b) => Number(b.namespace.isInbox) - Number(a.namespace.isInbox));
    for (const at of ordered) {
      const { namespace } = at;
      const asked = patterns.filter((pattern) => isListedFor(namespace, pattern));
      if (asked.length === 0) continue;
      const compiled = asked.map((pattern) => compilePattern(pattern, namespace.separator));
      for (const entry of await this.#entriesOf(at, subscribed.get(at) ?? [], signal)) {
        if (options.subscribedOnly ? !entry.isSubscribed && !entry.hasSubscribedChildren : !isShown(entry)) continue;
        if (compiled.some((pattern) => pattern.matches(entry.name))) found.push(entry);
      }
    }
    return found;
  }

  async openMailbox(name: string, signal: AbortSignal): Promise<Mailbox> {
    const resolved = resolveName(this.#all, name);
    if (resolved.levels.length === 0 && resolved.name !== '') throw notSelectable(resolved.name);
    const checked = resolveMailbox(this.#all, name);
    const { at, levels } = checked;
    const { quota, isForDelivery, log } = this.#options;
    const open = (): Promise<Mailbox> =>
      this.#options.driver.open(
        at.tree.pathsOf(levels),
        { name: checked.name, quota: quota.guardFor(checked.name), isReadOnly: at.isReadOnly, isForDelivery, log },
        signal,
      );
    try {
      return await open();
    } catch (error) {
      if (!(error instanceof StorageError && error.code === 'not-found')) throw error;
      await this.#requireMailbox(checked, signal);
      return open();
    }
  }

  async create(
    name: string,
    options: { readonly specialUse: readonly SpecialUse[] },
    signal: AbortSignal,
  ): Promise<{ readonly guid: string }> {
    const { at, levels, name: visible } = this.#resolveNew(name);
    if (isInbox(at, levels) || (await at.tree.kindOf(levels, signal)) === 'mailbox') throw mailboxExists(visible);
    await this.#options.quota.checkNewMailbox(visible, signal);
    // The use first: a mailbox without it must not be left (RFC 6154 3), and one that has been made may hold mail at once.
    const { specialUses } = this.#options;
    const hasUse = options.specialUse.length > 0;
    if (hasUse) await specialUses.set(visible, options.specialUse, signal);
    let created: { readonly guid: string };
    try {
      created = await at.tree.create(levels, signal);
    } catch (error) {
      if (hasUse) await specialUses.set(visible, [], signal).catch(() => undefined);
      throw error;
    }
    await this.#inheritAcl({ at, levels, name: visible }, signal);
    return created;
  }

  async delete(name: string, signal: AbortSignal): Promise<void> {
    const { at, levels, name: visible } = resolveMailbox(this.#all, name);
    if (isInbox(at, levels)) throw new StorageError('cannot', 'INBOX is not deleted', { clientText: "INBOX can't be deleted." });
    checkWritable(at, visible);
    const kind = await at.tree.kindOf(levels, signal);
    if (kind === undefined) throw notFound(visible);
    if (kind === 'container' && (await this.#hasChildren(at, levels, signal))) {
      throw new StorageError('has-children', `${visible} has children`, { clientText: 'Mailbox has children, delete them first' });
    }
    const guid = kind === 'mailbox' ? await this.#guidOf(visible, signal) : undefined;
    if (kind === 'mailbox') await this.#options.acls.remove(at.tree.pathsOf(levels));
    await at.tree.remove(levels, signal);
    if (kind === 'mailbox') this.#options.quota.mailboxRemoved();
    if (guid !== undefined) await this.#options.attributes.remove(guid);
    if (guid !== undefined) await at.attributes?.remove(guid);
    await this.#options.specialUses.set(visible, [], signal);
  }

  async rename(from: string, to: string, signal: AbortSignal): Promise<void> {
    const source = resolveMailbox(this.#all, from);
    const target = this.#resolveNew(to);
    checkWritable(source.at, source.name);
    if (source.at.tree !== target.at.tree) {
      throw new StorageError('cannot', `rename of ${from} to another namespace`, {
        clientText: "Can't rename mailboxes across namespaces.",
      });
    }
    if (isInbox(target.at, target.levels)) throw mailboxExists('INBOX');
    if ((await target.at.tree.kindOf(target.levels, signal)) !== undefined) throw mailboxExists(target.name);
    if (isInbox(source.at, source.levels)) return this.#renameInbox(target, signal);
    if (isBelow(target.levels, source.levels)) {
      throw new StorageError('cannot', `rename of ${from} into itself`, { clientText: "Can't rename mailbox under itself." });
    }
    if ((await source.at.tree.kindOf(source.levels, signal)) === undefined) throw notFound(source.name);
    const acl = await this.#options.acls.read(source.at.tree.pathsOf(source.levels));
    await source.at.tree.rename(source.levels, target.levels, signal);
    await this.#moveAcl(acl, target, signal);
    await this.#moveSpecialUses(source, target, signal);
  }

  async subscribe(name: string, subscribed: boolean, signal: AbortSignal): Promise<void> {
    const resolved = subscribed ? resolveMailbox(this.#all, name) : resolveName(this.#all, name);
    checkLevels(resolved.levels, name);
    if (subscribed && !isInbox(resolved.at, resolved.levels) && !isAutoCreated(resolved)) {
      if ((await resolved.at.tree.kindOf(resolved.levels, signal)) === undefined) throw notFound(resolved.name);
    }
    const keeper = this.#subscriptionKeeper(resolved);
    await keeper.at.tree.subscriptions.set(keeper.levels, subscribed, signal);
  }

  async setSpecialUse(name: string, uses: readonly SpecialUse[], signal: AbortSignal): Promise<void> {
    const resolved = resolveMailbox(this.#all, name);
    await this.#requireMailbox(resolved, signal);
    checkWritable(resolved.at, resolved.name);
    await this.#options.specialUses.set(resolved.name, uses, signal);
  }

  async readAttributes(mailboxName: string | undefined, signal: AbortSignal): Promise<Attributes> {
    const owner = await this.#attributeOwner(mailboxName, signal);
    const own = await this.#options.attributes.read(owner);
    const shared = this.#sharedAttributesOf(mailboxName);
    if (shared === undefined) return own;
    return new Map([...(await shared.read(owner)), ...[...own].filter(([name]) => isPersonal(name))]);
  }

  async changeAttributes(mailboxName: string | undefined, changes: AttributeChanges, signal: AbortSignal): Promise<void> {
    const owner = await this.#attributeOwner(mailboxName, signal);
    const shared = this.#sharedAttributesOf(mailboxName);
    const own = shared === undefined ? changes : new Map([...changes].filter(([name]) => isPersonal(name)));
    const others = new Map([...changes].filter(([name]) => !own.has(name)));
    if (others.size > 0) await shared?.change(owner, others, signal);
    if (own.size > 0) await this.#options.attributes.change(owner, own, signal);
  }

  /** Undefined where everything is the user's own. */
  #sharedAttributesOf(mailboxName: string | undefined): AttributeStore | undefined {
    return mailboxName === undefined ? undefined : resolveName(this.#all, mailboxName).at.attributes;
  }

  async readAcl(mailboxName: string, signal: AbortSignal): Promise<readonly AclEntry[]> {
    const root = resolveName(this.#all, mailboxName);
    if (root.levels.length === 0 && root.name !== '') return this.#options.acls.read(rootPaths(root.at));
    const resolved = resolveMailbox(this.#all, mailboxName);
    await this.#requireMailbox(resolved, signal);
    return this.#options.acls.read(resolved.at.tree.pathsOf(resolved.levels));
  }

  async setAcl(mailboxName: string, identifier: string, rights: string | undefined, signal: AbortSignal): Promise<void> {
    const resolved = resolveMailbox(this.#all, mailboxName);
    await this.#requireMailbox(resolved, signal);
    checkWritable(resolved.at, resolved.name);
    await this.#options.acls.set(resolved.at.tree.pathsOf(resolved.levels), identifier, rights, signal);
  }

  /** A new mailbox begins with the list of its parent, or of the root of the namespace (as Dovecot does it). */
  async #inheritAcl({ at, levels }: ResolvedName, signal: AbortSignal): Promise<void> {
    for (let depth = levels.length - 1; depth >= 0; depth -= 1) {
      const parent = levels.slice(0, depth);
      if (depth > 0 && (await at.tree.kindOf(parent, signal)) !== 'mailbox') continue;
      if (depth === 0 && at.namespace.type === 'private') return;
      const entries = await this.#options.acls.read(depth === 0 ? rootPaths(at) : at.tree.pathsOf(parent));
      for (const { identifier, rights } of entries) await this.#options.acls.set(at.tree.pathsOf(levels), identifier, rights, signal);
      return;
    }
  }

  /** Where the list did not move along with the folder of the mailbox. */
  async #moveAcl(acl: readonly AclEntry[], { at, levels }: ResolvedName, signal: AbortSignal): Promise<void> {
    const paths = at.tree.pathsOf(levels);
    if (acl.length === 0 || (await this.#options.acls.read(paths)).length > 0) return;
    for (const { identifier, rights } of acl) await this.#options.acls.set(paths, identifier, rights, signal);
  }

  async #attributeOwner(mailboxName: string | undefined, signal: AbortSignal): Promise<string> {
    return mailboxName === undefined ? accountAttributes : (await this.openMailbox(mailboxName, signal)).guid;
  }

  /** Undefined for a mailbox that can be removed but not opened. */
  async #guidOf(mailboxName: string, signal: AbortSignal): Promise<string | undefined> {
    try {
      return (await this.openMailbox(mailboxName, signal)).guid;
    } catch (error) {
      if (error instanceof StorageError) return undefined;
      throw error;
    }
  }

  async quotaRoots(mailboxName: string, signal: AbortSignal): Promise<readonly QuotaRoot[]> {
    const { name } = resolveName(this.#all, mailboxName);
    return this.#options.quota.rootsOf(name, signal);
  }

  get canSetQuota(): boolean {
    return this.#options.quota.canSetLimits;
  }

  async setQuota(root: string, limits: QuotaLimits, signal: AbortSignal): Promise<void> {
    await this.#options.quota.setLimits(root, limits, signal);
  }

  async recountQuota(signal: AbortSignal): Promise<void> {
    await this.#options.quota.recount(signal);
  }

  async dropIndex(name: string, signal: AbortSignal): Promise<void> {
    const resolved = resolveMailbox(this.#all, name);
    await this.#requireMailbox(resolved, signal);
    await this.#options.driver.dropIndex?.(resolved.at.tree.pathsOf(resolved.levels), signal);
  }

  watchList(onChange: () => void): Promise<() => void> {
    this.#listWatch ??= new ListWatch(listSources(this.#options), this.#options.log);
    return this.#listWatch.add(onChange);
  }

  watch(onChange: (mailboxName: string) => void): () => void {
    return this.#watch.add(onChange);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#watch.close();
    await this.#listWatch?.close();
    if (this.#options.expiresMessages) await runAutoexpunge(this, this.#all, this.#options.log);
    await this.#options.quota.close();
  }

  #resolveNew(name: string): ResolvedName {
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

  /** Makes INBOX and auto-created mailboxes when they are not there. */
  async #requireMailbox(resolved: ResolvedName, signal: AbortSignal): Promise<void> {
    const { at, levels, name } = resolved;
    if (await this.#options.driver.exists(at.tree.pathsOf(levels))) return;
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

  async #renameInbox(target: ResolvedName, signal: AbortSignal): Promise<void> {
    await target.at.tree.create(target.levels, signal);
    const inbox = await this.openMailbox('INBOX', signal);
    const mailbox = await this.openMailbox(target.name, signal);
    await using view = await inbox.openView({ readOnly: false }, signal);
    // A message that another session expunges meanwhile fails the whole move: look again.
    for (let attempt = 0; view.count > 0 && attempt < 10; attempt += 1) {
      try {
        await view.move(
          Array.from({ length: view.count }, (_, index) => index + 1),
          mailbox,
          signal,
        );
        return;
      } catch (error) {
        if (!(error instanceof StorageError && error.code === 'expunged')) throw error;
        await view.sync({ allowExpunge: true }, signal);
      }
    }
  }

  async #moveSpecialUses(source: ResolvedName, target: ResolvedName, signal: AbortSignal): Promise<void> {
    for (const [name, uses] of await this.#options.specialUses.read()) {
      const rest = name.slice(source.name.length);
      if (!name.startsWith(source.name) || (rest !== '' && !rest.startsWith(source.at.namespace.separator))) continue;
      await this.#options.specialUses.set(target.name + rest, uses, signal);
      await this.#options.specialUses.set(name, [], signal);
    }
  }

  async #hasChildren(at: AccountNamespace, levels: Levels, signal: AbortSignal): Promise<boolean> {
    return (await at.tree.entries(signal)).some((entry) => isBelow(entry.levels, levels));
  }

  /** Rebuilt only when something it is made from is another object than last time. */
  async #entriesOf(at: AccountNamespace, subscribed: readonly Levels[], signal: AbortSignal): Promise<readonly MailboxListEntry[]> {
    const sources: ListSources = {
      namespace: at.namespace,
      configured: at.configured,
      onDisk: await at.tree.entries(signal),
      subscribed,
      specialUses: await this.#options.specialUses.read(),
    };
    const last = this.#lists.get(at);
    if (
      last !== undefined &&
      last.sources.onDisk === sources.onDisk &&
      last.sources.specialUses === sources.specialUses &&
      isSameSubscriptions(last.sources.subscribed, subscribed)
    ) {
      return last.entries;
    }
    const entries = buildList(sources);
    this.#lists.set(at, { sources, entries });
    return entries;
  }

  /** Each subscription with the namespace its name belongs to, whatever file it is in. */
  async #subscriptions(signal: AbortSignal): Promise<ReadonlyMap<AccountNamespace, readonly Levels[]>> {
    const byNamespace = new Map<AccountNamespace, Levels[]>();
    for (const at of this.#all) {
      if (!at.namespace.subscriptions) continue;
      for (const stored of await at.tree.subscriptions.read(signal)) {
        const levels = isInboxLevels([stored.join('\0').toUpperCase()]) && at.namespace.isInbox ? inboxLevels : stored;
        const resolved = this.#findName(visibleName(at.namespace, levels));
        if (resolved === undefined || resolved.levels.length === 0) continue;
        const list = byNamespace.get(resolved.at);
        if (list === undefined) byNamespace.set(resolved.at, [resolved.levels]);
        else list.push(resolved.levels);
      }
    }
    return byNamespace;
  }

  #findName(name: string): ResolvedName | undefined {
    try {
      return resolveName(this.#all, name);
    } catch (error) {
      if (error instanceof StorageError) return undefined;
      throw error;
    }
  }

  /** A namespace without subscriptions of its own leaves them to the one around it. */
  #subscriptionKeeper({ at, levels, name }: ResolvedName): { readonly at: AccountNamespace; readonly levels: Levels } {
    if (at.namespace.subscriptions) return { at, levels };
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

/** Of each user, also where the mailbox is everybody's (RFC 5464 3.2). */
function isPersonal(attribute: string): boolean {
  return attribute.startsWith('/private/');
}

/** Of a namespace itself, which has an access control list although it is no mailbox. */
function rootPaths(at: AccountNamespace): MailboxPaths {
  const { accountControlDir } = at.tree.pathsOf(inboxLevels);
  return { ...at.tree.pathsOf(inboxLevels), mailDir: accountControlDir, controlDir: accountControlDir };
}

function listSources({ namespaces, attributes: own }: AccountOptions): ListWatchSources {
  const attributes = [own, ...namespaces.flatMap((at) => at.attributes ?? [])];
  const trees = [...new Set(namespaces.map(({ tree }) => tree))];
  return {
    stores: [
      ...trees.map((tree) => (onChange: () => void) => tree.watch(onChange)),
      ...[...trees.map(({ subscriptions }) => subscriptions), ...attributes].flatMap((store) => {
        const watch = store.watch?.bind(store);
        return watch === undefined ? [] : [watch];
      }),
    ],
    async folders(signal) {
      const folders = new Set<string>(attributes.flatMap(({ folder }) => folder ?? []));
      for (const tree of trees) for (const folder of (await tree.watchedFolders?.(signal)) ?? []) folders.add(folder);
      return [...folders];
    },
  };
}

/** `list = no`: only when the pattern names the namespace. */
function isListedFor({ list, prefix }: Namespace, pattern: string): boolean {
  return list !== 'no' || (prefix !== '' && pattern.startsWith(prefix.slice(0, -1)));
}

/** Names that are only subscribed are shown to those who ask for subscriptions. */
function isShown(entry: MailboxListEntry): boolean {
  return entry.exists || entry.hasChildren;
}

function isSameSubscriptions(a: readonly Levels[], b: readonly Levels[]): boolean {
  return a.length === b.length && a.every((levels, index) => levels === b[index] || levels.join('\0') === b[index]?.join('\0'));
}

function isInbox(at: AccountNamespace, levels: Levels): boolean {
  return at.namespace.isInbox && isInboxLevels(levels);
}

function isBelow(levels: Levels, parent: Levels): boolean {
  return levels.length > parent.length && parent.every((level, index) => level === levels[index]);
}

function isAutoCreated({ at, levels }: ResolvedName): boolean {
  return at.configured.some((mailbox) => mailbox.auto !== 'no' && mailbox.levels.join('\0') === levels.join('\0'));
}

function checkWritable(at: AccountNamespace, name: string): void {
  if (at.isReadOnly) throw new StorageError('no-permission', `${name} is in a read-only namespace`, { clientText: 'Permission denied' });
}

function notFound(name: string): StorageError {
  return new StorageError('not-found', `no mailbox ${JSON.stringify(name)}`, { clientText: `Mailbox doesn't exist: ${name}` });
}

function notSelectable(name: string): StorageError {
  return new StorageError('not-selectable', `${JSON.stringify(name)} only holds other mailboxes`, {
    clientText: `Mailbox isn't selectable: ${name}`,
  });
}

function mailboxExists(name: string): StorageError {
  return new StorageError('exists', `mailbox ${JSON.stringify(name)} exists`, { clientText: 'Mailbox already exists' });
}
