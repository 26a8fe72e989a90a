// Reading one message as the client sees it.
//
// A file whose sizes S and W are equal is served as it is. In any other, each line feed without a carriage return before it is served as CRLF, as
// Dovecot stores messages with bare line feeds. Small files are converted in memory; for large ones the virtual offset of every 64 KB of the
// file is noted in one pass, and only the blocks asked for are converted.
import { close, closeSync, fstatSync, open, openSync, read, readSync } from 'node:fs';
import type { MimePart } from '#mail/mime-part.js';
import { MimeScanner } from '#mail/mime-tree.js';
import type { SlowWatch } from '#util/slow-watch.js';
import type { MessageReader } from '../mailbox.js';

const blockBytes = 64 * 1024;
const convertInMemoryBytes = 2 * 1024 * 1024;
/** Read in the event loop while storage is quick: 40 microseconds from the page cache. */
const maxQuickBytes = 256 * 1024;

/** @param storage where calls are made in the event loop while they are quick */
export function openFile(path: string | Buffer, storage: SlowWatch): Promise<number> {
  if (!storage.isPaused) {
    try {
      return Promise.resolve(storage.run(() => openSync(path, 'r')));
    } catch (error) {
      return Promise.reject(error);
    }
  }
  return new Promise((resolve, reject) => {
    open(path, 'r', (error, fd) => {
      if (error === null) resolve(fd);
      else reject(error);
    });
  });
}

export function closeFile(fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    close(fd, (error) => {
      if (error === null || error === undefined) resolve();
      else reject(error);
    });
  });
}

export interface ReadOptions {
  /** Used in place of a new buffer, when it is large enough. */
  readonly into?: Buffer | undefined;
  /** Reads are made in the event loop while they are quick. */
  readonly storage?: SlowWatch | undefined;
}

/** Fewer octets than asked for only at the end of the file. */
export async function readAt(fd: number, offset: number, length: number, { into, storage }: ReadOptions = {}): Promise<Buffer> {
  const buffer = into !== undefined && into.length >= length ? into.subarray(0, length) : Buffer.allocUnsafeSlow(length);
  let filled = 0;
  if (length <= maxQuickBytes && storage?.isPaused === false) filled = storage.run(() => readSync(fd, buffer, 0, length, offset));
  while (filled < length) {
    const got = await readOnce(fd, buffer, filled, length - filled, offset + filled);
    if (got === 0) break;
    filled += got;
  }
  return filled === length ? buffer : buffer.subarray(0, filled);
}

function readOnce(fd: number, buffer: Buffer, at: number, length: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, buffer, at, length, position, (error, bytesRead) => {
      if (error === null) resolve(bytesRead);
      else reject(error);
    });
  });
}

/** Line feeds without a carriage return before them. @param isAfterCr the octet before `bytes` is one */
export function countBareLineFeeds(bytes: Buffer, isAfterCr: boolean): number {
  let count = 0;
  for (let at = bytes.indexOf(0x0a); at >= 0; at = bytes.indexOf(0x0a, at + 1)) {
    const hasCr = at === 0 ? isAfterCr : bytes[at - 1] === 0x0d;
    if (!hasCr) count += 1;
  }
  return count;
}

/** Each bare line feed becomes CRLF. */
export function toCrlf(bytes: Buffer, isAfterCr: boolean): Buffer {
  const bare = countBareLineFeeds(bytes, isAfterCr);
  if (bare === 0) return bytes;
  const result = Buffer.allocUnsafe(bytes.length + bare);
  let from = 0;
  let to = 0;
  for (let at = bytes.indexOf(0x0a); at >= 0; at = bytes.indexOf(0x0a, at + 1)) {
    const hasCr = at === 0 ? isAfterCr : bytes[at - 1] === 0x0d;
    if (hasCr) continue;
    to += bytes.copy(result, to, from, at);
    result[to] = 0x0d;
    to += 1;
    from = at;
  }
  bytes.copy(result, to, from);
  return result;
}

/** Where the structure of a message may be known already, and is kept once it is. */
export interface StructureStore {
  find(): Promise<MimePart | undefined>;
  keep(structure: MimePart): void;
}

interface OctetSource {
  read(offset: number, length: number, into: Buffer | undefined): Promise<Buffer>;
}

export interface FileOptions {
  readonly structures?: StructureStore | undefined;
  /** Reads are made in the event loop while they are quick. */
  readonly storage?: SlowWatch | undefined;
}

