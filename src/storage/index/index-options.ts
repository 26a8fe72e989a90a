// How the index of a mailbox is kept.
import type { Logger } from '#log/logger.js';
import type { FilePermissions } from '#util/file-permissions.js';
import type { SlowWatch } from '#util/slow-watch.js';
import type { IndexLimits } from './index-state.js';

export interface IndexOptions extends IndexLimits {
  /** The log is compacted above this and above a quarter of the snapshot; 128 KB unless told. */
  readonly compactLogBytes?: number;
  /** Of a snapshot with more octets, what a mailbox can be opened without is read later; 256 KB unless told. */
  readonly lateAboveBytes?: number;
  /** Folder of the index files; undefined: in memory only. */
  readonly folder: string | undefined;
  /** It is the mailbox itself: where it is missing the mailbox is gone, and making it would bring back its name. */
  readonly isFolderGiven?: boolean;
  /** Of the files and, with the right to enter it, of the folder; private unless told. */
  readonly permissions?: () => FilePermissions;
  readonly log: Logger;
  /** Where the folder is; unless told, nothing is read in the event loop when an index is opened. */
  readonly storage?: SlowWatch;
}
