// The mailboxes of one storage location, whatever its layout.
import type { MailboxPaths } from '../driver.js';
import type { Levels } from './name.js';
import type { SubscriptionStore } from './subscriptions.js';

export interface TreeEntry {
  readonly levels: Levels;
  /** False: a folder that only holds others. */
  readonly isMailbox: boolean;
}

/** One object may serve several namespaces (alias_for) and sessions. Names are checked by `checkLevels` before they come here. */
export interface MailboxTree {
  /** Visible separator unless the namespace sets one. */
  readonly layoutSeparator: string;
  readonly subscriptions: SubscriptionStore;
  /** All that exist on disk, in no order; parents that do not exist themselves are not named. INBOX is named when it exists. */
  entries(signal: AbortSignal): Promise<readonly TreeEntry[]>;
  /** The same for one name, without reading the others. */
  kindOf(levels: Levels, signal: AbortSignal): Promise<'mailbox' | 'container' | undefined>;
  pathsOf(levels: Levels): MailboxPaths;
  /** What the layout cannot store, as a text for the client; undefined when it can. */
  problemOf(levels: Levels): string | undefined;
  /** @throws StorageError `exists` */
  create(levels: Levels, signal: AbortSignal): Promise<{ readonly guid: string }>;
  /** The mailbox, or an empty container; what is below stays. @throws StorageError `not-found` */
  remove(levels: Levels, signal: AbortSignal): Promise<void>;
  /** With everything below. @throws StorageError `not-found`, `exists` */
  rename(from: Levels, to: Levels, signal: AbortSignal): Promise<void>;
  /** Folders in which a mailbox that comes or goes shows, and changed subscriptions, whoever changes them. None for mail in memory. */
  watchedFolders?(signal: AbortSignal): Promise<readonly string[]>;
  /** Calls back when mailboxes come or go, as far as this process can tell. @returns stop watching */
  watch(onChange: (levels: Levels) => void): () => void;
}