/** Random access to an open message file; closes it at the end. */
export class FileMessageReader implements MessageReader {
  readonly size: number;
  readonly storedSize: number;
  readonly #fd: number;
  readonly #source: OctetSource;
  readonly #options: FileOptions;
  #structure: Promise<MimePart> | undefined;
  #isClosed = false;

  private constructor(
    fd: number,
    { size, storedSize }: Pick<FileMessageReader, 'size' | 'storedSize'>,
    source: OctetSource,
    options: FileOptions,
  ) {
    this.#fd = fd;
    this.size = size;
    this.storedSize = storedSize;
    this.#source = source;
    this.#options = options;
  }

  /** Takes over `fd`. @param asStored no conversion */
  static async open(fd: number, asStored: boolean, options: FileOptions = {}): Promise<FileMessageReader> {
    const { storage } = options;
    try {
      const storedSize = fstatSync(fd).size;
      if (asStored) {
        const source: OctetSource = { read: (offset, length, into) => readAt(fd, offset, length, { into, storage }) };
        return new FileMessageReader(fd, { size: storedSize, storedSize }, source, options);
      }
      if (storedSize <= convertInMemoryBytes) {
        const whole = toCrlf(await readAt(fd, 0, storedSize, { storage }), false);
        const source: OctetSource = { read: (offset, length) => Promise.resolve(whole.subarray(offset, offset + length)) };
        return new FileMessageReader(fd, { size: whole.length, storedSize }, source, options);
      }
      const converted = await ConvertedFile.open(fd);
      return new FileMessageReader(fd, { size: converted.size, storedSize }, converted, options);
    } catch (error) {
      await closeFile(fd);
      throw error;
    }
  }

  async read(offset: number, length: number, into?: Buffer): Promise<Buffer> {
    if (this.#isClosed) throw new Error('the message reader is closed');
    const wanted = Math.max(0, Math.min(length, this.size - offset));
    return wanted === 0 ? Buffer.alloc(0) : this.#source.read(offset, wanted, into);
  }

  structure(): Promise<MimePart> {
    this.#structure ??= this.#findStructure();
    return this.#structure;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // Closing a file that was only read waits for nothing.
    closeSync(this.#fd);
  }

  async #findStructure(): Promise<MimePart> {
    const known = await this.#options.structures?.find();
    if (known !== undefined) return known;
    const scanner = new MimeScanner({});
    for (let at = 0; at < this.size; at += blockBytes) scanner.push(await this.read(at, blockBytes));
    const structure = scanner.end();
    this.#options.structures?.keep(structure);
    return structure;
  }
}

/** A large file read with conversion. */
class ConvertedFile {
  readonly size: number;
  readonly #fd: number;
  /** Virtual offset of each block, and whether a carriage return precedes it. */
  readonly #starts: readonly number[];
  readonly #afterCr: readonly boolean[];

  private constructor(fd: number, size: number, starts: readonly number[], afterCr: readonly boolean[]) {
    this.#fd = fd;
    this.size = size;
    this.#starts = starts;
    this.#afterCr = afterCr;
  }

  static async open(fd: number): Promise<ConvertedFile> {
    const starts: number[] = [];
    const afterCr: boolean[] = [];
    let size = 0;
    let isAfterCr = false;
    for (let position = 0; ; position += blockBytes) {
      const block = await readAt(fd, position, blockBytes);
      starts.push(size);
      afterCr.push(isAfterCr);
      size += block.length + countBareLineFeeds(block, isAfterCr);
      isAfterCr = block.at(-1) === 0x0d;
      if (block.length < blockBytes) return new ConvertedFile(fd, size, starts, afterCr);
    }
  }

  async read(offset: number, length: number): Promise<Buffer> {
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#starts[middle] as number) <= offset) low = middle;
      else high = middle - 1;
    }
    const parts: Buffer[] = [];
    const end = offset + length;
    for (let block = low; block < this.#starts.length; block += 1) {
      const start = this.#starts[block] as number;
      if (start >= end) break;
      const bytes = toCrlf(await readAt(this.#fd, block * blockBytes, blockBytes), this.#afterCr[block] as boolean);
      parts.push(bytes.subarray(Math.max(0, offset - start), Math.min(bytes.length, end - start)));
    }
    return Buffer.concat(parts);
  }
}
