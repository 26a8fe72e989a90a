// Tells when a folder changes: one watch for each folder, however many sessions wait for it.
import { type FSWatcher, statSync, watch } from 'node:fs';
import type { Logger } from '#log/logger.js';
import { errnoOf } from '#util/coded-error.js';

/** Where the kernel has no watches left, folders are looked at this often. */
const defaultPollMs = 5_000;

export interface FolderWatchOptions {
  readonly pollMs?: number;
  /** fs.watch. */
  readonly startWatch?: typeof watch;
}

interface Watched {
  readonly listeners: Set<() => void>;
  watcher: FSWatcher | undefined;
  /** Of the last look, where there is no watch. */
  mtimeMs: number;
}

export class FolderWatch {
  readonly #log: Logger;
  readonly #folders = new Map<string, Watched>();
  readonly #pollMs: number;
  readonly #startWatch: typeof watch;
  #poll: NodeJS.Timeout | undefined;
  #hasWarned = false;

  constructor(log: Logger, { pollMs = defaultPollMs, startWatch = watch }: FolderWatchOptions = {}) {
    this.#log = log;
    this.#pollMs = pollMs;
    this.#startWatch = startWatch;
  }

  /**
   * Calls back at every change from now on, and once when the folder is no longer as it was at `knownMtimeMs`; never synchronously.
   * @returns stop
   */
  watch(path: string, knownMtimeMs: number, onChange: () => void): () => void {
    let watched = this.#folders.get(path);
    if (watched === undefined) {
      watched = { listeners: new Set(), watcher: undefined, mtimeMs: knownMtimeMs };
      this.#folders.set(path, watched);
      this.#start(path, watched);
    }
    const entry = watched;
    entry.listeners.add(onChange);
    // The watch is there: what it did not see shows here.
    if (mtimeOf(path) !== knownMtimeMs) setImmediate(onChange);
    return () => {
      if (!entry.listeners.delete(onChange) || entry.listeners.size > 0) return;
      entry.watcher?.close();
      if (this.#folders.get(path) === entry) this.#folders.delete(path);
      this.#stopPollingWhenUnused();
    };
  }

  close(): void {
    clearInterval(this.#poll);
    for (const { watcher } of this.#folders.values()) watcher?.close();
    this.#folders.clear();
  }

  #start(path: string, entry: Watched): void {
    try {
      entry.watcher = this.#startWatch(path, { persistent: false, encoding: 'buffer' }, () => this.#tell(entry));
      entry.watcher.on('error', () => this.#startPolling(entry, 'error'));
    } catch (error) {
      this.#startPolling(entry, errnoOf(error) ?? 'error');
    }
  }

  #startPolling(entry: Watched, reason: string): void {
    entry.watcher?.close();
    entry.watcher = undefined;
    // A folder that is gone, or may not be read, is no shortage: its session finds out when it looks.
    if ((reason === 'ENOSPC' || reason === 'EMFILE') && !this.#hasWarned) {
      this.#hasWarned = true;
      const setting = reason === 'ENOSPC' ? 'fs.inotify.max_user_watches' : 'fs.inotify.max_user_instances';
      this.#log.warning('hibernate.watch', `No more inotify watches; folders are checked periodically (raise ${setting})`, {
        pollMs: this.#pollMs,
      });
    }
    this.#poll ??= setInterval(() => this.#look(), this.#pollMs).unref();
  }

  #stopPollingWhenUnused(): void {
    if (this.#poll === undefined || [...this.#folders.values()].some(({ watcher }) => watcher === undefined)) return;
    clearInterval(this.#poll);
    this.#poll = undefined;
  }

  #look(): void {
    for (const [path, entry] of this.#folders) {
      if (entry.watcher !== undefined) continue;
      const mtimeMs = mtimeOf(path);
      // Equal also when both are NaN: that the folder is gone was told.
      if (Object.is(mtimeMs, entry.mtimeMs)) continue;
      entry.mtimeMs = mtimeMs;
      this.#tell(entry);
    }
  }

  #tell(entry: Watched): void {
    for (const listener of [...entry.listeners]) listener();
  }
}

/** NaN, which equals nothing, when there is no such folder. */
function mtimeOf(path: string): number {
  try {
    return statSync(path).mtimeMs;
  } catch {
    return Number.NaN;
  }
}
