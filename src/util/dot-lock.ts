// Lock files as Dovecot makes them, so that both servers may work on one Maildir.
//
// `<path>.lock` is created by link(2), which fails when it exists, and holds `<pid>:<host>`. The owner touches it every 10 s. Another process may break it when
// the pid is on this host and gone, or when the file has not been touched for 120 s. Breaking: one process at a time, with `<path>.lock.break`, looks whether the
// lock is still the one judged stale (its owner may have given it back, and ended, after the look at the file and before the look at the process), and
// renames it to a private name. Should it be another one by then, it is put back by link(2).
import {
  type BigIntStats,
  closeSync,
  fstatSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  unlinkSync,
  utimes,
  utimesSync,
  writeSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { CodedError, errnoOf } from './coded-error.js';
import { sleep } from './deadline.js';
import { type Deadline, Deadlines } from './deadlines.js';
import { NamedFile } from './file-status.js';

export const dotLockStaleMs = 120_000;
export const dotLockTouchMs = 10_000;
/** Somebody who breaks a lock needs a few calls for it; afterwards it must have been killed. */
const breakingMs = 10_000;
/** How far behind the time of a lock's file may be when the lock is taken. */
const touchedEnoughMs = 1_000;
const firstPollMs = 2;
const longestPollMs = 50;

export interface DotLockOptions {
  readonly timeoutMs: number;
  readonly staleMs?: number;
  readonly mode?: number;
  /** Makes the lock without a new file. */
  readonly owner?: LockOwner;
  /** Called once for each stale lock that was removed. */
  readonly onBreak?: (lockPath: string, reason: string) => void;
}

export class DotLockError extends CodedError<'timeout'> {
  override readonly name = 'DotLockError';
}

/** A held lock file. `release` is idempotent and leaves a lock alone that somebody else has taken over. */
export class DotLock {
  readonly lockPath: string;
  static readonly #allTouches = new Deadlines<DotLock>(dotLockTouchMs, (lock) => lock.touch());
  readonly #touches: Deadlines<DotLock>;
  readonly #inode: bigint;
  readonly #file: NamedFile | undefined;
  #nextTouch: Deadline;
  #isReleased = false;

  /**
   * @param touches call `touch` of those that are held for long
   * @param file the lock's, where it is taken again and again
   */
  constructor(lockPath: string, inode: bigint, touches = DotLock.#allTouches, file?: NamedFile) {
    this.lockPath = lockPath;
    this.#inode = inode;
    // Beyond that, two inodes may be one number.
    this.#file = inode <= Number.MAX_SAFE_INTEGER ? file : undefined;
    this.#touches = touches;
    this.#nextTouch = touches.add(this);
  }

  /** False when another process has broken the lock, which believed us dead, or has deleted the mailbox. */
  get isStillOurs(): boolean {
    if (this.#file !== undefined && !this.#isReleased) return this.#file.status()?.inode === Number(this.#inode);
    return !this.#isReleased && statSync(this.lockPath, { bigint: true, throwIfNoEntry: false })?.ino === this.#inode;
  }

  /** Tells others that it is in use, and does so again in time. */
  touch(): void {
    if (this.#isReleased) return;
    this.#nextTouch = this.#touches.add(this);
    const now = Date.now() / 1000;
    utimes(this.lockPath, now, now, () => undefined);
  }

  release(): void {
    if (this.#isReleased) return;
    this.#nextTouch.cancel();
    const isOurs = this.isStillOurs;
    this.#isReleased = true;
    // A disk that fails once must not keep everybody out until the lock is stale; failing for good, it is no worse than a dead owner's.
    if (isOurs && !removed(this.lockPath)) removed(this.lockPath);
  }

  [Symbol.dispose](): void {
    this.release();
  }
}

/**
 * Takes `<path>.lock`.
 *
 * Callers of one process should queue on a mutex first: waiting here means polling.
 * @throws DotLockError `timeout`; the system error when the file cannot be made (ENOENT, EACCES, ENOSPC, EROFS)
 */
export async function takeDotLock(path: string, options: DotLockOptions, signal?: AbortSignal): Promise<DotLock> {
  const lockPath = `${path}.lock`;
  const deadline = Date.now() + options.timeoutMs;
  let pollMs = firstPollMs;
  for (;;) {
    signal?.throwIfAborted();
    const lock = options.owner?.tryLink(new NamedFile(lockPath)) ?? tryCreate(lockPath, options.mode ?? 0o600);
    if (lock !== undefined) return lock;
    const reason = staleReason(lockPath, options.staleMs ?? dotLockStaleMs);
    if (reason !== undefined && breakLock(lockPath, reason)) {
      options.onBreak?.(lockPath, reason.text);
      continue;
    }
    const leftMs = deadline - Date.now();
    if (leftMs <= 0) throw new DotLockError('timeout', `Timeout (${options.timeoutMs} ms) while waiting for lock ${lockPath}`);
    await sleep(Math.min(pollMs, leftMs), signal);
    pollMs = Math.min(pollMs * 2, longestPollMs);
  }
}

/** One attempt without waiting; a stale lock is broken. @returns undefined when somebody holds it */
export function tryDotLock(path: string, options: Omit<DotLockOptions, 'timeoutMs'> = {}): DotLock | undefined {
  const lockPath = `${path}.lock`;
  const mode = options.mode ?? 0o600;
  const lock = tryCreate(lockPath, mode);
  if (lock !== undefined) return lock;
  const reason = staleReason(lockPath, options.staleMs ?? dotLockStaleMs);
  if (reason === undefined) return undefined;
  if (breakLock(lockPath, reason)) options.onBreak?.(lockPath, reason.text);
  return tryCreate(lockPath, mode);
}

/** @returns whether the file is gone */
function removed(path: string): boolean {
  try {
    unlinkSync(path);
    return true;
  } catch (error) {
    return errnoOf(error) === 'ENOENT';
  }
}

let temporaries = 0;

/** Made under a private name and linked, so that the lock never exists without its owner's name in it. */
function tryCreate(lockPath: string, mode: number): DotLock | undefined {
  // The common refusal costs one stat.
  if (statSync(lockPath, { throwIfNoEntry: false }) !== undefined) return undefined;
  temporaries += 1;
  const temporary = `${lockPath}.${process.pid}.${temporaries}`;
  try {
    const fd = openSync(temporary, 'w', mode);
    try {
      writeSync(fd, `${process.pid}:${hostname()}`);
      const inode = fstatSync(fd, { bigint: true }).ino;
      linkSync(temporary, lockPath);
      return new DotLock(lockPath, inode);
    } finally {
      closeSync(fd);
      // Linked or not, what is left over does no harm.
      removed(temporary);
    }
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return undefined;
    throw error;
  }
}

/**
 * A file with the name of this process, of which all its locks of one file are links.
 *
 * A lock is taken and given back some thousand times a minute where many messages are saved. A new file for each costs ext4 a look at every
 * file that was removed in the last minute, for each file that is made, messages included: it uses no inode again before.
 * The file's time is set before a link, at most once a second: who finds a lock stale by its age, and this process takes it anew meanwhile, sees that it is
 * another one.
 */
export class LockOwner {
  readonly #folder: () => string;
  readonly #newName: () => string;
  #name = '';
  /** Folder and file as last put together. */
  #made: { readonly folder: string; readonly name: string; readonly path: string } = { folder: '', name: '', path: '' };
  #pid = 0;
  #inode = 0n;
  /** Time of the file, ms since the epoch. */
  #touchedMs = 0;
  /** Links cannot be made from there: another file system, or one without. */
  #isUseless = false;

  /**
   * @param folder for the file, on the file system of the locks; the file may be removed at any time
   * @param newName of a file that nobody else uses
   */
  constructor(folder: () => string, newName: () => string) {
    this.#folder = folder;
    this.#newName = newName;
  }

  /** @param file of the lock @returns undefined when somebody holds the lock, or when it has to be made as a file */
  tryLink(file: NamedFile): DotLock | undefined {
    if (this.#isUseless) return undefined;
    // A copy of the process has another name.
    if (this.#pid !== process.pid && !this.#make()) return undefined;
    let lock = this.#link(file);
    if (lock === 'gone' && this.#make()) lock = this.#link(file);
    return lock instanceof DotLock ? lock : undefined;
  }

  /** Removes the file; `tryLink` makes another one. */
  [Symbol.dispose](): void {
    if (this.#pid === process.pid) removed(this.#path);
    this.#pid = 0;
  }

  get #path(): string {
    const folder = this.#folder();
    if (this.#made.folder !== folder || this.#made.name !== this.#name) {
      this.#made = { folder, name: this.#name, path: `${folder}/${this.#name}` };
    }
    return this.#made.path;
  }

  #link(file: NamedFile): DotLock | 'held' | 'gone' | undefined {
    const nowMs = Date.now();
    try {
      // Also where the clock was set back.
      if (Math.abs(nowMs - this.#touchedMs) >= touchedEnoughMs) {
        utimesSync(this.#path, nowMs / 1000, nowMs / 1000);
        this.#touchedMs = nowMs;
      }
      linkSync(this.#path, file.path);
      return new DotLock(file.path, this.#inode, undefined, file);
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === 'EEXIST') return 'held';
      if (errno === 'ENOENT') return 'gone';
      if (errno === 'EXDEV' || errno === 'EPERM' || errno === 'EMLINK') this.#isUseless = true;
      return undefined;
    }
  }

  #make(): boolean {
    this.#pid = 0;
    this.#touchedMs = 0;
    this.#name = this.#newName();
    try {
      const fd = openSync(this.#path, 'wx', 0o600);
      try {
        writeSync(fd, `${process.pid}:${hostname()}`);
        this.#inode = fstatSync(fd, { bigint: true }).ino;
      } finally {
        closeSync(fd);
      }
      this.#pid = process.pid;
      return true;
    } catch {
      return false;
    }
  }
}

/** A lock that may be broken. */
interface StaleLock {
  readonly text: string;
  readonly inode: bigint;
  readonly mtimeNs: bigint;
}

/** Why the lock may be broken, or undefined when it must be respected (or has just gone). */
function staleReason(lockPath: string, staleMs: number): StaleLock | undefined {
  const stat = statSync(lockPath, { bigint: true, throwIfNoEntry: false });
  if (stat === undefined) return undefined;
  const touchedMs = Number(stat.mtimeMs > stat.ctimeMs ? stat.mtimeMs : stat.ctimeMs);
  if (Date.now() - touchedMs > staleMs) return { text: `not touched for ${staleMs} ms`, inode: stat.ino, mtimeNs: stat.mtimeNs };
  const pid = ownerOnThisHost(lockPath);
  if (pid !== undefined && !isAlive(pid)) return { text: `process ${pid} is gone`, inode: stat.ino, mtimeNs: stat.mtimeNs };
  return undefined;
}

function ownerOnThisHost(lockPath: string): number | undefined {
  try {
    const match = /^(\d{1,10}):(.+)$/s.exec(readFileSync(lockPath, 'latin1'));
    if (match === null || match[2]?.trim() !== hostname()) return undefined;
    return Number(match[1]);
  } catch {
    // Gone or unreadable: only its age counts.
    return undefined;
  }
}

function isAlive(pid: number): boolean {
  if (pid <= 0) return true;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) !== 'ESRCH';
  }
}

/** @returns false when it is no longer that one, or somebody else is about to break it */
function breakLock(lockPath: string, stale: StaleLock): boolean {
  const turn = `${lockPath}.break`;
  if (!tryTurn(turn)) return false;
  try {
    return isSameLock(statSync(lockPath, { bigint: true, throwIfNoEntry: false }), stale) && removeStale(lockPath, stale);
  } finally {
    removed(turn);
  }
}

function tryTurn(path: string): boolean {
  try {
    closeSync(openSync(path, 'wx', 0o600));
    return true;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno !== 'EEXIST' && errno !== 'ENOENT') throw error;
    const madeMs = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Number.POSITIVE_INFINITY;
    if (Date.now() - madeMs > breakingMs) removed(path);
    return false;
  }
}

function isSameLock(lock: BigIntStats | undefined, { inode, mtimeNs }: StaleLock): boolean {
  return lock?.ino === inode && lock.mtimeNs === mtimeNs;
}

function removeStale(lockPath: string, stale: StaleLock): boolean {
  const grave = `${lockPath}.${process.pid}.${process.hrtime.bigint()}`;
  try {
    renameSync(lockPath, grave);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
  const isTheStaleOne = isSameLock(statSync(grave, { bigint: true }), stale);
  if (!isTheStaleOne) {
    try {
      linkSync(grave, lockPath);
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
    }
  }
  unlinkSync(grave);
  return isTheStaleOne;
}
