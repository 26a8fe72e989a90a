// roost.keys of one mailbox: header fields as SEARCH compares them, in blocks of some hundred messages (key-blocks.ts), for who searches a field that
// this process has not searched yet. Layout: docs/index-format.md.
//
// Appended by every process without a lock (one write(2) with O_APPEND). A message never changes, so a block stays true as long as the mailbox keeps
// its UIDVALIDITY. Nothing refers to a place in the file: one that is torn, another mailbox's or has grown too large is begun anew, without a word, as
// all of it can be worked out again from roost.cache.
import { Buffer } from 'node:buffer';
import { closeSync, constants, fstatSync, openSync, read, readSync, renameSync, writeFileSync, writevSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Logger } from '#log/logger.js';
import { errnoOf } from '#util/coded-error.js';
import { crc32 } from '#util/crc32.js';
import { type FilePermissions, givePermissions, privatePermissions } from '#util/file-permissions.js';
import { SlowWatch } from '#util/slow-watch.js';
import type { KeyBlock } from '../key-blocks.js';

const readFile = promisify(read);

const magic = 'ROOSTKY1';
const version = 1;
export const keyFileHeaderBytes = 64;
const guidBytes = 32;
const recordHeaderBytes = 24;
/** A block of 1,024 messages with unusually long values. */
const maxRecordBytes = 1024 * 1024;
/** Read at once. */
const windowBytes = 1024 * 1024;
/** Small mailboxes are searched without it; of each message of a large one, so much. */
const floorBytes = 1024 * 1024;
const bytesPerMessage = 256;
const maxFileBytes = 64 * 1024 * 1024;

/** Whose the file is. */
export interface KeyFileOwner {
  /** 32 hexadecimal digits. */
  readonly guid: string;
  readonly uidValidity: number;
}

export class KeyFile {
  #path: string;
  readonly #log: Logger;
  readonly #permissions: FilePermissions;
  readonly #storage = new SlowWatch();
  #fd = -1;
  #isUnusable = false;
  /** Something in it cannot be read, and hides what is behind it. */
  #isTorn = false;

  constructor(path: string, log: Logger, permissions: FilePermissions = privatePermissions) {
    this.#path = path;
    this.#log = log;
    this.#permissions = permissions;
  }

  /** The mailbox was renamed, and its files with it. */
  moveTo(path: string): void {
    this.#path = path;
  }

