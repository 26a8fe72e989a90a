// THREAD=ORDEREDSUBJECT, THREAD=REFERENCES (RFC 5256 3) and THREAD=REFS over arrays of messages. Time is near linear, apart from sorting; no
// recursion, so that a thread of 100,000 replies is no problem. Everything is made of steps, between which others may work.
import { sortSteps } from '#util/sort-in-slices.js';
import { runSteps, type Steps } from '#util/steps.js';

export interface ThreadMessage {
  /** UID or sequence number, as it is to be shown. */
  readonly id: number;
  /** Normalised Message-ID without brackets (`messageIds`); undefined when missing. */
  readonly messageId: string | undefined;
  /** Ancestors, oldest first: References, else the first of In-Reply-To (`referencesOf`). */
  readonly references: readonly string[];
  /** Base subject as collation key; ''. Not used by REFS. */
  readonly subjectKey: string;
  readonly isReplyOrForward: boolean;
  /** Sent date, internal date where there is none; ms since the epoch. */
  readonly sentMs: number;
}

/** A message and its answers. `id` undefined: a message that is referred to but not there. */
export interface ThreadNode {
  readonly id: number | undefined;
  readonly children: readonly ThreadNode[];
}

interface Container {
  message: ThreadMessage | undefined;
  /** Place in the input; breaks ties. */
  order: number;
  parent: Container | undefined;
  children: Container[];
  /** Union-find link towards the root of this tree, to see loops without walking up. */
  set: Container | undefined;
}

const maxReferences = 1000;
/** Containers between two pauses. */
const stride = 256;

