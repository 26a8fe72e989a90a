// How the files of one mailbox get to the disk, and in which order: what its file system needs for that (util/write-out.ts, util/unnamed-files.ts).
import { statSync } from 'node:fs';
import type { DiskSyncs } from '#util/disk-syncs.js';
import type { UnnamedFiles } from '#util/unnamed-files.js';
import { journalOf, type NameSyncs, ownNameSyncs, type WriteOut } from '#util/write-out.js';
import type { MailboxPaths } from '../driver.js';
import type { NameMaker } from './file-name.js';
import type { MaildirOptions } from './options.js';

/** Looked up when first needed. */
export class DiskOrder {
  readonly #options: MaildirOptions;
  readonly #paths: () => MailboxPaths;
  readonly #names: NameMaker;
  #writeOut: { readonly call: WriteOut | undefined } | undefined;
  #unnamed: { readonly files: UnnamedFiles | undefined } | undefined;
  #syncs: DiskSyncs | undefined;
  #journal: NameSyncs | undefined;
  #listCovers: boolean | undefined;
  #mayNameFirst: boolean | undefined;

  /** @param paths of now: the mailbox may be renamed, within its file system */
  constructor(options: MaildirOptions, paths: () => MailboxPaths, names: NameMaker) {
    this.#options = options;
    this.#paths = paths;
    this.#names = names;
  }

  /** The mailbox was renamed. */
  moved(): void {
    this.#listCovers = undefined;
  }

  /** How a message's octets get to the disk before it has its name; undefined: by fsync. */
  get writeOut(): WriteOut | undefined {
    this.#writeOut ??= { call: this.#options.fsync === 'never' ? undefined : this.#options.writeOut(this.#paths().mailDir) };
    return this.#writeOut.call;
  }

  /** For messages that come alone; undefined: they have a name in tmp/ first. */
  get unnamed(): UnnamedFiles | undefined {
    this.#unnamed ??= { files: this.#options.unnamedFiles(`${this.#paths().mailDir}/tmp/${this.#names.next()}`) };
    return this.#unnamed.files;
  }

  get syncs(): DiskSyncs {
    this.#syncs ??= this.#options.syncs();
    return this.#syncs;
  }

  /** An fsync of a file tells of its own name alone. */
  get #isOwnName(): boolean {
    return this.writeOut === undefined && this.unnamed !== undefined;
  }

  /** Makes files that were written out, or had no name before, durable once they have their names. */
  get journal(): NameSyncs {
    const sync = (fd: number): Promise<void> => this.syncs.file(fd);
    this.#journal ??= this.#isOwnName ? ownNameSyncs(sync) : journalOf(`${this.#paths().mailDir}/tmp`, sync);
    return this.#journal;
  }

  /**
   * Asks to give a file, which has no name yet, its name before its octets are on the disk, so that one fsync does for both. A part of a message shows then
   * only where the power goes while the kernel by itself, or another process, writes the folder, within the millisecond of that fsync, and nobody was told
   * that it is there. With `always` not even that.
   * @returns false: its octets have to be durable before. True: until `namedFirst`
   */
  mayNameFirst(fd: number): boolean {
    const { fsync, writesNameLast } = this.#options;
    this.#mayNameFirst ??= fsync === 'optimized' && this.#isOwnName && writesNameLast(`${this.#paths().mailDir}/tmp`);
    return this.#mayNameFirst && this.journal.claim(fd);
  }

  /** A file that had no name has got one. */
  named(fd: number): void {
    if (this.#mayNameFirst === true) this.journal.named(fd);
  }

  /** What was to be named first is durable, or gone. */
  namedFirst(): void {
    this.journal.giveBack();
  }

  /** Resolves when the octets of all messages that this process has named are durable; undefined: they are. */
  get whole(): Promise<void> | undefined {
    return this.#mayNameFirst === true ? this.journal.claimed : undefined;
  }

  /** A folder's fsync does not run beside those of files in it that are to make their names durable. */
  get folderSyncs(): DiskSyncs {
    const { syncs } = this;
    return !this.#isOwnName ? syncs : { file: (fd) => this.journal.request(fd), data: (fd) => syncs.data(fd) };
  }

  /** Whether the UID of a message goes into its name, which is made durable anyway, so that the uidlist need not be at once (uid-in-name.ts). */
  get namesTellUids(): boolean {
    return this.#options.fsync === 'optimized' && !this.listCoversNames;
  }

  /** What makes a uidlist that became longer durable does so for all names that were changed before: one file system, which keeps the order. */
  get listCoversNames(): boolean {
    const { mailDir, controlDir } = this.#paths();
    this.#listCovers ??= this.writeOut !== undefined && isOneDevice([`${mailDir}/tmp`, `${mailDir}/new`, `${mailDir}/cur`, controlDir]);
    return this.#listCovers;
  }
}

function isOneDevice(folders: readonly string[]): boolean {
  const [first, ...others] = folders.map((folder) => statSync(folder, { throwIfNoEntry: false })?.dev);
  return first !== undefined && others.every((device) => device === first);
}
