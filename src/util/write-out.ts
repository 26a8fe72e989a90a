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
// without a journal: there an fsync writes the file, its inode and the folder it was put into last (ext4_fsync_nojournal), and nothing of other names.
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

/** By device number. */
const known = new Map<number, boolean>();

/** Whether `WriteOut` and one fsync after the rename are enough for files in this folder. A short synchronous look, once for each file system. */
export function keepsOrder(folder: string): boolean {
  const device = statSync(folder, { throwIfNoEntry: false })?.dev;
  if (device === undefined) return false;
  let answer = known.get(device);
  if (answer === undefined) {
    const type = typeOfDevice(device) ?? '';
    answer = orderedTypes.has(type) && (type !== 'ext4' || hasJournal(device));
    known.set(device, answer);
  }
  return answer;
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

/** The fsyncs of one file system's files, one at a time. */
export class JournalSync {
  readonly #sync: (fd: number) => Promise<void>;
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #nextFd = -1;

  /** @param sync fsync(2) of an open file */
  constructor(sync: (fd: number) => Promise<void>) {
    this.#sync = sync;
  }

  /**
   * Resolves when the file, and its name, are durable.
   * @param fd of a file that was written out and has got its name just now: nothing else has since been named by who asks; open until this has ended
   */
  request(fd: number): Promise<void> {
    if (this.#running === undefined) return this.#start(fd);
    // The last one that got its name: what comes before it in the journal is durable with it.
    this.#nextFd = fd;
    const start = (): Promise<void> => this.#start(this.#nextFd);
    this.#next ??= this.#running.then(start, start);
    return this.#next;
  }

  #start(fd: number): Promise<void> {
    this.#next = undefined;
    const run = this.#sync(fd).finally(() => {
      if (this.#running === run) this.#running = undefined;
    });
    this.#running = run;
    return run;
  }
}

/** By device number. */
const journals = new Map<number, JournalSync>();

/** That of the file system on which this folder lies; one for the process. @param sync for the first who asks */
export function journalOf(folder: string, sync: (fd: number) => Promise<void>): JournalSync {
  const device = statSync(folder).dev;
  let journal = journals.get(device);
  if (journal === undefined) {
    journal = new JournalSync(sync);
    journals.set(device, journal);
  }
  return journal;
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