/** Message ids of a References, In-Reply-To or Message-ID field in order, without brackets; quotes inside removed (RFC 5256 2.1 msg-id rule). */
export function messageIds(field: string): string[] {
  const ids: string[] = [];
  let position = 0;
  while (ids.length < maxReferences) {
    const start = field.indexOf('<', position);
    if (start === -1) break;
    const end = field.indexOf('>', start);
    if (end === -1) break;
    // A second opening bracket begins the id anew: `<broken <id@host>`.
    const from = field.lastIndexOf('<', end) + 1;
    const id = field.slice(from, end).replace(/[\s"\\]/g, '');
    if (id.includes('@')) ids.push(id);
    position = end + 1;
  }
  return ids;
}

/** The ancestors of a message by its raw fields (RFC 5256 3, REFERENCES step 1): References, else the first id of In-Reply-To. */
export function referencesOf(references: string | undefined, inReplyTo: string | undefined): string[] {
  const list = references === undefined ? [] : messageIds(references);
  return list.length > 0 || inReplyTo === undefined ? list : messageIds(inReplyTo).slice(0, 1);
}

/** Groups by base subject, sorted by sent date; the first of a group is the parent of the others (RFC 5256 3). */
export function* orderedSubjectSteps(messages: readonly ThreadMessage[]): Steps<ThreadNode[]> {
  const numbered = messages.map((message, order) => ({ message, order }));
  const byDate = yield* sortSteps(numbered, (a, b) => a.message.sentMs - b.message.sentMs || a.order - b.order);
  const groups = new Map<string, { id: number; children: ThreadNode[] }>();
  for (const [index, { message }] of byDate.entries()) {
    const group = groups.get(message.subjectKey);
    if (group === undefined) groups.set(message.subjectKey, { id: message.id, children: [] });
    else group.children.push({ id: message.id, children: [] });
    if (index % stride === 0) yield;
  }
  // A Map keeps the order of first insertion: the threads are in the order of their first message already.
  return [...groups.values()];
}

/** RFC 5256 3, REFERENCES. */
export function* referencesSteps(messages: readonly ThreadMessage[]): Steps<ThreadNode[]> {
  const roots = yield* pruneDummies(yield* link(messages));
  for (const root of roots) if (root.message === undefined) root.children.sort(bySent);
  const merged = yield* mergeSubjects(yield* sortSteps(roots, bySent));
  return yield* toNodes(yield* sortAll(merged, bySent));
}

/** Like REFERENCES without merging by subject; threads are in the order of their newest message's sent date. */
export function* refsSteps(messages: readonly ThreadMessage[]): Steps<ThreadNode[]> {
  const roots = yield* pruneDummies(yield* link(messages));
  const newest = new Map<Container, number>();
  for (const [index, root] of roots.entries()) {
    newest.set(root, yield* newestIn(root));
    if (index % stride === 0) yield;
  }
  const sorted = yield* sortAll(roots, bySent);
  return yield* toNodes(yield* sortSteps(sorted, (a, b) => (newest.get(a) ?? 0) - (newest.get(b) ?? 0) || a.order - b.order));
}

export const threadByOrderedSubject = (messages: readonly ThreadMessage[]): ThreadNode[] => runSteps(orderedSubjectSteps(messages));
export const threadByReferences = (messages: readonly ThreadMessage[]): ThreadNode[] => runSteps(referencesSteps(messages));
export const threadByRefs = (messages: readonly ThreadMessage[]): ThreadNode[] => runSteps(refsSteps(messages));

/**
 * Steps 1 and 2: containers for all messages and ids, linked parent to child; returns those without a parent.
 *
 * A message's own last reference decides about its parent (step 1.B breaks any earlier link), so links from other messages' references to a
 * message that is still to come are not made at all: nothing is ever unlinked.
 */
function* link(messages: readonly ThreadMessage[]): Steps<Container[]> {
  const byId = new Map<string, Container>();
  const all: Container[] = [];
  const pending = new Set<Container>();
  const containers: Container[] = [];
  for (const [order, message] of messages.entries()) {
    if (order % stride === 0) yield;
    const known = message.messageId === undefined ? undefined : byId.get(message.messageId);
    const container = newContainer(message, order);
    all.push(container);
    // Of several messages with one id the first has it, the others count as if they had none.
    if (message.messageId !== undefined && known === undefined) byId.set(message.messageId, container);
    pending.add(container);
    containers.push(container);
  }
  for (const [index, container] of containers.entries()) {
    if (index % stride === 0) yield;
    let parent: Container | undefined;
    for (const id of container.message?.references ?? []) {
      let reference = byId.get(id);
      if (reference === undefined) {
        reference = newContainer(undefined, container.order);
        byId.set(id, reference);
        all.push(reference);
      }
      if (parent !== undefined && reference.parent === undefined && !pending.has(reference)) adopt(parent, reference);
      parent = reference;
    }
    pending.delete(container);
    if (parent !== undefined) adopt(parent, container);
  }
  return all.filter(({ parent }) => parent === undefined);
}

function newContainer(message: ThreadMessage | undefined, order: number): Container {
  return { message, order, parent: undefined, children: [], set: undefined };
}

/** Makes a link unless it would close a loop. */
function adopt(parent: Container, child: Container): void {
  if (child.parent !== undefined || findRoot(parent) === child) return;
  child.parent = parent;
  parent.children.push(child);
  child.set = parent;
}

function findRoot(container: Container): Container {
  let root = container;
  while (root.set !== undefined) root = root.set;
  let node = container;
  while (node.set !== undefined && node.set !== root) {
    const next: Container = node.set;
    node.set = root;
    node = next;
  }
  return root;
}

/** Step 3: dummies without children go; dummies give their children to their parent, at the top only a single one. */
function* pruneDummies(roots: readonly Container[]): Steps<Container[]> {
  // Children before parents: each dummy inside a tree is replaced by what is left of its children.
  let count = 0;
  for (const container of yield* inPostOrder(roots)) {
    count += 1;
    if (count % stride === 0) yield;
    if (container.children.some((child) => child.message === undefined)) {
      container.children = container.children.flatMap((child) => (child.message === undefined ? child.children : [child]));
    }
  }
  const kept: Container[] = [];
  for (const root of roots) {
    const [first] = root.children;
    if (root.message !== undefined || root.children.length > 1) kept.push(root);
    else if (first !== undefined) kept.push(first);
  }
  return kept;
}

function* inPostOrder(roots: readonly Container[]): Steps<Container[]> {
  const order: Container[] = [];
  const stack = [...roots];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    order.push(next);
    for (const child of next.children) stack.push(child);
    if (order.length % stride === 0) yield;
  }
  return order.reverse();
}

/** The message whose date and subject stand for a thread: its own, or a dummy's first child. */
function leadOf(container: Container): ThreadMessage | undefined {
  return container.message ?? container.children[0]?.message;
}

function dateOf(container: Container): number {
  return leadOf(container)?.sentMs ?? 0;
}

/** Order of siblings (RFC 5256 2.2). */
function bySent(a: Container, b: Container): number {
  return dateOf(a) - dateOf(b) || a.order - b.order;
}

function* newestIn(root: Container): Steps<number> {
  let newest = Number.NEGATIVE_INFINITY;
  for (const { message } of yield* inPostOrder([root])) if (message !== undefined && message.sentMs > newest) newest = message.sentMs;
  return newest;
}

/** Step 5: threads of one subject become one. */
function* mergeSubjects(roots: readonly Container[]): Steps<Container[]> {
  const table = new Map<string, Container>();
  for (const [index, root] of roots.entries()) {
    if (index % stride === 0) yield;
    const key = leadOf(root)?.subjectKey ?? '';
    if (key === '') continue;
    const known = table.get(key);
    if (known === undefined || replacesInTable(root, known)) table.set(key, root);
  }
  const merged = new Set<Container>(roots);
  for (const [index, root] of roots.entries()) {
    if (index % stride === 0) yield;
    const key = leadOf(root)?.subjectKey ?? '';
    const target = key === '' ? undefined : table.get(key);
    if (target === undefined || target === root) continue;
    merged.delete(root);
    if (target.message === undefined) {
      if (root.message === undefined) target.children.push(...root.children);
      else target.children.push(root);
    } else if (isReply(root) && !isReply(target)) target.children.push(root);
    else {
      const both = newContainer(undefined, target.order);
      both.children = [target, root];
      merged.delete(target);
      merged.add(both);
      table.set(key, both);
    }
  }
  return [...merged];
}

function isReply(container: Container): boolean {
  return leadOf(container)?.isReplyOrForward ?? false;
}

/** Step 5.B: dummies and messages that are no replies are better heads of a thread. */
function replacesInTable(candidate: Container, known: Container): boolean {
  if (candidate.message === undefined && known.message !== undefined) return true;
  return isReply(known) && !isReply(candidate);
}

/** Step 6: siblings at every level; children before parents, since a dummy is placed by its first child. */
function* sortAll(roots: readonly Container[], compare: (a: Container, b: Container) => number): Steps<Container[]> {
  let count = 0;
  for (const container of yield* inPostOrder(roots)) {
    if (container.children.length > 1) container.children = yield* sortSteps(container.children, compare);
    count += 1;
    if (count % stride === 0) yield;
  }
  return yield* sortSteps(roots, compare);
}

function* toNodes(roots: readonly Container[]): Steps<ThreadNode[]> {
  const made = new Map<Container, ThreadNode>();
  let count = 0;
  for (const container of yield* inPostOrder(roots)) {
    count += 1;
    if (count % stride === 0) yield;
    const children: ThreadNode[] = [];
    for (const child of container.children) {
      const node = made.get(child);
      if (node !== undefined) children.push(node);
      made.delete(child);
    }
    made.set(container, { id: container.message?.id, children });
  }
  return roots.flatMap((root) => made.get(root) ?? []);
}

/** The THREAD response's list (RFC 5256 4): `(2)(3 6 (4 23)(44 7 96))`. */
export function threadText(threads: readonly ThreadNode[]): string {
  return runSteps(threadTextSteps(threads));
}

export function* threadTextSteps(threads: readonly ThreadNode[]): Steps<string> {
  const parts: string[] = [];
  const stack: (ThreadNode | string)[] = [];
  let untilYield = stride;
  for (const thread of threads) {
    stack.push(')', thread);
    parts.push('(');
    let needsSpace = false;
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      if (typeof next === 'string') {
        parts.push(next);
        needsSpace = next === '(' ? false : needsSpace;
        continue;
      }
      untilYield -= 1;
      if (untilYield === 0) {
        untilYield = stride;
        yield;
      }
      if (next.id !== undefined) {
        parts.push(needsSpace ? ` ${next.id}` : String(next.id));
        needsSpace = true;
      }
      const [only] = next.children;
      if (next.children.length === 1 && only !== undefined) stack.push(only);
      else {
        if (next.children.length > 1 && needsSpace) parts.push(' ');
        for (let index = next.children.length - 1; index >= 0; index -= 1) {
          const child = next.children[index];
          if (child !== undefined) stack.push(')', child, '(');
        }
      }
    }
  }
  return parts.join('');
}
