// From `namespace { type = shared }` blocks to the mailboxes of other users.
//
// In prefix and location a single % is about the accessing user, a doubled one about the owner: `maildir:%%h/Maildir:INDEX=%h/shared/%%u`.
import type { AccountNamespace } from './account-namespace.js';
import { type AttributeStore, createAttributeFiles } from './attributes.js';
import { StorageError } from './errors.js';
import { inboxLevels, isInboxLevels, type Levels } from './list/name.js';
import type { MailboxTree } from './list/tree.js';
import { visibleName } from './list/visible-list.js';
import { type MailLocation, parseLocation } from './location.js';
import { checkPrefix, type NamespaceBlock } from './namespace.js';
import { OwnerPrefix } from './owner-prefix.js';
import type { AccountQuota } from './quota/account-quota.js';
import type { SharedBlock } from './shared-namespaces.js';
import type { Namespace } from './user.js';
import type { UserdbUser } from './userdb-user.js';

/** Variables of one user. */
export interface OwnerPlace {
  readonly home: string | undefined;
  /** Those that the owner sees. */
  readonly namespaces: readonly AccountNamespace[];
  readonly quota: () => AccountQuota;
  /** %u, %n, %d, %h and the like. @throws StorageError `unavailable` */
  readonly expand: (text: string) => string;
}

export interface SharedBlockOptions {
  readonly block: NamespaceBlock;
  /** The accessing user's. */
  readonly expand: (text: string) => string;
  readonly home: string | undefined;
  readonly treeFor: (location: MailLocation) => MailboxTree;
  readonly placeOf: (owner: UserdbUser) => OwnerPlace;
  readonly explicitInbox: boolean;
  readonly lockTimeoutMs: number | undefined;
}

/** @throws StorageError `unavailable` for a block that cannot work */
export function createSharedBlock(options: SharedBlockOptions): SharedBlock {
  const { block } = options;
  if (block.isInbox || block.aliasFor !== undefined) throw configError(block, 'a shared namespace cannot have inbox = yes or alias_for');
  if (block.location === '') throw configError(block, 'a shared namespace needs a location, such as maildir:%%h/Maildir');
  if (/(?:^|:)INDEXPVT=/i.test(block.location)) {
    throw configError(block, 'INDEXPVT is not supported: flags of shared mailboxes are the same for all; leave the key out');
  }
  const separator = block.separator === '' ? '/' : block.separator;
  const prefix = new OwnerPrefix(expandKeepingOwner(block.prefix, options.expand), separator);
  const location = expandKeepingOwner(block.location, options.expand);
  const namespace: Namespace = {
    type: 'shared',
    prefix: prefix.root,
    separator,
    isInbox: false,
    isHidden: block.isHidden,
    list: block.list,
    subscriptions: false,
  };
  checkPrefix(namespace);
  return { prefix, namespace, open: (owner, ownPrefix) => openOwner(options, { namespace, location }, owner, ownPrefix) };
}

function openOwner(
  { home, treeFor, placeOf, explicitInbox, lockTimeoutMs }: SharedBlockOptions,
  { namespace, location }: { readonly namespace: Namespace; readonly location: string },
  owner: UserdbUser,
  prefix: string,
): AccountNamespace {
  const place = placeOf(owner);
  if (/%(?:h|\{home\})/.test(location) && place.home === undefined)
    throw new StorageError('unavailable', `userdb gives no home for ${owner.user}`);
  const tree = treeFor(parseLocation(place.expand(location), home));
  const attributes: AttributeStore = createAttributeFiles(`${tree.pathsOf(inboxLevels).accountControlDir}/roost-attributes`, lockTimeoutMs);
  const primary = place.namespaces.find((at) => at.namespace.isInbox)?.namespace;
  let quota: AccountQuota | undefined;
  return {
    namespace: { ...namespace, prefix, isHidden: true },
    tree,
    configured: [],
    isReadOnly: false,
    attributes,
    owner: {
      name: owner.user,
      get quota() {
        quota ??= place.quota();
        return quota;
      },
      nameOf: (levels: Levels) => (primary === undefined || isInboxLevels(levels) ? levels.join('/') : visibleName(primary, levels)),
      hasExplicitInbox: explicitInbox,
    },
  };
}

/** Variables with one % replaced; what had two has one then, and values that hold a % have two. */
function expandKeepingOwner(text: string, expand: (text: string) => string): string {
  return text
    .split('%%')
    .map((piece) => expand(piece).replaceAll('%', '%%'))
    .join('%');
}

function configError({ name }: NamespaceBlock, text: string): StorageError {
  return new StorageError('unavailable', `namespace configuration error: namespace ${name}: ${text}`);
}
