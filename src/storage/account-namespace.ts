// One namespace of one account, with its storage.
import type { AttributeStore } from './attributes.js';
import { StorageError } from './errors.js';
import { checkLevels, inboxLevels, invalidName, type Levels } from './list/name.js';
import type { MailboxTree } from './list/tree.js';
import { type ConfiguredMailbox, visibleName } from './list/visible-list.js';
import type { AccountQuota } from './quota/account-quota.js';
import type { Namespace } from './user.js';

export interface AccountNamespace {
  readonly namespace: Namespace;
  readonly tree: MailboxTree;
  readonly configured: readonly ConfiguredMailbox[];
  readonly isReadOnly: boolean;
  /** Of mailboxes that several users share: what is for all of them. */
  readonly attributes?: AttributeStore | undefined;
  /** Of mailboxes of another user. */
  readonly owner?: NamespaceOwner | undefined;
}

export interface NamespaceOwner {
  readonly name: string;
  /** What is saved counts against it. */
  readonly quota: AccountQuota;
  /** What the owner calls the mailbox. */
  nameOf(levels: Levels): string;
  readonly hasExplicitInbox: boolean;
}

/** A mailbox name taken apart. */
export interface ResolvedName {
  readonly at: AccountNamespace;
  /** Empty for the namespace itself (its prefix without the separator). */
  readonly levels: Levels;
  /** Visible name in its one spelling. */
  readonly name: string;
}

/**
 * Finds the namespace with the longest prefix that fits. INBOX is without case, alone and as first level.
 * @throws StorageError `not-found` when no namespace has such names
 */
export function resolveName(all: readonly AccountNamespace[], name: string): ResolvedName {
  const inbox = all.find(({ namespace }) => namespace.isInbox);
  if (inbox !== undefined && name.toUpperCase() === 'INBOX') return { at: inbox, levels: inboxLevels, name: 'INBOX' };
  let best: { readonly at: AccountNamespace; readonly rest: string } | undefined;
  for (const at of all) {
    const rest = restAfterPrefix(at.namespace, name);
    if (rest !== undefined && (best === undefined || at.namespace.prefix.length > best.at.namespace.prefix.length)) best = { at, rest };
  }
  if (best === undefined) throw unknownNamespace(name, inbox?.namespace.prefix);
  const { at, rest } = best;
  if (rest === '') return { at, levels: [], name: withoutSeparator(at.namespace) };
  const levels = rest.split(at.namespace.separator);
  if (at.namespace.isInbox && levels[0]?.toUpperCase() === 'INBOX') {
    if (levels.length === 1) throw unknownNamespace(name, at.namespace.prefix);
    levels[0] = 'INBOX';
  }
  return { at, levels, name: visibleName(at.namespace, levels) };
}

/** The same, with all rules for names: what comes out may be given to the tree. @throws StorageError `invalid-name`, `not-found` */
export function resolveMailbox(all: readonly AccountNamespace[], name: string): ResolvedName {
  return checkedName(resolveName(all, name), name);
}

/** What `resolveName` made of the name, if it keeps all rules for names. @throws StorageError `invalid-name` */
export function checkedName(resolved: ResolvedName, name: string): ResolvedName {
  // What resolveName itself calls so is a name in every layout.
  if (resolved.levels === inboxLevels) return resolved;
  checkLevels(resolved.levels, name);
  const problem = resolved.at.tree.problemOf(resolved.levels);
  if (problem !== undefined) throw invalidName(problem, name);
  return resolved;
}

/** The rest of the name, '' for the prefix itself with or without separator. */
function restAfterPrefix({ prefix, separator }: Namespace, name: string): string | undefined {
  if (prefix === '') return name;
  const isInboxPrefix = prefix.toUpperCase().startsWith(`INBOX${separator}`);
  const folded = isInboxPrefix && name.slice(0, 5).toUpperCase() === 'INBOX' ? prefix.slice(0, 5) + name.slice(5) : name;
  if (folded.startsWith(prefix)) return folded.slice(prefix.length);
  return folded === prefix.slice(0, -separator.length) ? '' : undefined;
}

function unknownNamespace(name: string, inboxPrefix: string | undefined): StorageError {
  const hint = inboxPrefix === undefined || inboxPrefix === '' ? '' : ` (Mailbox name should probably be prefixed with: ${inboxPrefix})`;
  return new StorageError('not-found', `no namespace for ${JSON.stringify(name)}`, {
    clientText: `Client tried to access nonexistent namespace.${hint}`,
  });
}

function withoutSeparator({ prefix, separator }: Namespace): string {
  return prefix === '' ? '' : prefix.slice(0, -separator.length);
}
