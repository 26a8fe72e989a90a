// LIST of one account: its own mailboxes, and those of others which it may see.

import type { AccountNames } from './account-names.js';
import type { AccountNamespace } from './account-namespace.js';
import { inboxLevels, isInboxLevels, type Levels } from './list/name.js';
import { compilePattern } from './list/pattern.js';
import type { SpecialUseStore } from './list/special-uses.js';
import { buildList, type ListSources, visibleName } from './list/visible-list.js';
import type { MailboxAccess } from './mailbox-access.js';
import { listShared } from './shared-list.js';
import type { SharedNamespaces } from './shared-namespaces.js';
import type { MailboxListEntry, Namespace } from './user.js';

export interface AccountListOptions {
  readonly all: readonly AccountNamespace[];
  readonly names: AccountNames;
  readonly shared: SharedNamespaces | undefined;
  readonly access: MailboxAccess;
  readonly specialUses: SpecialUseStore;
}

export class AccountList {
  readonly #options: AccountListOptions;
  readonly #lists = new Map<AccountNamespace, { readonly sources: ListSources; readonly entries: readonly MailboxListEntry[] }>();

  constructor(options: AccountListOptions) {
    this.#options = options;
  }

  async entries(
    patterns: readonly string[],
    options: { readonly subscribedOnly: boolean },
    signal: AbortSignal,
  ): Promise<readonly MailboxListEntry[]> {
    const found: MailboxListEntry[] = [];
    const { own: subscribed, others } = await this.#subscriptions(signal);
    const ordered = [...this.#options.all].sort((a, b) => Number(b.namespace.isInbox) - Number(a.namespace.isInbox));
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
    const { shared } = this.#options;
    if (shared !== undefined)
      found.push(...(await listShared({ shared, access: this.#options.access, patterns, ...options, subscribed: others }, signal)));
    return found;
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
  async #subscriptions(
    signal: AbortSignal,
  ): Promise<{ readonly own: ReadonlyMap<AccountNamespace, readonly Levels[]>; readonly others: readonly string[] }> {
    const others: string[] = [];
    const byNamespace = new Map<AccountNamespace, Levels[]>();
    for (const at of this.#options.all) {
      if (!at.namespace.subscriptions) continue;
      for (const stored of await at.tree.subscriptions.read(signal)) {
        const levels = isInboxLevels([stored.join('\0').toUpperCase()]) && at.namespace.isInbox ? inboxLevels : stored;
        const name = visibleName(at.namespace, levels);
        if (this.#options.names.findShared(name) !== undefined) {
          others.push(name);
          continue;
        }
        const resolved = this.#options.names.findName(name);
        if (resolved === undefined || resolved.levels.length === 0) continue;
        const list = byNamespace.get(resolved.at);
        if (list === undefined) byNamespace.set(resolved.at, [resolved.levels]);
        else list.push(resolved.levels);
      }
    }
    return { own: byNamespace, others };
  }
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
