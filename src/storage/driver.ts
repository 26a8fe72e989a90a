// Between the account level (namespaces, list, quota: open-user.ts, list/, quota/) and the mailbox formats (maildir/, memory/).
import type { Logger } from '#log/logger.js';
import type { Mailbox } from './mailbox.js';

/** Where one mailbox lives. Absolute paths, built only from validated names. */
export interface MailboxPaths {
  /** Folder with cur/, new/, tmp/. */
  readonly mailDir: string;
  /** Folder of dovecot-uidlist and dovecot-keywords; mailDir unless CONTROL= is set. */
  readonly controlDir: string;
  /** Folder of roost.index, roost.index.log, roost.cache, roost.keys; undefined with INDEX=MEMORY. */
  readonly indexDir: string | undefined;
  /** Control root of the account: dovecot-uidvalidity, dovecot-uidvalidity.XXXXXXXX. */
  readonly accountControlDir: string;
}

/** Quota of the account as a mailbox sees it. */
export interface QuotaGuard {
  /**
   * One save, of one or many messages.
   * @param replaced what goes away when the save has succeeded, and so needs no room twice (REPLACE)
   */
  beginSave(replaced?: ReplacedMail): QuotaSave;
  /** After an expunge: negative numbers free space. Never throws; failures are logged. */
  changed(bytes: number, messages: number): void;
  /** True when both count the same octets, so that a move between their mailboxes needs no room. */
  sharesUsageWith?(other: QuotaGuard): boolean;
}

/** Octets are RFC822.SIZE. */
export interface ReplacedMail {
  /** Of the mailbox it is in. */
  readonly quota: QuotaGuard;
  readonly bytes: number;
  readonly messages: number;
}

/** Room for a save: nobody else in the process is given it until the save has been counted or disposed of. */
export interface QuotaSave extends Disposable {
  /**
   * Asks for room before octets are taken, each time for the running total of the save. Octets are RFC822.SIZE.
   * @param largest octets of the largest of the messages, where it is not their sum
   * @returns undefined when there is nothing to wait for
   * @throws StorageError `over-quota` (or `too-big`)
   */
  reserve(bytes: number, messages: number, largest?: number): Promise<void> | undefined;
  /**
   * When everything has been reserved, right before the messages get their names. Near a limit this waits for the account's turn among all processes,
   * and looks again; until the save ends nobody else saves there.
   * @returns undefined when there is nothing to wait for
   * @throws StorageError `over-quota`, `in-use`
   */
  settle(signal: AbortSignal): Promise<void> | undefined;
  /** Counts what was saved, and ends. Never throws; failures are logged. */
  commit(bytes: number, messages: number): void;
}

const unlimitedSave: QuotaSave = {
  reserve: () => undefined,
  settle: () => undefined,
  commit: () => undefined,
  [Symbol.dispose]: () => undefined,
};

/** No limits, nothing counted. */
export const unlimitedQuota: QuotaGuard = {
  beginSave: () => unlimitedSave,
  changed: () => undefined,
  sharesUsageWith: () => true,
};

export interface OpenMailboxOptions {
  /** Visible name, for messages and the log. */
  readonly name: string;
  readonly quota: QuotaGuard;
  readonly isReadOnly: boolean;
  /** Only messages are brought: what is known about the others is not read before somebody asks (UIDVALIDITY and the like are 0 until then). */
  readonly isForDelivery?: boolean;
  readonly log: Logger;
}

/**
 * A mailbox format. One object per process; keeps recently used mailboxes (LRU) and one change watcher (inotify) for all of them.
 * The same paths give the same Mailbox object while it is in use.
 */
export interface MailboxDriver {
  /**
   * Views, status and what changes messages look for news themselves; the Mailbox itself knows what was known when it was used last.
   * At once where it is in memory; a failure is always a promise.
   * @throws StorageError `not-found` when mailDir has no cur/
   */
  open(paths: MailboxPaths, options: OpenMailboxOptions, signal: AbortSignal): Mailbox | Promise<Mailbox>;
  exists(paths: MailboxPaths): Promise<boolean>;
  /** Makes cur, new, tmp (and maildirfolder when `isMaildirFolder`), uidlist with a new UIDVALIDITY and GUID. @throws StorageError `exists` */
  create(paths: MailboxPaths, options: { readonly isMaildirFolder: boolean }, signal: AbortSignal): Promise<{ readonly guid: string }>;
  /**
   * Removes cur/, new/, tmp/, maildirfolder and our own files (control and index folders too), then the folder itself when nothing else is in it:
   * with LAYOUT=fs, and for INBOX, other mailboxes live inside. Sessions that have it open see it as gone. @throws StorageError `not-found`
   */
  delete(paths: MailboxPaths, signal: AbortSignal): Promise<void>;
  /**
   * Renames mailDir, controlDir and indexDir (what lies inside moves along), making parent folders; UIDs and UIDVALIDITY stay. Sessions that have it
   * open may see it as gone. @throws StorageError `not-found`, `exists`
   */
  rename(from: MailboxPaths, to: MailboxPaths, signal: AbortSignal): Promise<void>;
  /** Removes what is only derived from the messages; the next who opens the mailbox makes it again, sessions that have it open go on. */
  dropIndex?(paths: MailboxPaths, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}
