// The dovecot-uidlist of one mailbox as a file. Everything that writes needs the dot lock, which the caller holds.
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { Logger } from '#log/logger.js';
import { writeFileAtomic } from '#util/atomic-file.js';
import { errnoOf } from '#util/coded-error.js';
import type { DiskSyncs } from '#util/disk-syncs.js';
import { type DotLock, DotLockError, type LockOwner, takeDotLock } from '#util/dot-lock.js';
import type { FilePermissions } from '#util/file-permissions.js';
import { NamedFile } from '#util/file-status.js';
import { StorageError } from '../errors.js';
import { type Columns, rowBit } from '../index/columns.js';
import { type FileStamp, noStamp } from '../index/index-state.js';
import { isSameStamp, stampOf, stampOfOpen, storageErrorOf, syncPath } from './file-calls.js';
import { formatUidListHeader, formatUidListRecord, parseUidList, type UidList, type UidListHeader } from './uid-list.js';

export interface UidListRead extends UidList {
  readonly stamp: FileStamp;
}

/** Closed by who used it last. */
interface OpenList {
  readonly fd: number;
  readonly inode: number;
  users: number;
}

export class UidListFile {
  readonly #file: NamedFile;
  readonly #lock: NamedFile;
  /** Kept open for the next append, as each save is one. */
  #open: OpenList | undefined;
  readonly #lockTimeoutMs: number;
  readonly #log: Logger;
  readonly #owner: LockOwner;

  constructor(controlDir: string, owner: LockOwner, lockTimeoutMs: number, log: Logger) {
    this.#owner = owner;
    this.#file = new NamedFile(`${controlDir}/dovecot-uidlist`);
    this.#lock = new NamedFile(`${this.path}.lock`);
    this.#lockTimeoutMs = lockTimeoutMs;
    this.#log = log;
  }

  get path(): string {
    return this.#file.path;
  }

  /** At once where it is free. @throws StorageError `in-use` when the lock is not free in time */
  lock(signal: AbortSignal): DotLock | Promise<DotLock> {
    signal.throwIfAborted();
    return this.#owner.tryLink(this.#lock) ?? this.#lockLater(signal);
  }

  async #lockLater(signal: AbortSignal): Promise<DotLock> {
    try {
      return await takeDotLock(
        this.path,
        {
          timeoutMs: this.#lockTimeoutMs,
          owner: this.#owner,
          onBreak: (path, reason) => this.#log.warning('maildir.stale-lock', `Removed stale lock ${path}: ${reason}`, { path, reason }),
        },
        signal,
      );
    } catch (error) {
      if (error instanceof DotLockError) {
        throw new StorageError('in-use', error.message, { cause: error, clientText: 'Mailbox is in use by another process' });
      }
      throw storageErrorOf(error, `lock ${this.path}`);
    }
  }

  stamp(): FileStamp {
    return stampOf(this.#file) ?? noStamp;
  }

  /** @returns undefined when there is no such file */
  async read(): Promise<UidListRead | undefined> {
    try {
      const file = await open(this.path, 'r');
      try {
        for (;;) {
          const stamp = stampOfOpen(file.fd);
          const bytes = Buffer.allocUnsafeSlow(stamp.size);
          let length = 0;
          while (length < bytes.length) {
            const { bytesRead } = await file.read(bytes, length, bytes.length - length, length);
            if (bytesRead === 0) break;
            length += bytesRead;
          }
          // Appended to meanwhile: the stamp must fit what was read.
          if (isSameStamp(stamp, stampOfOpen(file.fd))) return { ...parseUidList(bytes.subarray(0, length)), stamp };
        }
      } finally {
        await file.close();
      }
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw storageErrorOf(error, `read ${this.path}`);
    }
  }

  /**
   * Appends whole lines, in one piece or several.
   * @param inode of the file that is the list now
   * @returns the stamp afterwards
   */
  append(lines: string | Iterable<Buffer>, inode = this.stamp().inode): FileStamp {
    const fd = this.#opened(inode);
    const pieces = typeof lines === 'string' ? [Buffer.from(lines, 'latin1')] : lines;
    let total = 0;
    try {
      for (const piece of pieces) {
        for (let written = 0; written < piece.length; ) {
          const count = writeSync(fd, piece, written);
          written += count;
          total += count;
        }
      }
    } catch (error) {
      // A part of a line without its end would swallow the next record.
      takeBack(fd, total);
      throw storageErrorOf(error, `append to ${this.path}`);
    }
    return stampOfOpen(fd);
  }

  /** Makes what was appended durable. */
  async sync(syncs: DiskSyncs): Promise<void> {
    const open = this.#open;
    if (open === undefined) return syncPath(this.path, syncs);
    open.users += 1;
    try {
      await syncs.data(open.fd);
    } catch (error) {
      if (errnoOf(error) !== 'EINVAL') throw error;
    } finally {
      this.#unused(open);
    }
  }

  /** Gives back the descriptor; the next append opens the file again. */
  close(): void {
    const open = this.#open;
    this.#open = undefined;
    if (open !== undefined) this.#unused(open);
  }

  #opened(inode: number): number {
    if (this.#open !== undefined && this.#open.inode === inode) return this.#open.fd;
    this.close();
    let fd: number;
    try {
      fd = openSync(this.path, 'a');
    } catch (error) {
      throw storageErrorOf(error, `append to ${this.path}`);
    }
    this.#open = { fd, inode: stampOfOpen(fd).inode, users: 1 };
    return fd;
  }

  #unused(open: OpenList): void {
    open.users -= 1;
    if (open.users === 0) closeSync(open.fd);
  }

  /** Replaces the file with these records. @returns the stamp afterwards */
  async rewrite(
    header: Omit<UidListHeader, 'version'>,
    rows: Columns,
    more: string,
    sync: boolean,
    permissions: FilePermissions,
  ): Promise<FileStamp> {
    const parts: string[] = [formatUidListHeader(header)];
    for (let row = 0; row < rows.length; row += 1) {
      if (((rows.bits[row] as number) & rowBit.dead) !== 0) continue;
      parts.push(formatUidListRecord(rows.uid[row] as number, rows.extensionOf(row), rows.nameOf(row)));
    }
    parts.push(more);
    const old = this.stamp();
    try {
      await writeFileAtomic(this.path, Buffer.from(parts.join(''), 'latin1'), {
        sync,
        permissions,
        temporaryPath: `${this.path}.tmp`,
        ...(old.inode === 0 ? {} : { newerThanSeconds: Math.floor(old.mtimeMs / 1000) }),
      });
    } catch (error) {
      throw storageErrorOf(error, `write ${this.path}`);
    }
    return this.stamp();
  }
}

function takeBack(fd: number, count: number): void {
  if (count === 0) return;
  try {
    ftruncateSync(fd, stampOfOpen(fd).size - count);
  } catch {
    // The next reader sees a cut line and replaces the file.
  }
}
