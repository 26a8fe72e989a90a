// From a query to messages: which mailboxes may hold any, and in each the messages that match.
import { StorageError } from '#storage/errors.js';
import type { Mailbox, MailboxView } from '#storage/mailbox.js';
import { emailIdOf } from '#storage/object-id.js';
import type { SearchQuery } from '#storage/search.js';
import { resolveNumberSet } from '#util/number-set.js';
import type { AdminQuery, LeafQuery } from '../query.js';
import type { MailAccount } from './each-user.js';

export interface Selection {
  readonly mailbox: Mailbox;
  readonly view: MailboxView;
  /** Sequence numbers, ascending; at least one. */
  readonly seqs: readonly number[];
}

/**
 * Runs `work` for each mailbox with messages that match, in the order of the list. A mailbox that the query names and that does not exist is
 * a failure, one that goes meanwhile is not.
 */
export async function forEachSelection(
  account: MailAccount,
  query: AdminQuery,
  options: { readonly readOnly: boolean },
  work: (selection: Selection) => Promise<void>,
): Promise<void> {
  const { mail, signal } = account;
  const patterns = await expandPatterns(account, query);
  const named = new Set(namesIn(query).map(canonicalName));
  const listed = (await mail.list(['*'], { subscribedOnly: false }, signal)).filter(({ isSelectable }) => isSelectable);
  // No list shows a hidden namespace; its mailboxes can be named.
  for (const name of new Set([...listed.map((entry) => entry.name), ...named])) {
    signal.throwIfAborted();
    if (fold(query, (leaf) => (leaf.kind === 'mailbox' ? isMailbox(leaf.pattern, name, patterns) : unknown)) === false) continue;
    let mailbox: Mailbox;
    try {
      mailbox = await mail.openMailbox(name, signal);
    } catch (error) {
      const isGone = error instanceof StorageError && error.code === 'not-found' && !named.has(name);
      if (!isGone) account.failed(`Can't open mailbox '${name}'`, error);
      continue;
    }
    try {
      await using view = await mailbox.openView(options, signal);
      const search = fold(query, (leaf) => resolveLeaf(leaf, view, patterns));
      if (search === false) continue;
      const seqs = await view.search(search === true ? everything : search, signal);
      if (seqs.length > 0) await work({ mailbox, view, seqs });
    } catch (error) {
      account.failed(`Mailbox ${name}`, error);
    }
  }
}

const everything: SearchQuery = { kind: 'all' };
/** Stands for what only the open mailbox can tell. */
const unknown = everything;

/** Puts the leaves together again, and leaves out what is known to be true or false. */
function fold(query: AdminQuery, resolve: (leaf: LeafQuery) => SearchQuery | boolean): SearchQuery | boolean {
  if (query.kind === 'not') {
    const inner = fold(query.query, resolve);
    return typeof inner === 'boolean' ? !inner : { kind: 'not', query: inner };
  }
  if (query.kind !== 'and' && query.kind !== 'or') return resolve(query);
  const decides = query.kind === 'or';
  const queries: SearchQuery[] = [];
  for (const part of query.queries) {
    const folded = fold(part, resolve);
    if (folded === decides) return decides;
    if (typeof folded !== 'boolean') queries.push(folded);
  }
  return queries.length === 0 ? !decides : { kind: query.kind, queries };
}

function resolveLeaf(leaf: LeafQuery, view: MailboxView, patterns: Patterns): SearchQuery | boolean {
  const { mailbox } = view;
  switch (leaf.kind) {
    case 'mailbox':
      return isMailbox(leaf.pattern, mailbox.name, patterns);
    case 'mailbox-guid':
      return leaf.guid === mailbox.guid;
    case 'guid':
      return { kind: 'email-id', id: emailIdOf(leaf.guid) };
    case 'sequence':
      return { kind: 'sequence', ranges: resolveNumberSet(leaf.set, view.count) };
    case 'uid':
      return { kind: 'uid', ranges: resolveNumberSet(leaf.set, view.count === 0 ? 0 : view.uidAt(view.count)) };
    case 'message':
      return leaf.query;
  }
}

/** Names that each pattern with wildcards stands for. */
type Patterns = ReadonlyMap<string, ReadonlySet<string>>;

async function expandPatterns({ mail, signal }: MailAccount, query: AdminQuery): Promise<Patterns> {
  const patterns = new Map<string, ReadonlySet<string>>();
  for (const pattern of wildcardsIn(query)) {
    const entries = await mail.list([pattern], { subscribedOnly: false }, signal);
    patterns.set(pattern, new Set(entries.map(({ name }) => name)));
  }
  return patterns;
}

function wildcardsIn(query: AdminQuery): readonly string[] {
  if (query.kind === 'mailbox') return hasWildcard(query.pattern) ? [query.pattern] : [];
  if (query.kind === 'not') return wildcardsIn(query.query);
  return query.kind === 'and' || query.kind === 'or' ? query.queries.flatMap(wildcardsIn) : [];
}

/** Of mailboxes wanted; one that is excluded need not exist. */
function namesIn(query: AdminQuery): readonly string[] {
  if (query.kind === 'mailbox') return hasWildcard(query.pattern) ? [] : [query.pattern];
  return query.kind === 'and' || query.kind === 'or' ? query.queries.flatMap(namesIn) : [];
}

const hasWildcard = (pattern: string): boolean => /[*%]/.test(pattern);

function isMailbox(pattern: string, name: string, patterns: Patterns): boolean {
  return patterns.get(pattern)?.has(name) ?? canonicalName(pattern) === name;
}

function canonicalName(name: string): string {
  return name.toUpperCase() === 'INBOX' ? 'INBOX' : name;
}
