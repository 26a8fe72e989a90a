// What the kernel has noted about folders since somebody looked at them (inotify(7)), asked for synchronously: a change is noted within the call that
// makes it, so that "nothing noted" is an answer as good as another look, and costs a fifth of one stat.
//
// Node's own watcher tells of changes some time later, which is too late for a client that was told of a delivery by other means and asks for it.
//
//   inotify_event   0 watch (int32), 4 mask, 8 cookie, 12 length of the name, 16 the name, padded with NUL
import { statfsSync } from 'node:fs';
import { type NativeFunction, openNativeLibraries } from './native-calls.js';

const nonBlocking = 0o4000;
const closeOnExec = 0o2000000;
/** ioctl: octets that can be read. */
const waitingOctets = 0x541b;
const noted = {
  modified: 0x2,
  attributes: 0x4,
  movedFrom: 0x40,
  movedTo: 0x80,
  created: 0x100,
  deleted: 0x200,
  selfDeleted: 0x400,
  selfMoved: 0x800,
};
const everything = Object.values(noted).reduce((mask, bit) => mask | bit, 0);
const onlyFolders = 0x1000000;
const queueOverflow = 0x4000;
const watchEnded = 0x8000;
const headBytes = 16;

/** Folders of one process that are watched this way at once: each takes a kilobyte of the kernel's memory, and fs.inotify.max_user_watches bounds them. */
const mostFolders = 512;
const bufferBytes = 16_384;

/** File systems all of whose changes pass through this kernel: ext2 to 4, XFS, Btrfs, F2FS, tmpfs, ZFS, bcachefs. */
const localFileSystems: ReadonlySet<number> = new Set([0xef53, 0x58465342, 0x9123683e, 0xf2f52010, 0x01021994, 0x2fc12fc1, 0xca451a4e]);

/** @param found called for each event with its watch (-1: none) and mask */
export function readEvents(octets: Buffer, found: (watch: number, mask: number) => void): void {
  for (let at = 0; at + headBytes <= octets.length; at += headBytes + octets.readUInt32LE(at + 12)) {
    found(octets.readInt32LE(at), octets.readUInt32LE(at + 4));
  }
}

type Call = 'inotify_init1' | 'inotify_add_watch' | 'inotify_rm_watch' | 'ioctl' | 'read' | 'close';
type Calls = Readonly<Record<Call, NativeFunction>>;

function openCalls(): Calls | undefined {
  const libc = process.platform === 'linux' ? openNativeLibraries()?.load(null) : undefined;
  if (libc === undefined) return undefined;
  const pointer = 'void *';
  return {
    inotify_init1: libc.func('inotify_init1', 'int', ['int']),
    inotify_add_watch: libc.func('inotify_add_watch', 'int', ['int', 'str', 'uint']),
    inotify_rm_watch: libc.func('inotify_rm_watch', 'int', ['int', 'int']),
    ioctl: libc.func('ioctl', 'int', ['int', 'ulong', pointer]),
    read: libc.func('read', 'long', ['int', pointer, 'ulong']),
    close: libc.func('close', 'int', ['int']),
  };
}

/** Of some folders, for one asker. */
export class FolderSigns {
  readonly #source: FolderSignSource;
  readonly watches: ReadonlySet<number>;
  #hasNews = false;
  #isLost = false;

  constructor(source: FolderSignSource, watches: ReadonlySet<number>) {
    this.#source = source;
    this.watches = watches;
  }

  /** Something in the folders, or one of them itself, has changed since `reset`, or nobody can tell any more. */
  hasChanged(): boolean {
    this.#source.take();
    return this.#hasNews || this.#isLost;
  }

  /** To be called before a look. @returns what `hasChanged` would have said */
  reset(): boolean {
    const had = this.hasChanged();
    this.#hasNews = false;
    return had;
  }

  /** @param isLost nothing more will be told */
  note(isLost: boolean): void {
    this.#hasNews = true;
    this.#isLost ||= isLost;
  }

  close(): void {
    this.#source.close(this);
  }
}

/** One for a process: there are few inotify instances for a user (fs.inotify.max_user_instances). Closed while nothing is watched. */
export class FolderSignSource {
  static readonly ofThisProcess = new FolderSignSource();
  #calls: Calls | 'none' | undefined;
  #fd = -1;
  readonly #askers = new Map<number, Set<FolderSigns>>();
  #count: Buffer | undefined;
  #buffer: Buffer | undefined;

  /** @returns undefined where that is not possible: no inotify left, or a file system that others may change */
  watch(folders: readonly string[]): FolderSigns | undefined {
    this.#calls ??= openCalls() ?? 'none';
    const calls = this.#calls;
    if (calls === 'none' || this.#askers.size + folders.length > mostFolders || !folders.every(isLocal)) return undefined;
    if (this.#fd < 0) this.#fd = calls.inotify_init1(nonBlocking | closeOnExec);
    if (this.#fd < 0) return undefined;
    // What is noted already is of others: a watch of ours must not be told of it.
    this.take();
    const watches = new Set<number>();
    const signs = new FolderSigns(this, watches);
    for (const folder of folders) {
      const watch = calls.inotify_add_watch(this.#fd, folder, everything | onlyFolders);
      if (watch < 0) {
        this.close(signs);
        return undefined;
      }
      watches.add(watch);
      const askers = this.#askers.get(watch);
      if (askers === undefined) this.#askers.set(watch, new Set([signs]));
      else askers.add(signs);
    }
    return signs;
  }

  /** Passes on what the kernel has noted. */
  take(): void {
    const calls = this.#calls;
    if (calls === undefined || calls === 'none' || this.#fd < 0) return;
    this.#count ??= Buffer.alloc(4);
    this.#buffer ??= Buffer.alloc(bufferBytes);
    while (calls.ioctl(this.#fd, waitingOctets, this.#count) === 0) {
      if (this.#count.readInt32LE(0) === 0) return;
      const got = calls.read(this.#fd, this.#buffer, bufferBytes);
      if (got <= 0) break;
      readEvents(this.#buffer.subarray(0, got), (watch, mask) => this.#note(watch, mask));
    }
    this.#noteAll();
  }

  #note(watch: number, mask: number): void {
    if ((mask & queueOverflow) !== 0) this.#noteAll();
    const isLost = (mask & watchEnded) !== 0;
    for (const signs of this.#askers.get(watch) ?? []) signs.note(isLost);
    if (isLost) this.#askers.delete(watch);
  }

  #noteAll(): void {
    for (const askers of this.#askers.values()) for (const signs of askers) signs.note(false);
  }

  /** Idempotent. */
  close(signs: FolderSigns): void {
    const calls = this.#calls;
    if (calls === undefined || calls === 'none' || this.#fd < 0) return;
    for (const watch of signs.watches) {
      const askers = this.#askers.get(watch);
      if (askers?.delete(signs) !== true || askers.size > 0) continue;
      this.#askers.delete(watch);
      calls.inotify_rm_watch(this.#fd, watch);
    }
    if (this.#askers.size > 0) return;
    calls.close(this.#fd);
    this.#fd = -1;
  }
}

function isLocal(folder: string): boolean {
  try {
    return localFileSystems.has(statfsSync(folder).type);
  } catch {
    return false;
  }
}
