// The Maildir format: boxes by path, shared by all sessions of the process.
import { randomBytes } from 'node:crypto';
import { renameSync, type Stats, statSync } from 'node:fs';
import { mkdir, open, rename, rm, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { LRUCache } from 'lru-cache';
import { errnoOf } from '#util/coded-error.js';
import { takeDotLock } from '#util/dot-lock.js';
import { type FilePermissions, givePermissions, permissionsIn, privatePermissions } from '#util/file-permissions.js';
import type { MailboxDriver, MailboxPaths, OpenMailboxOptions } from '../driver.js';
import { StorageError } from '../errors.js';
import type { Mailbox } from '../mailbox.js';
import { MaildirBox } from './box.js';
import { cleanTmp } from './clean-tmp.js';
import { storageErrorOf } from './file-calls.js';
import { NameMaker } from './file-name.js';
import { FolderWatcher } from './folder-watcher.js';
import { MaildirMailbox } from './mailbox.js';
import type { MailboxHost } from './mailbox-base.js';
import { defaultMaildirOptions, type MaildirOptions } from './options.js';
import { refresh, refreshHeld } from './reconcile.js';
import { formatUidListHeader } from './uid-list.js';
import { nextUidValidity } from './uid-validity.js';

/** With what a process leaves that dies while it writes the cache anew. */
const cacheFiles = ['roost.cache', 'roost.cache.tmp', 'roost.cache.lock'];

/** At the end of a process, for what is still under way. */
const closeWaitMs = 5_000;

class MaildirDriver implements MailboxDriver, MailboxHost {
  readonly #options: MaildirOptions;
  readonly #names = new NameMaker();
  readonly #boxes = new Map<string, MaildirBox>();
  readonly #mailboxes = new WeakMap<MaildirBox, MaildirMailbox[]>();
  readonly #idle: LRUCache<string, MaildirBox>;
  readonly #watcher: FolderWatcher;

  constructor(options: MaildirOptions) {
    this.#options = options;
    const load = (box: MaildirBox, signal: AbortSignal): Promise<void> => this.load(box, signal);
    this.#watcher = new FolderWatcher({ pollMs: options.pollMs, maxWatches: options.maxWatches, log: options.log, load });
    this.#idle = new LRUCache({
      max: Math.max(1, options.idleMailboxes),
      dispose: (box, key, reason) => {
        if (reason !== 'evict' || !box.isIdle) return;
        if (this.#boxes.get(key) === box) this.#boxes.delete(key);
        box.unload();
      },
    });
  }

  open(paths: MailboxPaths, options: OpenMailboxOptions, signal: AbortSignal): Mailbox | Promise<Mailbox> {
    try {
      signal.throwIfAborted();
      const known = this.#boxes.get(keyOf(paths));
      if (known?.isInPlace === true || (options.isForDelivery === true && known?.takesMail === true)) return this.#opened(known, options);
      return this.#openLater(paths, options, signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  async #openLater(paths: MailboxPaths, options: OpenMailboxOptions, signal: AbortSignal): Promise<Mailbox> {
    return this.#opened(await this.#openUnknown(paths, options, signal), options);
  }

  #opened(box: MaildirBox, options: OpenMailboxOptions): Mailbox {
    this.released(box);
    return this.#mailboxOf(box, options);
  }

  /** One that is not in memory, or was replaced. */
  async #openUnknown(paths: MailboxPaths, options: OpenMailboxOptions, signal: AbortSignal): Promise<MaildirBox> {
    const cur = curOf(paths);
    const box = this.#boxOf(paths, options, cur);
    try {
      if (cur?.isDirectory() !== true) throw new StorageError('not-found', `no mailbox at ${paths.mailDir}`);
      if (!box.isLoaded && options.isForDelivery !== true) {
        await this.load(box, signal);
        await refresh(box, signal);
      }
      return box;
    } catch (error) {
      if (box.views.size === 0) this.#boxes.delete(keyOf(paths));
      throw storageErrorOf(error, `open ${paths.mailDir}`);
    }
  }

  async load(box: MaildirBox, signal: AbortSignal): Promise<void> {
    if (box.isLoaded) return;
    if (!this.#boxes.has(keyOf(box.paths))) this.#boxes.set(keyOf(box.paths), box);
    box.background(
      cleanTmp(box.tmpDir, this.#options.tmpScanMs).then(() => undefined),
      'clean tmp/',
    );
    await box.load(() => refreshHeld(box, undefined, signal), signal);
  }

  released(box: MaildirBox): void {
    if (!box.isDeleted) this.#idle.set(keyOf(box.paths), box);
  }

  watch(box: MaildirBox): () => void {
    return this.#watcher.watch(box);
  }

  async exists(paths: MailboxPaths): Promise<boolean> {
    try {
      return isMaildir(paths);
    } catch (error) {
      throw storageErrorOf(error, `stat ${paths.mailDir}`);
    }
  }

  async create(
    paths: MailboxPaths,
    options: { readonly isMaildirFolder: boolean },
    signal: AbortSignal,
  ): Promise<{ readonly guid: string }> {
    signal.throwIfAborted();
    try {
      // A mailbox is for those for whom the folder is in which it lies; an account's own folder for nobody else.
      const isAccount = paths.mailDir === paths.accountControlDir;
      const parent = isAccount ? privatePermissions : permissionsIn(dirname(paths.mailDir));
      await makeFolder(paths.mailDir, parent);
      const permissions = isAccount ? permissionsIn(paths.mailDir) : parent;
      for (const folder of ['tmp', 'new']) await makeFolder(`${paths.mailDir}/${folder}`, permissions);
      if (options.isMaildirFolder) await writeNew(`${paths.mailDir}/maildirfolder`, '', permissions);
      await mkdir(paths.controlDir, { recursive: true, mode: 0o700 });
      await mkdir(paths.accountControlDir, { recursive: true, mode: 0o700 });
      const guid = randomBytes(16).toString('hex');
      const uidValidity = await nextUidValidity(paths.accountControlDir);
      const header = formatUidListHeader({ uidValidity, uidNext: 1, guid, extras: [] });
      // cur/ comes last: it is what makes the folder a mailbox.
      await writeNew(`${paths.controlDir}/dovecot-uidlist`, header, permissions);
      await mkdir(`${paths.mailDir}/cur`, { mode: 0o700 });
      await openFolder(`${paths.mailDir}/cur`, permissions);
      return { guid };
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') {
        throw new StorageError('exists', `mailbox exists at ${paths.mailDir}`, { clientText: 'Mailbox already exists' });
      }
      throw storageErrorOf(error, `create ${paths.mailDir}`);
    }
  }

  async delete(paths: MailboxPaths, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!(await this.exists(paths))) throw new StorageError('not-found', `no mailbox at ${paths.mailDir}`);
    const box = this.#boxes.get(keyOf(paths));
    // Nobody in this process is in the middle of making its index.
    const release = await box?.mutex.acquire(signal);
    // A rename first, so that no other process sees half a mailbox.
    const grave = `${paths.mailDir}/.deleted.${process.pid}.${Date.now()}`;
    try {
      await mkdir(grave, { mode: 0o700 });
      for (const folder of ['cur', 'new', 'tmp']) {
        await rename(`${paths.mailDir}/${folder}`, `${grave}/${folder}`).catch((error: unknown) => {
          if (errnoOf(error) !== 'ENOENT') throw error;
        });
      }
      if (box !== undefined) this.#forget(box, keyOf(paths));
      await rm(grave, { recursive: true, force: true });
      for (const file of ['dovecot-uidlist', 'dovecot-keywords', 'dovecot-uidlist.lock']) await removeFile(`${paths.controlDir}/${file}`);
      await removeFile(`${paths.mailDir}/maildirfolder`);
      for (const file of ['roost.index', 'roost.index.log', ...cacheFiles, 'roost.keys', 'roost.index.lock']) {
        if (paths.indexDir !== undefined) await removeFile(`${paths.indexDir}/${file}`);
      }
    } catch (error) {
      throw storageErrorOf(error, `delete ${paths.mailDir}`);
    } finally {
      release?.();
    }
  }

  async dropIndex({ indexDir }: MailboxPaths, signal: AbortSignal): Promise<void> {
    if (indexDir === undefined) return;
    try {
      const lock = await takeDotLock(`${indexDir}/roost.index`, { timeoutMs: this.#options.lockTimeoutMs }, signal);
      try {
        // The log first: a snapshot without its log is not trusted, and whoever has it open sees that it is gone.
        for (const file of ['roost.index.log', 'roost.index', ...cacheFiles, 'roost.keys']) await removeFile(`${indexDir}/${file}`);
      } finally {
        lock.release();
      }
    } catch (error) {
      // The folder is made with the first index.
      if (errnoOf(error) !== 'ENOENT') throw storageErrorOf(error, `remove the index in ${indexDir}`);
    }
  }

  async rename(from: MailboxPaths, to: MailboxPaths, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (await this.exists(to)) {
      throw new StorageError('exists', `mailbox exists at ${to.mailDir}`, { clientText: 'Mailbox already exists' });
    }
    // Nobody in this process is in the middle of reading the folder, or of writing into it, under its old name.
    const release = await this.#boxes.get(keyOf(from))?.mutex.acquire(signal);
    try {
      // In one turn with `#moved`: a session that looked in between would find its mailbox gone.
      renameSync(from.mailDir, to.mailDir);
      if (from.controlDir !== from.mailDir) renameIfThere(from.controlDir, to.controlDir);
      if (from.indexDir !== undefined && to.indexDir !== undefined && from.indexDir !== from.mailDir && from.indexDir !== from.controlDir) {
        renameIfThere(from.indexDir, to.indexDir);
      }
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') throw new StorageError('not-found', `no mailbox at ${from.mailDir}`);
      throw storageErrorOf(error, `rename ${from.mailDir}`);
    } finally {
      this.#moved(from, to);
      release?.();
    }
  }

  /** After a rename that may have failed half way: who has it open goes on under the name that the folder has. */
  #moved(from: MailboxPaths, to: MailboxPaths): void {
    const box = this.#boxes.get(keyOf(from));
    if (box === undefined || isMaildir(from) || !isMaildir(to)) return;
    this.#boxes.delete(keyOf(from));
    this.#idle.delete(keyOf(from));
    box.moveTo(to);
    this.#watcher.moved(box);
    this.#boxes.set(keyOf(to), box);
    this.released(box);
  }

  async close(): Promise<void> {
    this.#watcher.close();
    const signal = AbortSignal.timeout(closeWaitMs);
    for (const box of this.#boxes.values()) {
      box.cache?.stopCompacting();
      await box.settled();
      await unloadUnused(box, signal);
    }
    this.#idle.clear();
    this.#boxes.clear();
  }

  #forget(box: MaildirBox, key: string): void {
    box.isDeleted = true;
    box.index.close();
    box.closeFiles();
    this.#boxes.delete(key);
    this.#idle.delete(key);
    box.changed();
  }

  #boxOf(paths: MailboxPaths, options: OpenMailboxOptions, cur: Stats | undefined): MaildirBox {
    let box = this.#boxes.get(keyOf(paths));
    if (box !== undefined && cur !== undefined && box.isReplacedBy(cur.ino)) this.#forget(box, keyOf(paths));
    if (box === undefined || box.isDeleted) {
      box = new MaildirBox(paths, this.#options, this.#names, options.log);
      this.#boxes.set(keyOf(paths), box);
    }
    return box;
  }

  #mailboxOf(box: MaildirBox, options: OpenMailboxOptions): MaildirMailbox {
    const known = this.#mailboxes.get(box) ?? [];
    const same = known.find((mailbox) => mailbox.name === options.name);
    if (same !== undefined) {
      same.quota = options.quota;
      same.isReadOnly = options.isReadOnly;
      return same;
    }
    const mailbox = new MaildirMailbox(box, this, options);
    this.#mailboxes.set(box, [...known, mailbox]);
    return mailbox;
  }
}

