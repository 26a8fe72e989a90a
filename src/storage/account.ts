// One user's mail: namespaces, names, the list, and the way from a name to its Mailbox.
import { dirname } from 'node:path';
import type { Logger } from '#log/logger.js';
import { denied, mailboxExists, notFound, notSelectable } from './account-errors.js';
import { AccountList } from './account-list.js';
import { AccountNames, checkWritable, isAutoCreated, isInbox } from './account-names.js';
import { type AccountNamespace, checkedName, type ResolvedName, resolveMailbox, resolveName } from './account-namespace.js';
import { AccountWatch } from './account-watch.js';
import type { AclEntry, AclStore, AclSubject } from './acl.js';
import type { GlobalAcl } from './acl-global.js';
import type { SharedDict } from './acl-shared-dict.js';
import { type AttributeChanges, type AttributeStore, type Attributes, accountAttributes } from './attributes.js';
import { runAutoexpunge } from './autoexpunge.js';
import type { MailboxDriver, QuotaGuard } from './driver.js';
import { StorageError } from './errors.js';
import { checkLevels, type Levels } from './list/name.js';
import type { SpecialUseStore } from './list/special-uses.js';
import { ListWatch, type ListWatchSources } from './list-watch.js';
import type { Mailbox } from './mailbox.js';
import { MailboxAccess, rootPaths } from './mailbox-access.js';
import type { AccountQuota } from './quota/account-quota.js';
import type { SharedNamespaces } from './shared-namespaces.js';
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
  /** Groups of the user, and what plugin settings say about lists. */
  readonly aclOptions?: AccountAclOptions | undefined;
  /** Mailboxes of other users. */
  readonly shared?: SharedNamespaces | undefined;
  /** Another account, for URLs that are for others (RFC 4467). */
  readonly openOther?: ((name: string, signal: AbortSignal) => Promise<MailUser | undefined>) | undefined;
  /** Old messages are removed when the user leaves (autoexpunge); not for deliveries. */
  readonly expiresMessages: boolean;
  /** Mailboxes are opened for beginAppend('deliver') alone. */
  readonly isForDelivery: boolean;
  readonly log: Logger;
}

export interface AccountAclOptions {
  readonly subject: AclSubject;
  readonly allowsAnyone: boolean;
  readonly defaultsFromInbox: boolean;
  readonly dict: SharedDict | undefined;
  readonly globals?: GlobalAcl | undefined;
  readonly globalsOnly?: boolean;
  /** `mail_plugins = acl`. */
  readonly isEnforced: boolean;
}

export class Account implements MailUser {
  readonly name: string;
  readonly namespaces: readonly Namespace[];
  readonly #options: AccountOptions;
  readonly #all: readonly AccountNamespace[];
  readonly #watch: AccountWatch;
  readonly #access: MailboxAccess;
  readonly #names: AccountNames;
  readonly #list: AccountList;
  #listWatch: ListWatch | undefined;
  #isClosed = false;

  constructor(options: AccountOptions) {
    this.#options = options;
    this.name = options.name;
    this.#all = options.namespaces;
    this.namespaces = [...options.namespaces.map(({ namespace }) => namespace), ...(options.shared?.namespaces ?? [])];
    const aclOptions = options.aclOptions ?? {
      subject: { name: options.name, groups: [] },
      allowsAnyone: true,
      defaultsFromInbox: false,
      dict: undefined,
      isEnforced: false,
    };
    this.#access = new MailboxAccess(Object.assign({}, aclOptions, { acls: options.acls, log: options.log }));
    const { shared, driver, specialUses } = options;
    this.#names = new AccountNames({ all: this.#all, shared, access: this.#access, driver });
    this.#list = new AccountList({ all: this.#all, names: this.#names, shared, access: this.#access, specialUses });
    this.#watch = new AccountWatch(this, options.namespaces, options.log);
  }

  list(
    patterns: readonly string[],
    options: { readonly subscribedOnly: boolean },
    signal: AbortSignal,
  ): Promise<readonly MailboxListEntry[]> {
    return this.#list.entries(patterns, options, signal);
  }

