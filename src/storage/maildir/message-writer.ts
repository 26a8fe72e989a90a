// One message on its way into tmp/: buffered, written, given its date, fsynced.
//
// What is small enough to be written at once (most mail) is written by synchronous calls, which only touch the page cache and cost half of what a
// trip through the thread pool does; what is larger is streamed. fsync always happens off the event loop, so that several overlap. A new file may have to
// wait for the journal of the file system to be written (ext4): for a while after that has taken long, files are made off the event loop, too.
//
// Where the file system keeps the order (util/write-out.ts), the octets are only sent to the device here, and one fsync under the final name makes both
// durable; elsewhere the file is fsynced here and the folder later.
import { close, closeSync, futimesSync, mkdirSync, open, openSync, rmdirSync, statSync, unlinkSync, writev, writevSync } from 'node:fs';
import { errnoOf } from '#util/coded-error.js';
import { givePermissions } from '#util/file-permissions.js';
import { StorageError } from '../errors.js';
import type { MaildirBox } from './box.js';
import { storageErrorOf } from './file-calls.js';

/** Octets gathered before they are written. */
const flushBytes = 128 * 1024;
/** A new file that takes longer keeps the event loop waiting. */
const slowOpenMs = 5;
/** How long files are made off the event loop then. */
const openElsewhereMs = 1_000;

export class TemporaryMessage {
  /** Until then files are made off the event loop; as performance.now(). */
  static #opensElsewhereUntil = 0;
  readonly path: string;
  readonly name: string;
  size = 0;
  readonly #box: MaildirBox;
  readonly #dateSeconds: number;
  #fd = -1;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  readonly #openFlags: string;
  #isMade = false;
  #isDiscarded = false;
  #needsSync = false;
  /** Others may rely on the descriptor. */
  #isSyncing = false;

  /**
   * @param dateSeconds INTERNALDATE: becomes the file's mtime
   * @param path an existing file to write to instead of a new one in tmp/ (tests of full disks)
   */
  constructor(box: MaildirBox, dateSeconds: number, path?: string) {
    this.#box = box;
    this.#dateSeconds = dateSeconds;
    this.name = box.names.next();
    this.path = path ?? `${box.tmpDir}/${this.name}`;
    this.#openFlags = path === undefined ? 'wx' : 'w';
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#pending.push(chunk);
    this.#pendingBytes += chunk.length;
    this.size += chunk.length;
    if (this.#pendingBytes >= flushBytes) await this.#flush();
  }

  /**
   * The file is whole, also after a loss of power, once it has its final name. Whether it is there then says `sync`.
   * @param keepOpen false: there are many more, so it is made durable now, and its folder has to be synced
   */
  async end(keepOpen: boolean): Promise<void> {
    const writeOut = keepOpen ? this.#box.writeOut : undefined;
    if (this.#pendingBytes >= flushBytes / 2) await this.#flush();
    try {
      if (this.#fd < 0) await this.#open();
      if (this.#pendingBytes > 0) this.#writeNow();
      futimesSync(this.#fd, this.#dateSeconds, this.#dateSeconds);
      if (writeOut !== undefined) await writeOut(this.#fd);
      else if (this.#box.options.fsync !== 'never') await this.#box.syncs.file(this.#fd);
      this.#needsSync = writeOut !== undefined;
    } catch (error) {
      throw storageErrorOf(error, `write ${this.path}`);
    } finally {
      if (!this.#needsSync) this.#close();
    }
  }

  /** `sync` makes the file and its final name durable. */
  get needsSync(): boolean {
    return this.#needsSync;
  }

  /** After the file got its final name. */
  async sync(): Promise<void> {
    if (!this.#needsSync) return;
    this.#isSyncing = true;
    try {
      await this.#box.journal.request(this.#fd);
    } finally {
      this.#isSyncing = false;
      this.#needsSync = false;
      this.#close();
    }
  }

  /** After the file got its final name, when something else makes both durable. */
  release(): void {
    this.#needsSync = false;
    this.#close();
  }

  /** Removes the file if it is still in tmp/. */
  discard(): void {
    this.#isDiscarded = true;
    this.#needsSync = false;
    this.#close();
    this.#pending = [];
    if (!this.#isMade) return;
    try {
      unlinkSync(this.path);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') this.#box.log.warning('maildir.tmp', `Could not remove ${this.path}`, { error });
    }
  }

  async #open(): Promise<void> {
    const { mode } = this.#box.permissions;
    try {
      this.#fd = await this.#openFile(mode);
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error;
      this.#makeFolders();
      this.#fd = openSync(this.path, this.#openFlags, mode);
    }
    this.#isMade = true;
    if (this.#isDiscarded) {
      this.discard();
      throw new StorageError('cannot', 'the message was given up');
    }
    givePermissions(this.#fd, this.#box.permissions);
  }

  #openFile(mode: number): number | Promise<number> {
    const startedAt = performance.now();
    if (startedAt < TemporaryMessage.#opensElsewhereUntil) return openLater(this.path, this.#openFlags, mode);
    const fd = openSync(this.path, this.#openFlags, mode);
    const endedAt = performance.now();
    if (endedAt - startedAt > slowOpenMs) TemporaryMessage.#opensElsewhereUntil = endedAt + openElsewhereMs;
    return fd;
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
