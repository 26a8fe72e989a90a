// From what is on disk, subscribed and configured to what LIST shows of one namespace.
import type { MailboxListEntry, Namespace, SpecialUse } from '../user.js';
import { inboxLevels, isInboxLevels, type Levels } from './name.js';
import { compilePattern } from './pattern.js';
import type { TreeEntry } from './tree.js';

/** A `mailbox NAME { ... }` block. */
export interface ConfiguredMailbox {
  /** Below the namespace's prefix; may have wildcards, then it only matches others. */
  readonly levels: Levels;
  readonly auto: 'no' | 'create' | 'subscribe';
  readonly specialUse: readonly SpecialUse[];
  /** Remove messages saved longer ago than this, ms; 0: never. */
  readonly autoexpungeMs: number;
  /** Remove the oldest beyond this number; 0: no limit. */
  readonly autoexpungeMaxMails: number;
}

export interface ListSources {
  readonly namespace: Namespace;
  readonly onDisk: readonly TreeEntry[];
  readonly subscribed: readonly Levels[];
  readonly configured: readonly ConfiguredMailbox[];
  /** Special uses given by CREATE, by visible name. */
  readonly specialUses: ReadonlyMap<string, readonly SpecialUse[]>;
}

interface Node {
  readonly name: string;
  readonly path: readonly string[];
  readonly sortKey: string;
  exists: boolean;
  isSelectable: boolean;
  isSubscribed: boolean;
  hasChildren: boolean;
  hasSubscribedChildren: boolean;
}

/** Visible name of levels in a namespace. */
export function visibleName(namespace: Namespace, levels: Levels): string {
  return namespace.isInbox && isInboxLevels(levels) ? 'INBOX' : namespace.prefix + levels.join(namespace.separator);
}

export const hasWildcard = (name: string): boolean => /[*%?]/.test(name);

/** Everything of the namespace, parents first, siblings in code point order, INBOX in front. */
export function buildList(sources: ListSources): MailboxListEntry[] {
  const nodes = new NodeMap(sources.namespace);
  const { namespace } = sources;
  if (namespace.isInbox) nodes.addMailbox(inboxLevels);
  for (const { levels, isMailbox } of sources.onDisk) {
    if (levels.some((level) => level.includes(namespace.separator))) continue;
    if (isMailbox) nodes.addMailbox(levels);
    else nodes.addContainer(levels);
  }
  for (const { levels, auto } of sources.configured) {
    if (auto !== 'no' && !levels.some(hasWildcard)) nodes.addMailbox(levels);
  }
  if (namespace.prefix !== '' && (namespace.list === 'yes' || nodes.size > 0)) nodes.addPrefix();
  for (const levels of sources.subscribed) nodes.subscribe(levels);
  for (const { levels, auto } of sources.configured) {
    if (auto === 'subscribe' && !levels.some(hasWildcard)) nodes.subscribe(levels);
  }
  const uses = specialUseLookup(sources);
  return nodes.sorted().map((node) => ({
    name: node.name,
    separator: namespace.separator,
    exists: node.exists,
    isSelectable: node.isSelectable,
    hasChildren: node.hasChildren,
    isSubscribed: node.isSubscribed,
    hasSubscribedChildren: node.hasSubscribedChildren,
    specialUse: uses(node.name),
    isMarked: undefined,
  }));
}

function specialUseLookup({ namespace, configured, specialUses }: ListSources): (name: string) => readonly SpecialUse[] {
  const patterns = configured
    .filter(({ specialUse }) => specialUse.length > 0)
    .map(({ levels, specialUse }) => ({ pattern: compilePattern(visibleName(namespace, levels), namespace.separator), specialUse }));
  return (name) => {
    const uses = new Set(specialUses.get(name));
    for (const { pattern, specialUse } of patterns) if (pattern.matches(name)) for (const use of specialUse) uses.add(use);
    return [...uses];
  };
}

class NodeMap {
  readonly #namespace: Namespace;
  readonly #nodes = new Map<string, Node>();

  constructor(namespace: Namespace) {
    this.#namespace = namespace;
  }

  get size(): number {
    return this.#nodes.size;
  }

  addMailbox(levels: Levels): void {
    const node = this.#at(levels);
    node.exists = true;
    node.isSelectable = true;
    for (const parent of this.#parentsOf(levels)) parent.hasChildren = true;
  }

  addContainer(levels: Levels): void {
    this.#at(levels).exists = true;
    for (const parent of this.#parentsOf(levels)) parent.hasChildren = true;
  }

  /** The namespace itself, as the parent of its mailboxes. */
  addPrefix(): void {
    const path = this.#prefixPath();
    for (let depth = 1; depth <= path.length; depth += 1) {
      const node = this.#node(path.slice(0, depth));
      node.exists = true;
      if (depth < path.length || [...this.#nodes.values()].some((other) => other.path.length > path.length)) node.hasChildren = true;
    }
  }

  subscribe(levels: Levels): void {
    this.#at(levels).isSubscribed = true;
    for (const parent of this.#parentsOf(levels)) parent.hasSubscribedChildren = true;
  }

  sorted(): Node[] {
    return [...this.#nodes.values()].sort((a, b) => (a.sortKey < b.sortKey ? -1 : 1));
  }

  #prefixPath(): string[] {
    const { prefix, separator } = this.#namespace;
    return prefix === '' ? [] : prefix.slice(0, -separator.length).split(separator);
  }

  #pathOf(levels: Levels): string[] {
    return this.#namespace.isInbox && isInboxLevels(levels) ? ['INBOX'] : [...this.#prefixPath(), ...levels];
  }

  #at(levels: Levels): Node {
    return this.#node(this.#pathOf(levels));
  }

  #parentsOf(levels: Levels): Node[] {
    const path = this.#pathOf(levels);
    return path.slice(1).map((_, index) => this.#node(path.slice(0, index + 1)));
  }

  #node(path: readonly string[]): Node {
    const name = path.join(this.#namespace.separator);
    const known = this.#nodes.get(name);
    if (known !== undefined) return known;
    const node: Node = {
      name,
      path,
      sortKey: sortKey(path),
      exists: false,
      isSelectable: false,
      isSubscribed: false,
      hasChildren: false,
      hasSubscribedChildren: false,
    };
    this.#nodes.set(name, node);
    return node;
  }
}

/** Sorts as a tree: NUL is below every character of a name, so a parent is before its children and these before its siblings. */
function sortKey(path: readonly string[]): string {
  return `${path[0] === 'INBOX' ? '0' : '1'}${path.join('\0')}`;
}
