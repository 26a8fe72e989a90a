// From settings and userdb fields to an open account.
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import type { SettingsOf } from '#config/define.js';
import { compileTemplate, type VariableLookup } from '#config/expand.js';
import { mailSettings } from '#config/groups/mail.js';
import type { SettingsSource } from '#config/settings-source.js';
import type { Logger } from '#log/logger.js';
import { Account, type AccountAclOptions } from './account.js';
import type { AccountNamespace } from './account-namespace.js';
import { createAclFiles } from './acl.js';
import { type GlobalAcl, openGlobalAcl } from './acl-global.js';
import { openSharedDict, type SharedDict } from './acl-shared-dict.js';
import { type AttributeStore, createAttributeFiles } from './attributes.js';
import type { MailboxDriver } from './driver.js';
import { StorageError } from './errors.js';
import { createDiskNames } from './list/disk-name.js';
import { createFsTree } from './list/fs-tree.js';
import type { TreeOptions } from './list/layout.js';
import { createMaildirTree } from './list/maildir-tree.js';
import { inboxLevels } from './list/name.js';
import { createSpecialUseFile, type SpecialUseStore } from './list/special-uses.js';
import { createSubscriptionsFile } from './list/subscriptions.js';
import type { MailboxTree } from './list/tree.js';
import { type MailLocation, parseLocation } from './location.js';
import { checkPrefix, type NamespaceBlock, parseMailboxes, parseNamespaces, parseSpecialUse } from './namespace.js';
import { type PreparedQuota, QuotaOpener } from './open-quota.js';
import { createSharedBlock, type OwnerPlace } from './open-shared.js';
import { type FindUser, OwnerDirectory } from './owner-directory.js';
import { type SharedBlock, SharedNamespaces } from './shared-namespaces.js';
import type { MailUser, Namespace } from './user.js';
import type { UserdbUser } from './userdb-user.js';

export type { UserdbUser } from './userdb-user.js';

export interface UserOpenerOptions {
  readonly settings: SettingsSource;
  readonly log: Logger;
  readonly driver: MailboxDriver;
  /** Asks userdb for owners of shared mailboxes; without it nobody's mailboxes are shared. */
  readonly findUser?: FindUser | undefined;
}

export interface UserOpener {
  /**
   * @param service `imap`, `pop3`, `lmtp`, ...
   * @throws StorageError `unavailable` when settings and fields give no mail location that can be served
   */
  openUser(user: UserdbUser, service: string, signal: AbortSignal): Promise<MailUser>;
}

/** Locations whose lists, and users whose places are remembered between sessions. */
const maxRememberedTrees = 1000;
const maxRememberedUsers = 1000;
const deliveryServices: ReadonlySet<string> = new Set(['lmtp', 'smtp', 'lda']);
const urlService = 'urlauth';
/** Neither an administrator's command nor a URL that another user follows is a session of the user. */
const servicesWithoutExpiry: ReadonlySet<string> = new Set([...deliveryServices, 'doveadm', urlService]);

/** What settings and userdb fields say about a user, worked out once for the same fields. */
interface UserPlace {
  readonly home: string | undefined;
  readonly namespaces: readonly AccountNamespace[];
  readonly expandWithHome: (text: string) => string;
  readonly acl: AccountAclOptions;
  readonly sharedBlocks: readonly SharedBlock[];
  readonly quota: PreparedQuota;
  readonly specialUses: SpecialUseStore;
  readonly attributes: AttributeStore;
}