  /**
   * The blocks of one field, in the order in which they were written; some may be about the same messages.
   * @param field lower-case
   * @param take returns false when it wants no more
   * @param breathe lets the event loop run when it is time; throws to end it
   */
  async read(
    owner: KeyFileOwner,
    field: string,
    take: (block: KeyBlock) => boolean,
    breathe: () => Promise<void> | undefined,
  ): Promise<void> {
    if (this.#isUnusable || !this.#open(owner)) return;
    const end = fstatSync(this.#fd).size;
    this.#isTorn = false;
    for (let position = keyFileHeaderBytes; position < end; ) {
      const bytes = await this.#readAt(position, Math.min(windowBytes, end - position));
      if (this.#fd < 0) return;
      let at = 0;
      for (;;) {
        const length = recordLength(bytes, at);
        if (length === 0 || at + length > bytes.length) break;
        const record = bytes.subarray(at, at + length);
        if (hasField(record, field)) {
          const block = decodeKeyBlock(record);
          if (block === undefined) {
            this.#isTorn = true;
            return;
          }
          if (!take(block)) return;
        }
        at += length;
      }
      // One that is longer than the window cannot be.
      this.#isTorn = at === 0;
      if (this.#isTorn) return;
      position += at;
      await breathe();
    }
  }

  /** Adds blocks of one field. @param messages of the mailbox, by which the file may grow */
  append(owner: KeyFileOwner, field: string, blocks: readonly KeyBlock[], messages: number): void {
    if (this.#isUnusable || blocks.length === 0) return;
    const records = blocks.map((block) => encodeKeyBlock(field, block)).filter(({ length }) => length <= maxRecordBytes);
    let total = 0;
    for (const { length } of records) total += length;
    const limit = Math.min(maxFileBytes, Math.max(floorBytes, messages * bytesPerMessage));
    if (total === 0 || total > limit) return;
    try {
      if (this.#fd >= 0 && (this.#isTorn || fstatSync(this.#fd).size + total > limit)) this.close();
      if (this.#fd < 0) this.#make(owner);
      writevSync(this.#fd, records);
    } catch (error) {
      this.#giveUp(error);
    }
  }

  close(): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
    this.#isTorn = false;
  }

  /** @returns false when there is none of this mailbox */
  #open(owner: KeyFileOwner): boolean {
    try {
      // Somebody threw it away, by right or not.
      if (this.#fd >= 0 && fstatSync(this.#fd).nlink === 0) this.close();
      if (this.#fd >= 0) return true;
      this.#fd = openSync(this.#path, constants.O_RDWR | constants.O_APPEND);
      const header = Buffer.alloc(keyFileHeaderBytes);
      const isOurs =
        readSync(this.#fd, header, 0, keyFileHeaderBytes, 0) === keyFileHeaderBytes && header.equals(encodeKeyFileHeader(owner));
      if (!isOurs) this.close();
      return isOurs;
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') this.#giveUp(error);
      return false;
    }
  }

  /** @throws system errors */
  #make(owner: KeyFileOwner): void {
    const temporary = `${this.#path}.${process.pid}.tmp`;
    const fd = openSync(temporary, 'w', this.#permissions.mode);
    try {
      givePermissions(fd, this.#permissions);
      writeFileSync(fd, encodeKeyFileHeader(owner));
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, this.#path);
    this.#fd = openSync(this.#path, constants.O_RDWR | constants.O_APPEND);
  }

  async #readAt(offset: number, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafeSlow(length);
    let filled = 0;
    try {
      if (!this.#storage.isPaused) filled = this.#storage.run(() => readSync(this.#fd, bytes, 0, length, offset));
      while (filled < length && this.#fd >= 0) {
        const { bytesRead } = await readFile(this.#fd, bytes, filled, length - filled, offset + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
    } catch (error) {
      this.#giveUp(error);
    }
    return bytes.subarray(0, filled);
  }

  #giveUp(error: unknown): void {
    this.#isUnusable = true;
    // The mailbox was deleted, which others tell.
    if (errnoOf(error) !== 'ENOENT') this.#log.warning('keys.unusable', `Search keys ${this.#path} cannot be used`, { error });
    this.close();
  }
}

export function encodeKeyFileHeader({ guid, uidValidity }: KeyFileOwner): Buffer {
  const bytes = Buffer.alloc(keyFileHeaderBytes);
  bytes.write(magic, 0, 'latin1');
  bytes.writeUInt32LE(version, 8);
  bytes.writeUInt32LE(uidValidity, 16);
  bytes.write(guid, 20, guidBytes, 'latin1');
  bytes.writeUInt32LE(crc32(bytes), 12);
  return bytes;
}

/** @returns undefined when it is no header of this version */
export function parseKeyFileHeader(bytes: Buffer): KeyFileOwner | undefined {
  if (bytes.length < keyFileHeaderBytes) return undefined;
  const header = bytes.subarray(0, keyFileHeaderBytes);
  const owner = { guid: header.toString('latin1', 20, 20 + guidBytes), uidValidity: header.readUInt32LE(16) };
  return header.equals(encodeKeyFileHeader(owner)) ? owner : undefined;
}

export function encodeKeyBlock(field: string, { first, last, uids, starts, text }: KeyBlock): Buffer {
  const nameAt = recordHeaderBytes + uids.byteLength + starts.byteLength;
  const textAt = nameAt + field.length;
  const bytes = Buffer.alloc(Math.ceil((textAt + text.length) / 4) * 4);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt32LE(first, 8);
  bytes.writeUInt32LE(last, 12);
  bytes.writeUInt32LE(uids.length, 16);
  bytes.writeUInt16LE(field.length, 20);
  // Octets that the text ends before the end of the record.
  bytes.writeUInt16LE(bytes.length - textAt - text.length, 22);
  let at = recordHeaderBytes;
  for (const numbers of [uids, starts]) {
    bytes.set(new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength), at);
    at += numbers.byteLength;
  }
  bytes.write(field, nameAt, 'latin1');
  bytes.write(text, textAt, 'latin1');
  bytes.writeUInt32LE(crc32(bytes.subarray(8)), 4);
  return bytes;
}

/** Length of the record that begins here, or 0 when none can. */
export function recordLength(bytes: Buffer, at: number): number {
  if (at + recordHeaderBytes > bytes.length) return 0;
  const length = bytes.readUInt32LE(at);
  return length % 4 === 0 && length >= recordHeaderBytes && length <= maxRecordBytes ? length : 0;
}

/** @param record whole by its length */
function hasField(record: Buffer, field: string): boolean {
  const length = record.readUInt16LE(20);
  const nameAt = recordHeaderBytes + record.readUInt32LE(16) * 8;
  return length === field.length && nameAt + length <= record.length && record.toString('latin1', nameAt, nameAt + length) === field;
}

/** @param record whole by its length. @returns undefined when it is damaged */
export function decodeKeyBlock(record: Buffer): (KeyBlock & { readonly field: string }) | undefined {
  if (crc32(record.subarray(8)) !== record.readUInt32LE(4)) return undefined;
  const first = record.readUInt32LE(8);
  const last = record.readUInt32LE(12);
  const count = record.readUInt32LE(16);
  const nameAt = recordHeaderBytes + count * 8;
  const textAt = nameAt + record.readUInt16LE(20);
  const textEnd = record.length - record.readUInt16LE(22);
  if (textEnd < textAt || first > last) return undefined;
  // A copy, which is aligned.
  const numbers = new Uint32Array(new Uint8Array(record.subarray(recordHeaderBytes, nameAt)).buffer);
  const uids = numbers.subarray(0, count);
  const starts = numbers.subarray(count);
  for (let index = 0; index < count; index += 1) {
    const uid = uids[index] as number;
    const start = starts[index] as number;
    const isAscending =
      index === 0 ? uid >= first && start === 0 : uid > (uids[index - 1] as number) && start > (starts[index - 1] as number);
    if (!isAscending || uid > last || textAt + start > textEnd) return undefined;
  }
  return { field: record.toString('latin1', nameAt, textAt), first, last, uids, starts, text: record.toString('latin1', textAt, textEnd) };
}
