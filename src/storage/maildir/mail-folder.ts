// cur/ or new/ of a mailbox: what it looks like, and its fsync.
import { closeSync, openSync } from 'node:fs';
import { errnoOf } from '#util/coded-error.js';
import type { DiskSyncs } from '#util/disk-syncs.js';
import { type FileStatus, NamedFile, statusOfOpen } from '#util/file-status.js';

/** Closed by who used it last. */
interface OpenFolder {
  readonly fd: number;
  readonly inode: number;
  users: number;
}

export class MailFolder {
  readonly #file: NamedFile;
  /** Kept open for the next save. */
  #open: OpenFolder | undefined;

  constructor(path: string) {
    this.#file = new NamedFile(path);
  }

  get path(): string {
    return this.#file.path;
  }

  /** @returns undefined when there is no such folder @throws system errors */
  status(): FileStatus | undefined {
    return this.#file.status();
  }

  /**
   * Makes the names in the folder that is at this path durable.
   * @param isKept whether it may stay open afterwards, for who is going to call `close`; asked when it has ended
   * @throws system errors
   */
  async sync(syncs: DiskSyncs, isKept: () => boolean): Promise<void> {
    const open = this.#opened();
    open.users += 1;
    try {
      await syncs.file(open.fd);
    } catch (error) {
      // The file system cannot.
      if (errnoOf(error) !== 'EINVAL') throw error;
    } finally {
      if (this.#open === open && !isKept()) this.close();
      unused(open);
    }
  }

  close(): void {
    const open = this.#open;
    this.#open = undefined;
    if (open !== undefined) unused(open);
  }

  #opened(): OpenFolder {
    if (this.#open !== undefined) {
      // A folder that is open keeps its inode, so that another one at this path has another.
      if (this.#open.inode === this.status()?.inode) return this.#open;
      this.close();
    }
    // It was changed a moment ago: its name is in the kernel's memory.
    const fd = openSync(this.path, 'r');
    this.#open = { fd, inode: statusOfOpen(fd).inode, users: 1 };
    return this.#open;
  }
}

function unused(open: OpenFolder): void {
  open.users -= 1;
  if (open.users === 0) closeSync(open.fd);
}

/** The folders and files of one mailbox that are looked at again and again; another object when the mailbox is renamed. */
export class BoxFiles {
  readonly mailDir: string;
  readonly tmpDir: string;
  readonly new: MailFolder;
  readonly cur: MailFolder;
  readonly keywords: NamedFile;

  constructor(mailDir: string, controlDir: string) {
    this.mailDir = mailDir;
    this.tmpDir = `${mailDir}/tmp`;
    this.new = new MailFolder(`${mailDir}/new`);
    this.cur = new MailFolder(`${mailDir}/cur`);
    this.keywords = new NamedFile(`${controlDir}/dovecot-keywords`);
  }

  /** Gives back descriptors; what is synced next opens them again. */
  close(): void {
    this.new.close();
    this.cur.close();
  }
}
