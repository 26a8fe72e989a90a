// One message on its way into tmp/: buffered, written, given its date, fsynced.
//
// What is small enough to be written at once (most mail) is written by synchronous calls, which only touch the page cache and cost half of what a
// trip through the thread pool does; what is larger is streamed. fsync always happens off the event loop, so that several overlap. A new file may have to
// wait for the journal of the file system to be written (ext4): for a while after that has taken long, files are made off the event loop, too.
//
// Where the file system keeps the order (util/write-out.ts), the octets are only sent to the device here, and one fsync under the final name makes both
// durable. Elsewhere the file is fsynced here; where that writes the name it got last, once more when it has one, and else the folder later. On ext4 the
// file of a message that comes alone has no name before it is whole (util/unnamed-files.ts), and without a journal it is fsynced under its name only, if no
// other is just being named in the mailbox.
import {
  close,
  closeSync,
  futimesSync,
  mkdirSync,
  open,
  openSync,
  rmdirSync,
  statSync,
  unlinkSync,
  writeSync,
  writev,
  writevSync,
} from 'node:fs';
import { errnoOf } from '#util/coded-error.js';
import { givePermissions } from '#util/file-permissions.js';
import type { UnnamedFiles } from '#util/unnamed-files.js';
import { StorageError } from '../errors.js';
import type { MaildirBox } from './box.js';
import { storageErrorOf } from './file-calls.js';

/** Octets gathered before they are written. */
const flushBytes = 128 * 1024;
/** A new file that takes longer keeps the event loop waiting. */
const slowOpenMs = 5;
/** How long files are made off the event loop then. */
const openElsewhereMs = 1_000;
/** The clock that the kernel takes the times of files from goes in steps of up to 10 ms, and so may be behind by that. */
const clockStepMs = 20;

/** Where a message is written to. */
export interface MessagePlace {
  /** Kept open until `sync` or `release`; false: there are many more, so it is made durable at its end, and its folder has to be synced. */
  readonly isKept: boolean;
  /** The folder it will get its name in, for a file that has none before; undefined: it is in tmp/. */
  readonly folder: string | undefined;
  /** An existing file to write to instead (tests of full disks). */
  readonly path?: string;
}

/** INTERNALDATE: becomes the file's mtime. */
export interface MessageDate {
  readonly seconds: number;
  /** It is the time when this was made, of the clock in ms; undefined: it was given. */
  readonly nowMs: number | undefined;
}

export class TemporaryMessage {
  /** Until then files are made off the event loop; as performance.now(). */
  static #opensElsewhereUntil = 0;
  readonly path: string;
  readonly name: string;
  size = 0;
  readonly #box: MaildirBox;
  readonly #date: MessageDate;
  /** Undefined: the file has a name in tmp/. */
  readonly #unnamed: UnnamedFiles | undefined;
  readonly #isKept: boolean;
  readonly #folder: string;
  #fd = -1;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  readonly #openFlags: string;
  #isMade = false;
  #isDiscarded = false;
  #needsSync = false;
  /** It gets its name before its octets are durable. */
  #isNamedFirst = false;
  #hasClaim = false;
  /** Others may rely on the descriptor. */
  #isSyncing = false;

  constructor(box: MaildirBox, date: MessageDate, place: MessagePlace) {
    this.#box = box;
    this.#date = date;
    this.name = box.names.next();
    this.path = place.path ?? `${box.tmpDir}/${this.name}`;
    this.#openFlags = place.path === undefined ? 'wx' : 'w';
    this.#isKept = place.isKept;
    this.#folder = place.folder ?? '';
    this.#unnamed = place.folder === undefined ? undefined : box.disk.unnamed;
  }

  /** What gets the final name, after `end`: a path to be renamed, or a descriptor. */
  get source(): string | number {
    return this.#unnamed === undefined ? this.path : this.#fd;
  }

  /** How `source` gets its name. */
  get how(): 'rename' | 'link' {
    return this.#unnamed === undefined ? 'rename' : 'link';
  }

