// The part of LIST that shows mailboxes of other users: those that the user has the right to see (`l`), and the names around them.
import type { AccountNamespace } from './account-namespace.js';
import { inboxLevels, isInboxLevels, type Levels } from './list/name.js';
import { compilePattern, type MailboxPattern } from './list/pattern.js';
import type { MailboxAccess } from './mailbox-access.js';
import { type SharedBlock, type SharedNamespaces, sharedName } from './shared-namespaces.js';
import type { MailboxListEntry } from './user.js';

export interface SharedListOptions {
  readonly shared: SharedNamespaces;
  readonly access: MailboxAccess;
  readonly patterns: readonly string[];
  readonly subscribedOnly: boolean;
  /** Subscribed names that belong here. Whether there is a mailbox is said only to those who may see it. */
  readonly subscribed: readonly string[];
}

type Node = { -readonly [Key in keyof MailboxListEntry]: MailboxListEntry[Key] };

/** As `MailUser.list`, sorted. */
export async function listShared(options: SharedListOptions, signal: AbortSignal): Promise<readonly MailboxListEntry[]> {
  const { shared, access, patterns, subscribedOnly, subscribed } = options;
  const found: MailboxListEntry[] = [];
  for (const block of shared.options.blocks) {
    const asked = patterns.filter((pattern) => reaches(pattern, block));
    if (asked.length === 0) continue;
    const { separator, list } = block.namespace;
    const own = subscribed.filter((name) => name.startsWith(block.prefix.root));
    const nodes = new Nodes(separator);
    if (list === 'yes') nodes.addParent(block.prefix.root.slice(0, -separator.length));
    for (const at of await shared.listed(block, subscribedOnly ? own : [...asked, ...own], !subscribedOnly, signal)) {
      for (const levels of await visibleLevels(at, access, signal)) nodes.addMailbox(sharedName(at, levels), at.namespace.prefix);
    }
    for (const name of own) nodes.subscribe(name);
    const compiled = asked.map((pattern) => compilePattern(pattern, separator));
    const sorted = nodes.sorted();
    for (const [index, entry] of sorted.entries()) {
      const isWanted = subscribedOnly ? entry.isSubscribed || entry.hasSubscribedChildren : entry.exists || entry.hasChildren;
      if (!isWanted) continue;
      const matching = compiled.filter((pattern) => pattern.matches(entry.name));
      // A name that stands only for what is below it is told where a pattern leaves that out.
      const isNeeded = subscribedOnly || entry.exists || !hasMatchBelow(sorted, index, matching);
      if (matching.length > 0 && isNeeded) found.push(entry);
    }
  }
  return found;
}

/** `list = no`: only when the pattern names the namespace. */
function reaches(pattern: string, { prefix: { root }, namespace }: SharedBlock): boolean {
  const fixed = pattern.replace(/[*%].*$/s, '');
  if (fixed.startsWith(root) || `${fixed}${namespace.separator}` === root) return true;
  return namespace.list !== 'no' && fixed !== pattern && root.startsWith(fixed);
}

/** What is below a name follows it. */
function hasMatchBelow(sorted: readonly MailboxListEntry[], index: number, patterns: readonly MailboxPattern[]): boolean {
  const { name = '', separator = '' } = sorted[index] ?? {};
  for (let at = index + 1; sorted[at]?.name.startsWith(name + separator) === true; at += 1) {
    if (sorted[at]?.exists === true && patterns.some((pattern) => pattern.matches(sorted[at]?.name ?? ''))) return true;
  }
  return false;
}

async function visibleLevels(at: AccountNamespace, access: MailboxAccess, signal: AbortSignal): Promise<readonly Levels[]> {
  const { separator } = at.namespace;
  let entries: readonly Levels[];
  try {
    entries = (await at.tree.entries(signal)).flatMap(({ levels, isMailbox }) => (isMailbox && !isInboxLevels(levels) ? [levels] : []));
    if ((await at.tree.kindOf(inboxLevels, signal)) === 'mailbox') entries = [inboxLevels, ...entries];
  } catch (error) {
    signal.throwIfAborted();
    // Another user's folder that cannot be read shows nothing; the log has said so when a list was read.
    access.options.log.debug('storage.shared-list', `Mailboxes of ${at.owner?.name ?? ''} cannot be listed`, { error });
    return [];
  }
  const visible: Levels[] = [];
  for (const levels of entries) {
    if (levels.some((level) => level.includes(separator))) continue;
    if ((await access.rights(at, levels)).includes('l')) visible.push(levels);
  }
  return visible;
}

class Nodes {
  readonly #separator: string;
  readonly #nodes = new Map<string, Node>();

  constructor(separator: string) {
    this.#separator = separator;
  }

  /** @param prefix of the owner: up to there the names are there, and no mailboxes */
  addMailbox(name: string, prefix: string): void {
    const node = this.#node(name);
    node.exists = true;
    node.isSelectable = true;
    for (const parent of this.#parents(name)) {
      parent.hasChildren = true;
      if (prefix.startsWith(`${parent.name}${this.#separator}`)) parent.exists = true;
    }
  }

  addParent(name: string): void {
    this.#node(name).exists = true;
  }

  subscribe(name: string): void {
    this.#node(name).isSubscribed = true;
    for (const parent of this.#parents(name)) parent.hasSubscribedChildren = true;
  }

  sorted(): readonly MailboxListEntry[] {
    const key = (name: string): string => name.replaceAll(this.#separator, '\0');
    return [...this.#nodes.values()].sort((a, b) => (key(a.name) < key(b.name) ? -1 : 1));
  }

  #parents(name: string): readonly Node[] {
    const path = name.split(this.#separator);
    return path.slice(1).map((_, index) => this.#node(path.slice(0, index + 1).join(this.#separator)));
  }

  #node(name: string): Node {
    const known = this.#nodes.get(name);
    if (known !== undefined) return known;
    const node: Node = {
      name,
      separator: this.#separator,
      exists: false,
      isSelectable: false,
      hasChildren: false,
      isSubscribed: false,
      hasSubscribedChildren: false,
      specialUse: [],
      isMarked: undefined,
    };
    this.#nodes.set(name, node);
    return node;
  }
}
