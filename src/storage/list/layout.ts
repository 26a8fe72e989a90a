// Where the folders of one storage location are (mail_location), for both layouts.

import type { MailboxDriver } from '../driver.js';
import type { SubscriptionStore } from './subscriptions.js';

/** Absolute paths, all variables replaced. */
export interface LocationFolders {
  /** Root of the mail. */
  readonly root: string;
  /** INBOX itself. */
  readonly inbox: string;
  /** Root of control files; undefined: beside the mail. */
  readonly control: string | undefined;
  /** Root of index files; undefined: beside the mail; `memory`: none. */
  readonly index: string | 'memory' | undefined;
  /** LAYOUT=fs: folder inside each mailbox's folder that holds its mail (DIRNAME=), '' for none. */
  readonly mailFolderName: string;
  /** LAYOUT=fs: folder below the root where mailboxes begin (MAILBOXDIR=), '' for none. */
  readonly mailboxesFolder: string;
  /** Names on disk are plain UTF-8 instead of modified UTF-7. */
  readonly isUtf8: boolean;
}

export interface TreeOptions {
  readonly folders: LocationFolders;
  readonly driver: MailboxDriver;
  readonly subscriptions: SubscriptionStore;
  /** This location is that of an inbox namespace: INBOX is the folder `folders.inbox`. */
  readonly hasInbox: boolean;
}