export function createUserOpener({ settings, log, driver, findUser }: UserOpenerOptions): UserOpener {
  const trees = new LRUCache<string, MailboxTree>({ max: maxRememberedTrees });
  const places = new LRUCache<string, UserPlace>({ max: maxRememberedUsers });
  const warned = new Set<string>();
  const lockTimeoutMs = settings.get(mailSettings).mail_max_lock_timeout || undefined;
  const quotas = new QuotaOpener({ settings, driver, log });
  const acls = createAclFiles(lockTimeoutMs);
  const owners = findUser === undefined ? undefined : new OwnerDirectory(findUser, log);
  const dicts = new Map<string, SharedDict>();
  const explicitInbox = settings.get(mailSettings).mail_shared_explicit_inbox;

  const dictOf = (setting: string | undefined): SharedDict | undefined => {
    if (setting === undefined || setting === '') return undefined;
    const dict = dicts.get(setting) ?? openSharedDict(setting, lockTimeoutMs);
    dicts.set(setting, dict);
    return dict;
  };

  const globalAcls = new Map<string, GlobalAcl>();
  const globalsOf = (setting: string | undefined): GlobalAcl | undefined => {
    const path = /^vfile:(\/.*?)(?::cache_secs=\d+)?$/.exec(setting ?? '')?.[1];
    if (path === undefined) return undefined;
    const opened = globalAcls.get(path) ?? openGlobalAcl(path);
    globalAcls.set(path, opened);
    return opened;
  };

  const treeFor = (location: MailLocation, hasInbox: boolean): MailboxTree => {
    for (const key of location.ignored) {
      if (warned.has(key)) continue;
      warned.add(key);
      log.warning('storage.location-key-ignored', `mail_location: ${key} has no effect`);
    }
    const key = JSON.stringify([location, hasInbox]);
    const known = trees.get(key);
    if (known !== undefined) return known;
    const { folders, layout, subscriptions } = location;
    const options: TreeOptions = {
      folders,
      driver,
      hasInbox,
      subscriptions: createSubscriptionsFile(folders.control ?? folders.root, subscriptions, layout === 'fs' ? '/' : '.', {
        names: createDiskNames(folders.isUtf8),
        lockTimeoutMs,
      }),
    };
    const tree = layout === 'fs' ? createFsTree(options) : createMaildirTree(options);
    trees.set(key, tree);
    return tree;
  };

  const findPlace = (user: UserdbUser, service: string): UserPlace => {
    checkUserName(user.user);
    const { expand, expandWithHome, home, location: defaultLocation } = templatesOf(user, service, settings.get(mailSettings));
    const locate = (text: string): MailLocation => parseLocation(expandWithHome(text), home);
    const all = parseNamespaces(settings.sections('namespace'));
    const blocks = all.filter((block) => !isOfOwners(block));
    const namespaces: AccountNamespace[] = [];
    for (const block of blocks) {
      try {
        const source = block.aliasFor === undefined ? block : (blocks.find((other) => other.prefix === block.aliasFor) ?? block);
        const location = locate(source.location === '' ? defaultLocation : source.location);
        namespaces.push(openNamespace(block, treeFor(location, source.isInbox), expand));
      } catch (error) {
        if (!(error instanceof StorageError) || !block.ignoreOnFailure) throw error;
        log.debug('storage.namespace-ignored', `Namespace ${block.prefix}: ${error.message}`);
      }
    }
    const primary = locate(defaultLocation);
    const readPlugin = (key: string): string | undefined => {
      const text = user.fields[key] ?? settings.plugin(key);
      return text === undefined ? undefined : expandWithHome(text);
    };
    const groups = readPlugin('acl_groups')?.split(',') ?? [];
    const acl: AccountAclOptions = {
      subject: { name: readPlugin('acl_user') || user.user, groups: groups.map((group) => group.trim()).filter((group) => group !== '') },
      allowsAnyone: readPlugin('acl_anyone') === 'allow',
      defaultsFromInbox: isYes(readPlugin('acl_defaults_from_inbox')),
      dict: dictOf(readPlugin('acl_shared_dict')),
      globals: globalsOf(readPlugin('acl')),
      globalsOnly: isYes(readPlugin('acl_globals_only')),
      isEnforced: settings.get(mailSettings).mail_plugins.includes('acl'),
    };
    const treeOf = (location: MailLocation): MailboxTree => treeFor(location, true);
    const toBlock = (block: NamespaceBlock): SharedBlock =>
      createSharedBlock({ block, expand: expandWithHome, home, treeFor: treeOf, placeOf: ownerPlace, explicitInbox, lockTimeoutMs });
    // What is delivered is for the user alone.
    const sharedBlocks = deliveryServices.has(service) || owners === undefined ? [] : all.filter(isOfOwners).map(toBlock);
    const controlRoot = primary.folders.control ?? primary.folders.root;
    const isDelivery = deliveryServices.has(service);
    return {
      home,
      namespaces,
      expandWithHome,
      acl,
      sharedBlocks,
      quota: quotas.prepare({ user: user.user, home, isDelivery, namespaces, read: readPlugin }),
      specialUses: createSpecialUseFile(join(controlRoot, 'roost-special-use'), parseSpecialUse, lockTimeoutMs),
      attributes: createAttributeFiles(join(controlRoot, 'roost-attributes'), lockTimeoutMs),
    };
  };

  const rememberedPlace = (user: UserdbUser, service: string): UserPlace => {
    const key = JSON.stringify([user.user, service, user.fields]);
    const known = places.get(key);
    if (known !== undefined) return known;
    const place = findPlace(user, service);
    places.set(key, place);
    return place;
  };

  /** An answer that is kept (auth/user-leases.ts) is the same object for many messages. */
  const latest = new WeakMap<UserdbUser, { readonly service: string; readonly place: UserPlace }>();
  const placeOf = (user: UserdbUser, service: string): UserPlace => {
    const known = latest.get(user);
    if (known?.service === service) return known.place;
    const place = rememberedPlace(user, service);
    latest.set(user, { service, place });
    return place;
  };

  const ownerPlace = (owner: UserdbUser): OwnerPlace => {
    const { home, namespaces, quota, expandWithHome } = placeOf(owner, urlService);
    return { home, namespaces, quota: () => quota.open(), expand: expandWithHome };
  };

  const opener: UserOpener = {
    async openUser(user, service, signal) {
      signal.throwIfAborted();
      const { namespaces, acl, sharedBlocks, quota, specialUses, attributes } = placeOf(user, service);
      return new Account({
        name: user.user,
        namespaces,
        driver,
        quota: quota.open(),
        specialUses,
        acls,
        aclOptions: acl,
        shared:
          owners === undefined || sharedBlocks.length === 0
            ? undefined
            : new SharedNamespaces({
                subject: acl.subject,
                blocks: sharedBlocks,
                dict: acl.dict,
                allowsAnyone: acl.allowsAnyone,
                explicitInbox,
                findOwner: (name, ownerSignal) => owners.find(name, user.user, ownerSignal),
              }),
        openOther: async (name, otherSignal) => {
          const other = await owners?.find(name, user.user, otherSignal);
          return other === undefined ? undefined : opener.openUser(other, urlService, otherSignal);
        },
        attributes,
        expiresMessages: !servicesWithoutExpiry.has(service),
        isForDelivery: deliveryServices.has(service),
        log,
      });
    },
  };
  return opener;
}