/**
 * Who is in the middle of something (its client has left, and nobody waits for it) goes on with what is known: an empty state would give all messages
 * new UIDs. Where that takes long, nothing is given up.
 */
async function unloadUnused(box: MaildirBox, signal: AbortSignal): Promise<void> {
  const release = await box.mutex.acquire(signal).catch(() => undefined);
  if (release === undefined) return;
  box.unload();
  release();
}

/**
 * A mailbox with another index is another one: change numbers belong to an index, and who shares a mailbox with an index of his own must not hand his to
 * its owner. They find each other's changes as two processes do.
 */
function keyOf({ mailDir, indexDir }: MailboxPaths): string {
  return indexDir === mailDir ? mailDir : `${mailDir}\0${indexDir ?? ''}`;
}

function isMaildir(paths: MailboxPaths): boolean {
  return curOf(paths)?.isDirectory() === true;
}

/** Bounded: one stat of a name that is almost always in the kernel's cache. */
function curOf({ mailDir }: MailboxPaths): Stats | undefined {
  return statSync(`${mailDir}/cur`, { throwIfNoEntry: false });
}

/** A folder that may be there already. */
async function makeFolder(path: string, permissions: FilePermissions): Promise<void> {
  if ((await mkdir(path, { recursive: true, mode: 0o700 })) !== undefined) await openFolder(path, permissions);
}

/** Whoever may read files of these permissions may enter the folder. */
async function openFolder(path: string, { mode, gid }: FilePermissions): Promise<void> {
  if (mode === privatePermissions.mode && gid === undefined) return;
  const folder = await open(path, 'r');
  try {
    givePermissions(folder.fd, { mode: mode | ((mode & 0o444) >> 2), gid });
  } finally {
    await folder.close();
  }
}

/** Leaves a file alone that is there. */
async function writeNew(path: string, contents: string, permissions: FilePermissions): Promise<void> {
  try {
    const file = await open(path, 'wx', permissions.mode);
    try {
      givePermissions(file.fd, permissions);
      await file.writeFile(contents);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error;
  }
}

async function removeFile(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}

function renameIfThere(from: string, to: string): void {
  try {
    renameSync(from, to);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}

/** A driver for Maildirs; one per process. */
export function createMaildirDriver(options: Partial<MaildirOptions> & Pick<MaildirOptions, 'log'>): MailboxDriver {
  return new MaildirDriver({ ...defaultMaildirOptions, ...options });
}