  /** @returns undefined when more may be written at once */
  write(chunk: Uint8Array): Promise<void> | undefined {
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.length;
    this.size += chunk.length;
    return this.#pendingBytes >= flushBytes ? this.#flush() : undefined;
  }

  /** The file is whole, also after a loss of power, once it has its final name. Whether it is there then says `sync`. */
  async end(): Promise<void> {
    const writeOut = this.#isKept ? this.#box.disk.writeOut : undefined;
    const isSynced = this.#box.options.fsync !== 'never';
    if (this.#pendingBytes >= flushBytes / 2) await this.#flush();
    try {
      const opening = this.#fd < 0 ? this.#open() : undefined;
      if (opening !== undefined) await opening;
      if (this.#pendingBytes > 0) this.#writeNow();
      if (!this.#hasItsDate()) futimesSync(this.#fd, this.#date.seconds, this.#date.seconds);
      if (writeOut !== undefined) await writeOut(this.#fd);
      else if (isSynced && this.#unnamed !== undefined && this.#box.disk.mayNameFirst(this.#fd)) this.#isNamedFirst = this.#hasClaim = true;
      else if (isSynced) await this.#box.disk.syncs.file(this.#fd);
      this.#needsSync = isSynced && (writeOut !== undefined || this.#unnamed !== undefined);
    } catch (error) {
      this.#close();
      throw storageErrorOf(error, `write ${this.path}`);
    }
    if (!this.#needsSync && this.#unnamed === undefined) this.#close();
  }

  /** It was written in the second of its date, on a file system that has this machine's clock. */
  #hasItsDate(): boolean {
    const { seconds, nowMs } = this.#date;
    if (nowMs === undefined || (this.#unnamed ?? this.#box.disk.writeOut) === undefined) return false;
    return Math.floor((nowMs - clockStepMs) / 1000) === seconds && Math.floor(Date.now() / 1000) === seconds;
  }

  /** `sync` makes the file and its final name durable. */
  get needsSync(): boolean {
    return this.#needsSync;
  }

  /** Until `sync` has ended its octets may be lost: where that fails, it must not keep its name. */
  get isNamedFirst(): boolean {
    return this.#isNamedFirst;
  }

  /** After the file got its final name. */
  async sync(): Promise<void> {
    if (!this.#needsSync) return;
    this.#isSyncing = true;
    try {
      await this.#box.disk.journal.request(this.#fd);
      this.#isNamedFirst = false;
    } finally {
      this.#isSyncing = false;
      this.#needsSync = false;
      this.#close();
    }
  }

  /** After the file got its final name, when nothing is left to be done with it. */
  release(): void {
    this.#needsSync = false;
    this.#close();
  }

  /** Removes the file if it has no final name. */
  discard(): void {
    this.#isDiscarded = true;
    this.#needsSync = false;
    this.#close();
    this.#pending = [];
    if (!this.#isMade || this.#unnamed !== undefined) return;
    try {
      unlinkSync(this.path);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') this.#box.log.warning('maildir.tmp', `Could not remove ${this.path}`, { error });
    }
  }

  /** @returns undefined when it is open */
  #open(): Promise<void> | undefined {
    const { mode } = this.#box.permissions;
    let fd: number | Promise<number>;
    try {
      fd = this.#openFile(mode);
    } catch (error) {
      fd = this.#openAgain(error, mode);
    }
    if (typeof fd !== 'number') return this.#openedLater(fd, mode);
    this.#opened(fd);
    return undefined;
  }

  async #openedLater(opening: Promise<number>, mode: number): Promise<void> {
    let fd: number;
    try {
      fd = await opening;
    } catch (error) {
      fd = this.#openAgain(error, mode);
    }
    this.#opened(fd);
  }

  /** @throws `error` where it has another cause than a folder that is missing */
  #openAgain(error: unknown, mode: number): number {
    if (errnoOf(error) !== 'ENOENT') throw error;
    this.#makeFolders();
    return this.#openNow(mode);
  }

  #opened(fd: number): void {
    this.#fd = fd;
    this.#isMade = true;
    if (this.#isDiscarded) {
      this.discard();
      throw new StorageError('cannot', 'the message was given up');
    }
    givePermissions(this.#fd, this.#box.permissions);
  }

  #openFile(mode: number): number | Promise<number> {
    const startedAt = performance.now();
    if (startedAt < TemporaryMessage.#opensElsewhereUntil)
      return this.#unnamed?.openLater(this.#folder, mode) ?? openLater(this.path, this.#openFlags, mode);
    const fd = this.#openNow(mode);
    const endedAt = performance.now();
    if (endedAt - startedAt > slowOpenMs) TemporaryMessage.#opensElsewhereUntil = endedAt + openElsewhereMs;
    return fd;
  }

  #openNow(mode: number): number {
    return this.#unnamed?.open(this.#folder, mode) ?? openSync(this.path, this.#openFlags, mode);
  }

  /** Some programs make Maildirs without tmp/ or new/. @throws Error ENOENT where another process has deleted the mailbox */
  #makeFolders(): void {
    const { curDir, tmpDir, newDir } = this.#box;
    statSync(curDir);
    const made = [tmpDir, newDir].filter(makeFolder);
    try {
      // A mailbox is deleted by taking cur/ away first: what was made after that would hold a message that nobody ever sees.
      statSync(curDir);
    } catch (error) {
      for (const folder of made) rmdirSync(folder);
      throw error;
    }
  }

  #writeNow(): void {
    let buffers = this.#pending;
    let left = this.#pendingBytes;
    this.#pending = [];
    this.#pendingBytes = 0;
    const [only] = buffers;
    if (buffers.length === 1 && only !== undefined) {
      const written = writeSync(this.#fd, only);
      left -= written;
      if (left > 0) buffers = skip(buffers, written);
    }
    while (left > 0) {
      const written = writevSync(this.#fd, buffers);
      left -= written;
      if (left > 0) buffers = skip(buffers, written);
    }
  }

  async #flush(): Promise<void> {
    let buffers = this.#pending;
    let left = this.#pendingBytes;
    this.#pending = [];
    this.#pendingBytes = 0;
    try {
      if (this.#fd < 0) await this.#open();
      while (left > 0) {
        const written = await writeSome(this.#fd, buffers);
        left -= written;
        if (left > 0) buffers = skip(buffers, written);
      }
    } catch (error) {
      throw storageErrorOf(error, `write ${this.path}`);
    }
  }

  #close(): void {
    if (this.#fd < 0 || this.#isSyncing) return;
    if (this.#hasClaim) this.#box.disk.namedFirst();
    this.#hasClaim = false;
    const fd = this.#fd;
    this.#fd = -1;
    if (this.size < flushBytes) closeSync(fd);
    else close(fd, () => undefined);
  }
}

/** @returns false when it was there */
function makeFolder(path: string): boolean {
  try {
    mkdirSync(path, 0o700);
    return true;
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
    return false;
  }
}

function skip(buffers: readonly Uint8Array[], count: number): Uint8Array[] {
  const rest: Uint8Array[] = [];
  let left = count;
  for (const buffer of buffers) {
    if (left >= buffer.length) left -= buffer.length;
    else {
      rest.push(left > 0 ? buffer.subarray(left) : buffer);
      left = 0;
    }
  }
  return rest;
}

function writeSome(fd: number, buffers: Uint8Array[]): Promise<number> {
  return new Promise((resolve, reject) => {
    writev(fd, buffers, (error, written) => {
      if (error === null) resolve(written);
      else reject(error);
    });
  });
}

function openLater(path: string, flags: string, mode: number): Promise<number> {
  return new Promise((resolve, reject) => {
    open(path, flags, mode, (error, fd) => {
      if (error === null) resolve(fd);
      else reject(error);
    });
  });
}