const isYes = (text: string | undefined): boolean => /^(?:yes|y|1)$/i.test(text ?? '');

/** Mailboxes of other users; a namespace of this type whose prefix names no owner is one like any other. */
function isOfOwners({ type, prefix }: NamespaceBlock): boolean {
  return type === 'shared' && prefix.includes('%%');
}

/** Settings that hold variables, for one user. */
export interface UserTemplates {
  readonly home: string | undefined;
  /** Of the userdb, or mail_location; its variables still in it. */
  readonly location: string;
  /** Without %h: for the settings that home is made of. @throws StorageError `unavailable` for unknown variables */
  expand(text: string): string;
  expandWithHome(text: string): string;
}

/** @throws StorageError `unavailable` when home cannot be used */
export function templatesOf(user: UserdbUser, service: string, mail: SettingsOf<typeof mailSettings>): UserTemplates {
  const variables = variablesOf(user, service);
  const expand = (text: string): string => expandSetting(text, variables);
  const home = homeOf(user, mail.mail_home, expand);
  const withHome = withVariable(variables, ['h', 'home'], home ?? '');
  return {
    home,
    location: user.fields['mail'] ?? user.fields['mail_location'] ?? mail.mail_location,
    expand,
    expandWithHome: (text) => expandSetting(text, withHome),
  };
}

function openNamespace(block: NamespaceBlock, tree: MailboxTree, expand: (text: string) => string): AccountNamespace {
  const separator = block.separator === '' ? tree.layoutSeparator : block.separator;
  const namespace: Namespace = {
    type: block.type,
    prefix: expand(block.prefix),
    separator,
    isInbox: block.isInbox,
    isHidden: block.isHidden,
    list: block.list,
    subscriptions: block.subscriptions,
  };
  checkPrefix(namespace);
  const configured = parseMailboxes(block.mailboxes, separator, block.isInbox);
  const { accountControlDir } = tree.pathsOf(inboxLevels);
  const attributes = block.type === 'private' ? undefined : createAttributeFiles(join(accountControlDir, 'roost-attributes'));
  return { namespace, tree, configured, isReadOnly: false, attributes };
}

function homeOf(user: UserdbUser, mailHome: string, expand: (text: string) => string): string | undefined {
  const home = user.fields['home'] ?? (mailHome === '' ? undefined : expand(mailHome));
  if (home === undefined || home === '') return undefined;
  if (!home.startsWith('/')) throw new StorageError('unavailable', `home of ${user.user} is not an absolute path: ${home}`);
  // Dovecot's marker of a chroot directory inside home.
  return home.replace('/./', '/');
}

/** A user name becomes part of paths. */
function checkUserName(name: string): void {
  if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) {
    throw new StorageError('unavailable', `user name ${JSON.stringify(name)} cannot be part of a path`);
  }
}

/** @throws StorageError `unavailable` for variables that have no value here: a path with a wrong text in it must not be made */
function expandSetting(text: string, variables: VariableLookup): string {
  const template = compileTemplate(text);
  const problems = [...template.problems];
  const expanded = template.expand(variables, (name) => problems.push(`Unknown variable %${name}`));
  if (problems.length > 0) throw new StorageError('unavailable', `${text}: ${problems.join(', ')}`);
  return expanded;
}

function variablesOf({ user, fields }: UserdbUser, service: string): VariableLookup {
  const at = user.indexOf('@');
  const username = at === -1 ? user : user.slice(0, at);
  const domain = at === -1 ? '' : user.slice(at + 1);
  const values: Readonly<Record<string, string>> = {
    u: user,
    user,
    n: username,
    username,
    d: domain,
    domain,
    s: service,
    service,
    i: fields['uid'] ?? '',
    uid: fields['uid'] ?? '',
    gid: fields['gid'] ?? '',
    session: '',
    auth_user: user,
    auth_username: username,
    auth_domain: domain,
  };
  return (name) => {
    const [prefix, key = '', fallback = ''] = name.split(':');
    if (prefix === 'userdb' && key !== '') return fields[key] ?? fallback;
    return values[name];
  };
}

function withVariable(lookup: VariableLookup, names: readonly string[], value: string): VariableLookup {
  return (name) => (names.includes(name) ? value : lookup(name));
}
