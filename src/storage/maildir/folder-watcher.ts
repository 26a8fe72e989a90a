// Noticing what other programs do to watched mailboxes: inotify on new/ and cur/ (libuv has one inotify instance for the whole process), and a look
// every now and then where the kernel has no watches left.
//
// An event only says "look": the mailbox is refreshed, which compares mtimes, and its views are told when something came of it. Events of
// our own changes end there. Bursts are gathered for a moment, long enough for a peer to write its log record behind its renames.
import { type FSWatcher, watch } from 'node:fs';
import type { Logger } from '#log/logger.js';
import { errnoOf } from '#util/coded-error.js';
import { StorageError } from '../errors.js';
import type { MaildirBox } from './box.js';
import { refresh } from './reconcile.js';

const gatherMs = 25;
/** A refresh that waits for a lock must not wait for ever. */
const refreshTimeoutMs = 60_000;
const watchesPerBox = 2;
const unloadAfterMs = 2000;

interface WatchedBox {
  users: number;
  watchers: FSWatcher[];
  poll: NodeJS.Timeout | undefined;
  gather: NodeJS.Timeout | undefined;
  /** An event came while a refresh was running. */
  isPending: boolean;
  isRunning: boolean;
}

export interface FolderWatcherOptions {
  readonly pollMs: number;
  readonly maxWatches: number;
  readonly log: Logger;
  /** Brings a box back that was given up. */
  readonly load: (box: MaildirBox, signal: AbortSignal) => Promise<void>;
}

export class FolderWatcher {
  readonly #options: FolderWatcherOptions;
  readonly #boxes = new Map<MaildirBox, WatchedBox>();
  #watches = 0;
  #hasWarned = false;

  constructor(options: FolderWatcherOptions) {
    this.#options = options;
  }

  /** @returns stop; idempotent */
  watch(box: MaildirBox): () => void {
    let watched = this.#boxes.get(box);
    if (watched === undefined) {
      watched = { users: 0, watchers: [], poll: undefined, gather: undefined, isPending: false, isRunning: false };
      this.#boxes.set(box, watched);
      this.#start(box, watched);
    }
    const entry = watched;
    entry.users += 1;
    box.watchers += 1;
    let isStopped = false;
    return () => {
      if (isStopped) return;
      isStopped = true;
      entry.users -= 1;
      box.watchers -= 1;
      if (entry.users > 0) return;
      this.#stop(entry);
      if (this.#boxes.get(box) === entry) this.#boxes.delete(box);
    };
  }

  /** The folder has another path now. */
  moved(box: MaildirBox): void {
    const entry = this.#boxes.get(box);
    if (entry === undefined) return;
    this.#stop(entry);
    this.#start(box, entry);
  }

  close(): void {
    for (const entry of this.#boxes.values()) this.#stop(entry);
    this.#boxes.clear();
  }

  #start(box: MaildirBox, entry: WatchedBox): void {
    const onEvent = (): void => this.#noticed(box, entry);
    if (this.#watches + watchesPerBox > this.#options.maxWatches) this.#startPolling(box, entry, 'limit');
    else {
      try {
        for (const folder of [box.newDir, box.curDir]) {
          const watcher = watch(folder, { persistent: false, encoding: 'buffer' }, onEvent);
          watcher.on('error', () => this.#startPolling(box, entry, 'error'));
          entry.watchers.push(watcher);
          this.#watches += 1;
        }
      } catch (error) {
        this.#stopWatches(entry);
        this.#startPolling(box, entry, errnoOf(error) ?? 'error');
      }
    }
    // Something may have come between the last look and the watch.
    onEvent();
  }

  #startPolling(box: MaildirBox, entry: WatchedBox, reason: string): void {
    this.#stopWatches(entry);
    // A folder that is gone is no lack of watches.
    if (!this.#hasWarned && reason !== 'ENOENT') {
      this.#hasWarned = true;
      this.#options.log.warning(
        'maildir.watch',
        'No more inotify watches; mailboxes are checked periodically (raise fs.inotify.max_user_watches)',
        {
          reason,
          watches: this.#watches,
          pollMs: this.#options.pollMs,
        },
      );
    }
    entry.poll ??= setInterval(() => this.#noticed(box, entry), this.#options.pollMs);
    entry.poll.unref();
  }

  #noticed(box: MaildirBox, entry: WatchedBox): void {
    if (entry.isRunning) {
      entry.isPending = true;
      return;
    }
    if (entry.gather !== undefined) return;
    entry.gather = setTimeout(() => {
      entry.gather = undefined;
      entry.isRunning = true;
      const ended = (): void => {
        entry.isRunning = false;
        if (entry.isPending && entry.users > 0) this.#noticed(box, entry);
        entry.isPending = false;
      };
      this.#look(box).then(ended, ended);
    }, gatherMs);
    entry.gather.unref();
  }

  async #look(box: MaildirBox): Promise<void> {
    if (box.isDeleted) return;
    try {
      const signal = AbortSignal.timeout(refreshTimeoutMs);
      const wasLoaded = box.isLoaded;
      await this.#options.load(box, signal);
      await refresh(box, signal);
      // What peers wrote came with the load: parked views compare it with what they know.
      if (!wasLoaded) box.changed();
      // Views that were woken ask for it soon; if none did, it is given up again.
      if (box.views.size === 0) setTimeout(() => box.unloadIfParked(), unloadAfterMs).unref();
    } catch (error) {
      if (error instanceof StorageError && error.code === 'not-found') {
        box.isDeleted = true;
        box.list.close();
        box.changed();
      } else this.#options.log.warning('maildir.refresh', `Could not look at ${box.paths.mailDir}`, { error });
    }
  }

  #stop(entry: WatchedBox): void {
    this.#stopWatches(entry);
    clearInterval(entry.poll);
    clearTimeout(entry.gather);
    entry.poll = undefined;
    entry.gather = undefined;
  }

  #stopWatches(entry: WatchedBox): void {
    this.#watches -= entry.watchers.length;
    for (const watcher of entry.watchers) watcher.close();
    entry.watchers = [];
  }
}
