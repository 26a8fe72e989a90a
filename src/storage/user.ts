// One account: namespaces, the list of mailboxes, subscriptions, quota. Contract only; openUser in open-user.ts builds it.
import type { AclEntry } from './acl.js';
import type { AttributeChanges, Attributes } from './attributes.js';
import type { Mailbox } from './mailbox.js';
import type { QuotaLimits } from './types.js';

export type SpecialUse = '\\All' | '\\Archive' | '\\Drafts' | '\\Flagged' | '\\Junk' | '\\Sent' | '\\Trash' | '\\Important';

export interface Namespace {
  readonly type: 'private' | 'shared' | 'public';
  /** Ends with the separator, or is empty. UTF-8. */
  readonly prefix: string;
  readonly separator: string;
  readonly isInbox: boolean;
  readonly isHidden: boolean;
  readonly list: 'yes' | 'no' | 'children';
  readonly subscriptions: boolean;
}

export interface MailboxListEntry {
  readonly name: string;
  readonly separator: string;
  readonly exists: boolean;
  readonly isSelectable: boolean;
  readonly hasChildren: boolean;
  readonly isSubscribed: boolean;
  /** A subscribed mailbox below it (LIST-EXTENDED CHILDINFO). */
  readonly hasSubscribedChildren: boolean;
  readonly specialUse: readonly SpecialUse[];
  /** \NonExistent entries only subscribed. */
  readonly isMarked: boolean | undefined;
}

export interface QuotaRoot {
  readonly name: string;
  readonly usage: { readonly storageBytes: number; readonly messages: number; readonly mailboxes: number };
  readonly limits: QuotaLimits;
}

export interface MailUser extends AsyncDisposable {
  readonly name: string;
  readonly namespaces: readonly Namespace[];
  /**
   * All mailboxes below the namespaces whose name matches one of the patterns (`*` and `%`, RFC 9051 6.3.9), sorted, parents first, INBOX first.
   * Patterns already include the reference name.
   * Parents that do not exist are listed as not existing. With `subscribedOnly`: subscribed names, existing or not, and parents of such.
   */
  list(
    patterns: readonly string[],
    options: { readonly subscribedOnly: boolean },
    signal: AbortSignal,
  ): Promise<readonly MailboxListEntry[]>;
  /** @throws StorageError `not-found`, `not-selectable`, `invalid-name` */
  openMailbox(name: string, signal: AbortSignal): Promise<Mailbox>;
  /** A separator at the end is ignored (RFC 9051 6.3.4). @throws StorageError `exists`, `invalid-name`, `not-found` (no such namespace), `over-quota` */
  create(name: string, options: { readonly specialUse: readonly SpecialUse[] }, signal: AbortSignal): Promise<{ readonly guid: string }>;
  /** What is below stays; then the name remains as a parent. @throws StorageError `not-found`, `cannot` (INBOX), `has-children` (a parent that is no mailbox) */
  delete(name: string, signal: AbortSignal): Promise<void>;
  /** With everything below. Renaming INBOX moves its messages and leaves it (RFC 9051 6.3.6). @throws StorageError `not-found`, `exists`, `cannot`, `invalid-name` */
  rename(from: string, to: string, signal: AbortSignal): Promise<void>;
  subscribe(name: string, subscribed: boolean, signal: AbortSignal): Promise<void>;
  /** Replaces the special uses that CREATE gave; configured ones stay. @throws StorageError `not-found` */
  setSpecialUse(name: string, uses: readonly SpecialUse[], signal: AbortSignal): Promise<void>;
  /** @param mailboxName undefined for the account itself @throws StorageError `not-found` */
  readAttributes(mailboxName: string | undefined, signal: AbortSignal): Promise<Attributes>;
  /** All or nothing. @throws StorageError `limit`, `not-found` */
  changeAttributes(mailboxName: string | undefined, changes: AttributeChanges, signal: AbortSignal): Promise<void>;
  /** Gives an attribute of a mailbox a value unless it has one. @returns what it has: the same for all sessions @throws StorageError `limit`, `not-found` */
  keepAttribute(mailboxName: string, name: string, value: Buffer, signal: AbortSignal): Promise<Buffer>;
  /** Access control list of a mailbox; empty when it has none. @throws StorageError `not-found` */
  readAcl(mailboxName: string, signal: AbortSignal): Promise<readonly AclEntry[]>;
  /** @param rights letters of RFC 4314; undefined removes the entry @throws StorageError `not-found` */
  setAcl(mailboxName: string, identifier: string, rights: string | undefined, signal: AbortSignal): Promise<void>;
  /** What this user may do with a mailbox by its list: letters of RFC 4314. All commands on mailboxes of others are refused where it has none. @throws StorageError `not-found` */
  rightsOn(mailboxName: string, signal: AbortSignal): Promise<string>;
  /** Tells LIST of other users again what this user shares (`acl_shared_dict`), whatever it knew. */
  publishSharing(signal: AbortSignal): Promise<void>;
  /** Whose mailboxes names like this one are; undefined for nobody's. The mailbox need not exist. */
  ownerOf(mailboxName: string): string | undefined;
  /** Mailboxes of other users can be reached by names of this account. */
  readonly reachesOthers: boolean;
  /** Lists hold for this user's sessions whatever the protocol offers (`mail_plugins = acl`). */
  readonly enforcesAcl: boolean;
  /** Lists may name `anyone` and `authenticated`. */
  readonly allowsAnyone: boolean;
  /** Another user's account, for URLs which that user has made for others (RFC 4467); undefined when there is none. To be closed. */
  openOther(name: string, signal: AbortSignal): Promise<MailUser | undefined>;
  quotaRoots(mailboxName: string, signal: AbortSignal): Promise<readonly QuotaRoot[]>;
  /** This user may set limits. */
  readonly canSetQuota: boolean;
  /** In place of all limits of the root. @throws StorageError `no-permission`, `not-found` */
  setQuota(root: string, limits: QuotaLimits, signal: AbortSignal): Promise<void>;
  /** Counts again what is kept as a sum, for usage that does not agree with the mail any more. */
  recountQuota?(signal: AbortSignal): Promise<void>;
  /** Removes index and cache of a mailbox; they are made again when it is opened. UIDs, flags and keywords stay. @throws StorageError */
  dropIndex?(name: string, signal: AbortSignal): Promise<void>;
  /**
   * Calls back, later and once for changes that come together, when mailboxes, subscriptions, special uses or attributes of the account may have
   * changed, whoever changed them. Resolves when nothing is missed any more.
   * @returns stop watching
   */
  watchList(onChange: () => void): Promise<() => void>;
  /** Calls back with the name when a mailbox is created, deleted, renamed or its contents change (NOTIFY). */
  watch(onChange: (mailboxName: string) => void): () => void;
}
