import type { Logger } from '#log/logger.js';
import { type DiskSyncs, diskSyncs } from '#util/disk-syncs.js';
import { type UnnamedFiles, unnamedFilesAt } from '#util/unnamed-files.js';
import { orderedWriteOut, type WriteOut, writesNameLast } from '#util/write-out.js';
import { defaultTmpScanMs } from './clean-tmp.js';
import { nativeRenames, type OpenFolderRenames } from './folder-renames.js';

/** When to wait for the disk (mail_fsync): `optimized` where a loss would lose mail, `always` for flags and expunges as well. */
export type FsyncMode = 'optimized' | 'always' | 'never';

export interface MaildirOptions {
  readonly fsync: FsyncMode;
  /** For files in this folder, where its file system keeps the order; without it each message is fsynced before it gets its name. */
  readonly writeOut: (folder: string) => WriteOut | undefined;
  /** Files that get their name when they are whole, on the file system of this path, which nobody else uses; without it they have one in tmp/ first. */
  readonly unnamedFiles: (path: string) => UnnamedFiles | undefined;
  /** Whether an fsync in this folder writes a file before the name it got last. A message alone is synced once then, under its name; with `optimized` only. */
  readonly writesNameLast: (folder: string) => boolean;
  /** How the disk is waited for. */
  readonly syncs: () => DiskSyncs;
  /** For many files of one folder. */
  readonly openRenames: OpenFolderRenames;
  /** Longest wait for dovecot-uidlist.lock (mail_max_lock_timeout). */
  readonly lockTimeoutMs: number;
  /** Octets (mail_max_keyword_length). */
  readonly maxKeywordLength: number;
  /** maildir_copy_with_hardlinks */
  readonly copyWithHardlinks: boolean;
  /** maildir_very_dirty_syncs: cur/ is only looked at again when a file is missing. For Maildirs that no other program changes. */
  readonly veryDirtySyncs: boolean;
  /** maildir_broken_filename_sizes: `,S=` and `,W=` are not believed. */
  readonly ignoreSizesInNames: boolean;
  /** maildir_empty_new: every opener moves new messages to cur/. */
  readonly emptyNew: boolean;
  /** How often mailboxes are looked at that cannot be watched (mailbox_idle_check_interval). */
  readonly pollMs: number;
  /** How often left-over files in tmp/ are looked for (mail_temp_scan_interval); 0: never. */
  readonly tmpScanMs: number;
  /** Folders watched through inotify at once; beyond it, polling. */
  readonly maxWatches: number;
  /** Mailboxes kept open that nobody uses. */
  readonly idleMailboxes: number;
  /** Ranges of expunged UIDs remembered for each mailbox. */
  readonly maxExpungeHistory: number;
  /** Size of the index log at which it is compacted, if it is also a quarter of the snapshot; undefined: the default. */
  readonly compactLogBytes?: number;
  /** Size of a snapshot above which a part of it is read later; undefined: the default. */
  readonly lateAboveBytes?: number;
  /** For work that belongs to no session (recently used mailboxes, watches). */
  readonly log: Logger;
}

export const defaultMaildirOptions: Omit<MaildirOptions, 'log'> = {
  fsync: 'optimized',
  writeOut: orderedWriteOut,
  unnamedFiles: unnamedFilesAt,
  writesNameLast,
  syncs: diskSyncs,
  openRenames: nativeRenames,
  lockTimeoutMs: 30_000,
  maxKeywordLength: 50,
  copyWithHardlinks: true,
  veryDirtySyncs: false,
  ignoreSizesInNames: false,
  emptyNew: false,
  pollMs: 30_000,
  tmpScanMs: defaultTmpScanMs,
  maxWatches: 4096,
  idleMailboxes: 100,
  maxExpungeHistory: 20_000,
};