  async openMailbox(name: string, signal: AbortSignal): Promise<Mailbox> {
    const isShared = this.#names.findShared(name) !== undefined;
    const resolved = isShared ? await this.#names.resolve(name, signal) : resolveName(this.#all, name);
    if (resolved.levels.length === 0 && resolved.name !== '') throw notSelectable(resolved.name);
    const checked = isShared ? await this.#names.resolveMailbox(name, signal) : checkedName(resolved, name);
    const { at, levels } = checked;
    const { driver, isForDelivery, log } = this.#options;
    const paths = at.tree.pathsOf(levels);
    const options = { name: checked.name, quota: this.#guardFor(checked), isReadOnly: at.isReadOnly, isForDelivery, log };
    try {
      const opening = driver.open(paths, options, signal);
      return opening instanceof Promise ? await opening : opening;
    } catch (error) {
      if (!(error instanceof StorageError && error.code === 'not-found')) throw error;
      await this.#names.requireMailbox(checked, signal);
      return driver.open(paths, options, signal);
    }
  }

  async create(
    name: string,
    options: { readonly specialUse: readonly SpecialUse[] },
    signal: AbortSignal,
  ): Promise<{ readonly guid: string }> {
    const { at, levels, name: visible } = await this.#names.resolveNew(name, signal);
    if (isInbox(at, levels) || (await at.tree.kindOf(levels, signal)) === 'mailbox') throw mailboxExists(visible);
    using _room = await (at.owner?.quota ?? this.#options.quota).holdNewMailbox(at.owner?.nameOf(levels) ?? visible, signal);
    if (at.owner !== undefined && options.specialUse.length > 0) throw denied(visible);
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
    const resolved = await this.#names.resolveMailbox(name, signal);
    const { at, levels, name: visible } = resolved;
    await this.#names.demandShared(resolved, 'x');
    if (isInbox(at, levels)) throw new StorageError('cannot', 'INBOX is not deleted', { clientText: "INBOX can't be deleted." });
    checkWritable(at, visible);
    const kind = await at.tree.kindOf(levels, signal);
    if (kind === undefined) throw notFound(visible);
    if (kind === 'container' && (await this.#hasChildren(at, levels, signal))) {
      throw new StorageError('has-children', `${visible} has children`, { clientText: 'Mailbox has children, delete them first' });
    }
    const guid = kind === 'mailbox' ? await this.#guidOf(visible, signal) : undefined;
    const hadAcl = kind === 'mailbox' && (await this.#access.entries(at, levels)).length > 0;
    if (kind === 'mailbox') await this.#options.acls.remove(at.tree.pathsOf(levels));
    await at.tree.remove(levels, signal);
    if (hadAcl) await this.#aclChanged(at, signal);
    if (kind === 'mailbox') (at.owner?.quota ?? this.#options.quota).mailboxRemoved();
    if (guid !== undefined) await this.#options.attributes.remove(guid);
    if (guid !== undefined) await at.attributes?.remove(guid);
    if (at.owner === undefined) await this.#options.specialUses.set(visible, [], signal);
  }

  async rename(from: string, to: string, signal: AbortSignal): Promise<void> {
    const source = await this.#names.resolveMailbox(from, signal);
    await this.#names.demandShared(source, 'x');
    const target = await this.#names.resolveNew(to, signal);
    checkWritable(source.at, source.name);
    if (source.at.tree !== target.at.tree) {
      throw new StorageError('cannot', `rename of ${from} to another namespace`, {
        clientText: "Can't rename mailboxes across namespaces.",
      });
    }
    if (isInbox(target.at, target.levels)) throw mailboxExists('INBOX');
    if ((await target.at.tree.kindOf(target.levels, signal)) !== undefined) throw mailboxExists(target.name);
    if (isInbox(source.at, source.levels) && source.at.owner !== undefined) throw denied(source.name);
    if (isInbox(source.at, source.levels)) return this.#renameInbox(target, signal);
    if (isBelow(target.levels, source.levels)) {
      throw new StorageError('cannot', `rename of ${from} into itself`, { clientText: "Can't rename mailbox under itself." });
    }
    if ((await source.at.tree.kindOf(source.levels, signal)) === undefined) throw notFound(source.name);
    const acl = await this.#options.acls.read(source.at.tree.pathsOf(source.levels));
    await source.at.tree.rename(source.levels, target.levels, signal);
    await this.#moveAcl(acl, target, signal);
    if (source.at.owner === undefined) await this.#moveSpecialUses(source, target, signal);
  }

  async subscribe(name: string, subscribed: boolean, signal: AbortSignal): Promise<void> {
    if (this.#names.findShared(name) !== undefined) return this.#subscribeShared(name, subscribed, signal);
    const resolved = subscribed ? resolveMailbox(this.#all, name) : resolveName(this.#all, name);
    checkLevels(resolved.levels, name);
    if (subscribed && !isInbox(resolved.at, resolved.levels) && !isAutoCreated(resolved)) {
      if ((await resolved.at.tree.kindOf(resolved.levels, signal)) === undefined) throw notFound(resolved.name);
    }
    const keeper = this.#names.subscriptionKeeper(resolved);
    await keeper.at.tree.subscriptions.set(keeper.levels, subscribed, signal);
  }

  /** Kept by the user, whose list it is; to end it takes no right, and nobody needs to be asked. */
  async #subscribeShared(name: string, subscribed: boolean, signal: AbortSignal): Promise<void> {
    const resolved = subscribed ? await this.#names.resolveMailbox(name, signal) : undefined;
    if (resolved !== undefined) await this.#names.demandShared(resolved, 'l');
    const keeper = this.#names.keeperOf(resolved?.name ?? name);
    await keeper.at.tree.subscriptions.set(keeper.levels, subscribed, signal);
  }

  async setSpecialUse(name: string, uses: readonly SpecialUse[], signal: AbortSignal): Promise<void> {
    const resolved = await this.#names.resolveMailbox(name, signal);
    await this.#names.requireMailbox(resolved, signal);
    checkWritable(resolved.at, resolved.name);
    if (resolved.at.owner !== undefined) throw denied(resolved.name);
    await this.#options.specialUses.set(resolved.name, uses, signal);
  }

  async readAttributes(mailboxName: string | undefined, signal: AbortSignal): Promise<Attributes> {
    const owner = await this.#attributeOwner(mailboxName, signal);
    const own = await this.#options.attributes.read(owner);
    const shared = await this.#sharedAttributesOf(mailboxName, signal);
    if (shared === undefined) return own;
    return new Map([...(await shared.read(owner)), ...[...own].filter(([name]) => isPersonal(name))]);
  }

  async changeAttributes(mailboxName: string | undefined, changes: AttributeChanges, signal: AbortSignal): Promise<void> {
    const owner = await this.#attributeOwner(mailboxName, signal);
    const shared = await this.#sharedAttributesOf(mailboxName, signal);
    const own = shared === undefined ? changes : new Map([...changes].filter(([name]) => isPersonal(name)));
    const others = new Map([...changes].filter(([name]) => !own.has(name)));
    if (others.size > 0) await shared?.change(owner, others, signal);
    if (own.size > 0) await this.#options.attributes.change(owner, own, signal);
  }

  async keepAttribute(mailboxName: string, name: string, value: Buffer, signal: AbortSignal): Promise<Buffer> {
    const owner = await this.#attributeOwner(mailboxName, signal);
    const shared = isPersonal(name) ? undefined : await this.#sharedAttributesOf(mailboxName, signal);
    return (shared ?? this.#options.attributes).keep(owner, name, value, signal);
  }

  /** Undefined where everything is the user's own. */
  async #sharedAttributesOf(mailboxName: string | undefined, signal: AbortSignal): Promise<AttributeStore | undefined> {
    return mailboxName === undefined ? undefined : (await this.#names.resolve(mailboxName, signal)).at.attributes;
  }

  async readAcl(mailboxName: string, signal: AbortSignal): Promise<readonly AclEntry[]> {
    const root = await this.#names.resolve(mailboxName, signal);
    if (root.levels.length === 0 && root.name !== '') return this.#options.acls.read(rootPaths(root.at));
    const resolved = await this.#names.resolveMailbox(mailboxName, signal);
    await this.#names.requireMailbox(resolved, signal);
    return this.#access.entries(resolved.at, resolved.levels);
  }

  async setAcl(mailboxName: string, identifier: string, rights: string | undefined, signal: AbortSignal): Promise<void> {
    const resolved = await this.#names.resolveMailbox(mailboxName, signal);
    await this.#names.requireMailbox(resolved, signal);
    checkWritable(resolved.at, resolved.name);
    await this.#names.demandShared(resolved, 'a');
    await this.#options.acls.set(resolved.at.tree.pathsOf(resolved.levels), identifier, rights, signal);
    await this.#aclChanged(resolved.at, signal);
  }

  async rightsOn(mailboxName: string, signal: AbortSignal): Promise<string> {
    const root = await this.#names.resolve(mailboxName, signal);
    if (root.levels.length === 0 && root.name !== '') return this.#access.rootRights(root.at);
    const resolved = await this.#names.resolveMailbox(mailboxName, signal);
    await this.#names.requireMailbox(resolved, signal);
    return this.#access.rights(resolved.at, resolved.levels);
  }

  ownerOf(mailboxName: string): string | undefined {
    const { shared } = this.#options;
    const found = this.#names.findShared(mailboxName);
    if (found !== undefined) return shared?.ownerOf(found);
    return this.#names.findName(mailboxName)?.at.namespace.type === 'public' ? undefined : this.name;
  }

  get reachesOthers(): boolean {
    return this.#options.shared !== undefined;
  }

  get enforcesAcl(): boolean {
    return this.#options.aclOptions?.isEnforced ?? false;
  }

  get allowsAnyone(): boolean {
    return this.#access.options.allowsAnyone;
  }

  async openOther(name: string, signal: AbortSignal): Promise<MailUser | undefined> {
    return this.#options.openOther?.(name, signal);
  }

  async publishSharing(signal: AbortSignal): Promise<void> {
    const inbox = this.#all.find(({ namespace }) => namespace.type === 'private');
    if (inbox !== undefined) await this.#aclChanged(inbox, signal);
  }

  #aclChanged(at: AccountNamespace, signal: AbortSignal): Promise<void> {
    return this.#access.told(
      at,
      this.#all.filter(({ namespace }) => namespace.type === 'private'),
      signal,
    );
  }

  /** A new mailbox begins with the list of its parent, or of the root of the namespace (as Dovecot does it). */
  async #inheritAcl({ at, levels }: ResolvedName, signal: AbortSignal): Promise<void> {
    for (let depth = levels.length - 1; depth >= 0; depth -= 1) {
      const parent = levels.slice(0, depth);
      if (depth > 0 && (await at.tree.kindOf(parent, signal)) !== 'mailbox') continue;
      if (depth === 0 && at.namespace.type !== 'public') return;
      const entries = await this.#options.acls.read(depth === 0 ? rootPaths(at) : at.tree.pathsOf(parent));
      for (const { identifier, rights } of entries) await this.#options.acls.set(at.tree.pathsOf(levels), identifier, rights, signal);
      if (entries.length > 0) await this.#aclChanged(at, signal);
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
    if (this.#names.findShared(mailboxName) !== undefined) {
      // It counts against its owner's, which is nobody else's matter.
      await this.#names.demandShared(await this.#names.resolveMailbox(mailboxName, signal), 'r');
      return [];
    }
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
    const resolved = await this.#names.resolveMailbox(name, signal);
    await this.#names.requireMailbox(resolved, signal);
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
    this.#options.shared?.close();
  }

  async #renameInbox(target: ResolvedName, signal: AbortSignal): Promise<void> {
    await target.at.tree.create(target.levels, signal);
    const inbox = await this.openMailbox('INBOX', signal);
    const mailbox = await this.openMailbox(target.name, signal);
    // RFC 5464 4.1: both have them afterwards. What else is kept of a mailbox (keys of URLAUTH) stays where it is.
    const annotations = [...(await this.readAttributes('INBOX', signal))].filter(([name]) => /^\/(?:private|shared)\//.test(name));
    if (annotations.length > 0) await this.changeAttributes(target.name, new Map(annotations), signal);
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

  #guardFor({ at, levels, name }: ResolvedName): QuotaGuard {
    return at.owner === undefined ? this.#options.quota.guardFor(name) : at.owner.quota.guardFor(at.owner.nameOf(levels));
  }
}

/** Of each user, also where the mailbox is everybody's (RFC 5464 3.2). */
function isPersonal(attribute: string): boolean {
  return !attribute.startsWith('/shared/');
}

/** Mailboxes of a public namespace whose access control lists are watched: with more, a changed one is seen at the next change of the namespace. */
const maxWatchedLists = 500;

function listSources({ namespaces, attributes: own, aclOptions }: AccountOptions): ListWatchSources {
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
      // Who shares something with the user.
      if (aclOptions?.dict !== undefined) folders.add(dirname(aclOptions.dict.path));
      for (const tree of trees) for (const folder of (await tree.watchedFolders?.(signal)) ?? []) folders.add(folder);
      // Access control lists of what is everybody's: to be allowed to see a mailbox is news as if it were made (RFC 5465 5.4).
      for (const { namespace, tree } of namespaces) {
        if (namespace.type !== 'public') continue;
        const mailboxes = (await tree.entries(signal)).filter(({ isMailbox }) => isMailbox);
        if (mailboxes.length <= maxWatchedLists) for (const { levels } of mailboxes) folders.add(tree.pathsOf(levels).mailDir);
      }
      return [...folders];
    },
  };
}

function isBelow(levels: Levels, parent: Levels): boolean {
  return levels.length > parent.length && parent.every((level, index) => level === levels[index]);
}
