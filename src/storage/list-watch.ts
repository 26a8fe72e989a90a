// Noticing that the list of mailboxes, the subscriptions, special uses or attributes of an account may have changed, whoever changed them: what this
// process does itself is told by the stores, what others do shows in the folders (inotify, or a look every now and then where it has no watches left).
//
// An event only says "look". Files that change with the mail itself are passed over, or each delivery to an INBOX in the root would be an event.
import { type FSWatcher, watch } from 'node:fs';
import type { Logger } from '#log/logger.js';
import { errnoOf } from '#util/coded-error.js';

/** What belongs together (a folder made, renamed with those below it) becomes one call: when nothing more came for this long, */
const gatherMs = 25;
/** but at the latest this long after the first event. */
const maxGatherMs = 500;
const defaultPollMs = 5_000;
/** Folders of one account; a larger tree is looked at periodically. */
const maxFolders = 1_000;
/** Names in watched folders that say nothing about the list. */
const noise =
  /^(?:cur|new|tmp|maildirsize|maildirfolder|dovecot-uidlist.*|dovecot-keywords.*|dovecot\.(?!mailbox).*|roost\.(?:index|cache|keys).*)$|\.(?:lock|tmp|temp)$/;

type Watch = (onChange: () => void) => () => void;

export interface ListWatchSources {
  /** Changes that this process makes. */
  readonly stores: readonly Watch[];
  /** Folders in which the changes of others show, as they are now. */
  folders(signal: AbortSignal): Promise<readonly string[]>;
}

export class ListWatch {
  readonly #sources: ListWatchSources;
  readonly #log: Logger;
  readonly #pollMs: number;
  readonly #watchers = new Set<() => void>();
  readonly #folders = new Map<string, FSWatcher>();
  #stops: (() => void)[] = [];
  #ended: AbortController | undefined;
  #gather: NodeJS.Timeout | undefined;
  #gatheringSince = 0;
  #poll: NodeJS.Timeout | undefined;
  #work: Promise<void> = Promise.resolve();

  constructor(sources: ListWatchSources, log: Logger, pollMs = defaultPollMs) {
    this.#sources = sources;
    this.#log = log;
    this.#pollMs = pollMs;
  }

  /** Resolves when nothing is missed any more. The callback is never called synchronously. */
  async add(onChange: () => void): Promise<() => void> {
    const watcher = (): void => onChange();
    this.#watchers.add(watcher);
    if (this.#watchers.size === 1) this.#start();
    await this.#work;
    return () => {
      if (this.#watchers.delete(watcher) && this.#watchers.size === 0) this.#stop();
    };
  }

  async close(): Promise<void> {
    this.#watchers.clear();
    this.#stop();
    await this.#work;
  }

  #start(): void {
    const ended = new AbortController();
    this.#ended = ended;
    this.#stops = this.#sources.stores.map((store) => store(() => this.#noticed()));
    this.#follow(ended.signal);
  }

  #stop(): void {
    this.#ended?.abort();
    this.#ended = undefined;
    clearTimeout(this.#gather);
    clearInterval(this.#poll);
    this.#gather = undefined;
    this.#poll = undefined;
    for (const stop of this.#stops) stop();
    this.#stops = [];
    for (const watcher of this.#folders.values()) watcher.close();
    this.#folders.clear();
  }

  #noticed(): void {
    if (this.#ended === undefined) return;
    if (this.#gather !== undefined) {
      if (Date.now() - this.#gatheringSince < maxGatherMs) this.#gather.refresh();
      return;
    }
    this.#gatheringSince = Date.now();
    const { signal } = this.#ended;
    this.#gather = setTimeout(() => {
      this.#gather = undefined;
      // New folders are watched before anybody looks: what comes after the look is an event again.
      this.#follow(signal);
      void this.#work.then(() => {
        if (signal.aborted) return;
        for (const watcher of [...this.#watchers]) if (this.#watchers.has(watcher)) watcher();
      });
    }, gatherMs);
    this.#gather.unref();
  }

  /** Watches the folders that are there now. */
  #follow(signal: AbortSignal): void {
    this.#work = this.#work
      .then(async () => {
        if (signal.aborted) return;
        const present = new Set(await this.#sources.folders(signal));
        if (signal.aborted) return;
        for (const [path, watcher] of this.#folders) {
          if (present.has(path)) continue;
          watcher.close();
          this.#folders.delete(path);
        }
        if (present.size > maxFolders) this.#startPolling('limit');
        else for (const path of present) if (!this.#folders.has(path)) this.#watchFolder(path);
      })
      .catch((error: unknown) => {
        if (!signal.aborted) this.#log.warning('storage.list-watch', 'Cannot watch the mailbox list', { error });
      });
  }

  #watchFolder(path: string): void {
    try {
      const watcher = watch(path, { persistent: false }, (_event, name) => {
        if (name === null || !noise.test(name)) this.#noticed();
      });
      watcher.on('error', () => this.#startPolling('error'));
      this.#folders.set(path, watcher);
    } catch (error) {
      const errno = errnoOf(error);
      // Where there is no folder yet, nothing is in it; the folder above tells when it comes.
      if (errno !== 'ENOENT' && errno !== 'ENOTDIR') this.#startPolling(errno ?? 'error');
    }
  }

  #startPolling(reason: string): void {
    if (this.#poll !== undefined) return;
    this.#log.debug('storage.list-watch', 'The mailbox list is looked at periodically', { reason, pollMs: this.#pollMs });
    this.#poll = setInterval(() => this.#noticed(), this.#pollMs);
    this.#poll.unref();
  }
}
