// Writing a file's octets to the disk before the file gets its name, without an fsync of its own (sync_file_range(2)).
//
// What a save needs is two things on the disk: the octets, and the name that leads to them. Two fsyncs, one after the other, make the file system write
// its journal twice. On a file system that keeps the order of what happens to names and that makes the size of a file known only once its octets
// are on the device, one is enough: the octets are sent to the device and waited for, the file gets its name, and one fsync then makes both durable. A
// name that survives a loss of power before that fsync leads to the whole file, as the name's record in the journal comes after the size's, and the
// device is told to flush before it takes the record.
//
// One such fsync is enough for all files of a file system that were written out and named before it began, whichever of them it is called for: the journal
// has what happened to names in order, and the device is flushed once. Who comes while one runs joins the next one.
//
// ext4 ends the writing of a page once the block's record has been changed (ext4_end_io), XFS likewise (xfs_end_ioend); both have fsync of a file
// write what happened to its names. Others (btrfs, NFS, overlays) promise one of it or none, and get the two fsyncs. So does an ext4 that was made
// without a journal: there an fsync writes the file, its inode and the folder it was put into last with that one's inode (ext4_fsync_nojournal,
// ext4_sync_parent), and nothing of other names: in this order, waiting for each, with one flush of the device at the end. So there one fsync of a file that
// has got its name is enough as well, as long as nothing else has the folder written meanwhile (`NameSyncs.claim`). Else two fsyncs of the file, before and
// after it gets its name, are what is needed.
import { readFileSync, readlinkSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { basename } from 'node:path';
import { arch, platform } from 'node:process';
import { openNativeLibraries } from './native-calls.js';

/** Resolves when the octets are on the device, though perhaps not yet where a loss of power leaves them. */
export type WriteOut = (fd: number) => Promise<void>;

/** SYNC_FILE_RANGE_WAIT_BEFORE, _WRITE, _WAIT_AFTER */
const writeAndWait = 7;
const orderedTypes: ReadonlySet<string> = new Set(['ext4', 'xfs']);

/** What an fsync after the octets are on the device, and the name is given, makes durable. */
type Promised =
  /** All names of the file system. */
  | 'all-names'
  /** The file, and the name it got last. */
  | 'own-name'
  /** Nothing more than the file. */
  | 'file';

interface FileSystem {
  readonly type: string;
  readonly promised: Promised;
}

/** By device number. */
const known = new Map<number, FileSystem>();

/** A short synchronous look, once for each file system. */
function fileSystemOn(device: number): FileSystem {
  let fileSystem = known.get(device);
  if (fileSystem === undefined) {
    const type = typeOfDevice(device) ?? '';
    const keepsOrder = orderedTypes.has(type) && (type !== 'ext4' || hasJournal(device));
    fileSystem = { type, promised: keepsOrder ? 'all-names' : type === 'ext4' ? 'own-name' : 'file' };
    known.set(device, fileSystem);
  }
  return fileSystem;
}

/** Whether `WriteOut` and one fsync after the rename are enough for files in this folder. A short synchronous look. */
export function keepsOrder(folder: string): boolean {
  const device = deviceOf(folder);
  return device !== undefined && fileSystemOn(device).promised === 'all-names';
}

/** Whether an fsync writes a file, waits for it, and only then writes the name that the file got last. A short synchronous look. */
export function writesNameLast(folder: string): boolean {
  const device = deviceOf(folder);
  return device !== undefined && fileSystemOn(device).promised === 'own-name';
}

/** With a journal or without: either way an fsync of a file makes the name durable that it got last. @param device as stat(2) has it */
export function isExt4(device: number): boolean {
  return fileSystemOn(device).type === 'ext4';
}

/** As stat(2) has it; undefined: the folder is not there. */
export function deviceOf(folder: string): number | undefined {
  return statSync(folder, { throwIfNoEntry: false })?.dev;
}

/** From /proc/self/mountinfo (proc(5)): statfs(2) does not tell ext4 from ext2. */
function typeOfDevice(device: number): string | undefined {
  let mounts: string;
  try {
    mounts = readFileSync('/proc/self/mountinfo', 'latin1');
  } catch {
    return undefined;
  }
  return typeIn(mounts, device);
}

/** @param device as stat(2) has it @returns the type of the file system of that device */
export function typeIn(mountInfo: string, device: number): string | undefined {
  const number = deviceText(device);
  for (const line of mountInfo.split('\n')) {
    const fields = line.split(' ');
    if (fields[2] !== number) continue;
    const dash = fields.indexOf('-', 6);
    if (dash > 0) return fields[dash + 1];
  }
  return undefined;
}

/** `major:minor` */
function deviceText(device: number): string {
  const number = BigInt(device);
  const major = ((number >> 8n) & 0xfffn) | ((number >> 32n) & ~0xfffn);
  const minor = (number & 0xffn) | ((number >> 12n) & ~0xffn);
  return `${major}:${minor}`;
}

/**
 * Whether the ext4 on this device has a journal: `journal_task` is the number of the thread that writes it, or `<none>`.
 * @param device as stat(2) has it
 * @param sys where sysfs is mounted
 * @returns false also where the kernel does not say
 */
export function hasJournal(device: number, sys = '/sys'): boolean {
  try {
    const name = basename(readlinkSync(`${sys}/dev/block/${deviceText(device)}`));
    return /^\d+\n?$/.test(readFileSync(`${sys}/fs/ext4/${name}/journal_task`, 'latin1'));
  } catch {
    return false;
  }
}

interface Claim {
  readonly fd: number;
  isNamed: boolean;
  readonly ended: Promise<void>;
  readonly end: () => void;
}

/** The fsyncs of files that got their names, one run at a time: who asks while one is under way is in the next. */
export class NameSyncs {
  readonly #sync: (fds: readonly number[]) => Promise<void>;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #waiting: number[] = [];
  #claimed: Claim | undefined;

  /** @param sync makes files and names durable, given the files in the order in which they were named */
  constructor(sync: (fds: readonly number[]) => Promise<void>) {
    this.#sync = sync;
  }

  /**
   * Resolves when the file, and its name, are durable.
   * @param fd of a file whose octets are where the device has them, and which has got its name just now: nothing else has since been named by who asks; open until this has ended
   */
  request(fd: number): Promise<void> {
    if (this.#claimed?.isNamed === true && this.#claimed.fd !== fd) return this.#claimed.ended.then(() => this.request(fd));
    if (this.#running === undefined) return this.#start([fd]);
    this.#waiting.push(fd);
    const start = (): Promise<void> => {
      const fds = this.#waiting;
      this.#waiting = [];
      this.#next = undefined;
      return this.#start(fds);
    };
    this.#next ??= this.#running.then(start, start);
    return this.#next;
  }

  /**
   * Asks to name this file before its octets are on the disk, for which it must be alone: a run for others would write the folder, and with it a name that
   * leads to nothing if the power goes just then.
   * @returns false: another has asked for that, or a run is under way. True: until `giveBack`
   */
  claim(fd: number): boolean {
    if (this.#claimed !== undefined || this.#running !== undefined || this.#next !== undefined) return false;
    let end: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    this.#claimed = { fd, isNamed: false, ended, end };
    return true;
  }

  /** The file has its name now: others wait for it. */
  named(fd: number): void {
    if (this.#claimed?.fd === fd) this.#claimed.isNamed = true;
  }

  /** By who has claimed. */
  giveBack(): void {
    this.#claimed?.end();
    this.#claimed = undefined;
  }

  /** Resolves when the file that has been claimed for is durable, or gone; undefined: there is none that has a name. */
  get claimed(): Promise<void> | undefined {
    return this.#claimed?.isNamed === true ? this.#claimed.ended : undefined;
  }

  #start(fds: readonly number[]): Promise<void> {
    const run = this.#sync(fds).finally(() => {
      if (this.#running === run) this.#running = undefined;
    });
    this.#running = run;
    return run;
  }
}

/** By device number. */
const journals = new Map<number, NameSyncs>();

/**
 * For a file system that keeps the order; one for the process. The last file that got its name is enough: what comes before it in the journal is durable with it.
 * @param sync fsync(2) of an open file, for the first who asks
 */
export function journalOf(folder: string, sync: (fd: number) => Promise<void>): NameSyncs {
  const device = statSync(folder).dev;
  let journal = journals.get(device);
  if (journal === undefined) {
    journal = new NameSyncs((fds) => sync(fds.at(-1) ?? -1));
    journals.set(device, journal);
  }
  return journal;
}

/**
 * For files of one folder whose fsync makes their own name durable.
 *
 * The kernel takes a folder's changed blocks from a list while it writes them (fsync_buffers_list): another fsync finds none meanwhile, and does not wait for
 * those that are being written. So all of a run wait for all of it.
 * @param sync fsync(2) of an open file
 */
export function ownNameSyncs(sync: (fd: number) => Promise<void>): NameSyncs {
  return new NameSyncs(async (fds) => {
    for (const outcome of await Promise.allSettled(fds.map(sync))) if (outcome.status === 'rejected') throw outcome.reason;
  });
}

let call: WriteOut | undefined;
let isLoaded = false;

function load(): WriteOut | undefined {
  // Elsewhere the 64-bit offsets are passed otherwise.
  if (platform !== 'linux' || (arch !== 'x64' && arch !== 'arm64')) return undefined;
  const libraries = openNativeLibraries();
  const syncFileRange = libraries?.load(null).func('sync_file_range', 'int', ['int', 'int64_t', 'int64_t', 'uint']);
  // A sandbox may forbid it: no such descriptor is the answer of a kernel that would do it.
  if (libraries === undefined || syncFileRange?.(-1, 0, 0, writeAndWait) !== -1 || libraries.errno() !== constants.errno.EBADF)
    return undefined;
  return (fd) =>
    new Promise((resolve, reject) => {
      syncFileRange.async(fd, 0, 0, writeAndWait, (error, result) => {
        if (error === null && result === 0) resolve();
        // The kernel tells of lost octets once; the fsync that follows would not.
        else reject(error ?? Object.assign(new Error('EIO: octets could not be written, sync_file_range'), { code: 'EIO' }));
      });
    });
}

/** @returns the call, where the file system of this folder keeps the order */
export function orderedWriteOut(folder: string): WriteOut | undefined {
  return keepsOrder(folder) ? nativeWriteOut() : undefined;
}

/** Loads the call at the first use. @returns undefined where there is none */
export function nativeWriteOut(): WriteOut | undefined {
  if (!isLoaded) call = load();
  isLoaded = true;
  return call;
}
