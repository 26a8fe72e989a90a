// The names that the files of a soak's messages have had, as the kernel tells of them.
import { closeSync, existsSync, type FSWatcher, openSync, readSync, watch } from 'node:fs';
import { join } from 'node:path';
import { tokenIn } from './soak-mail.js';
import type { FileEvent } from './soak-story.js';

/** Enough for what the server puts in front of a message, up to its subject. */
const headBytes = 2_048;

export class SoakFiles {
  /** By user and what stays the same in a name. */
  readonly #events = new Map<string, FileEvent[]>();
  readonly #baseNames = new Map<string, Set<string>>();
  readonly #known = new Set<string>();
  readonly #watchers: FSWatcher[] = [];
  readonly #watched = new Set<string>();
  readonly #head = Buffer.alloc(headBytes);

  /** From the moment on that there is something to watch. @param maildir of the user's INBOX */
  watch(user: string, maildir: string): void {
    if (this.#watched.has(user) || !existsSync(join(maildir, 'cur')) || !existsSync(join(maildir, 'new'))) return;
    this.#watched.add(user);
    for (const folder of ['cur', 'new'] as const) {
      const path = join(maildir, folder);
      const watcher = watch(path, (kind, fileName) => {
        if (kind === 'rename' && fileName !== null) this.#note(user, path, { folder, fileName });
      });
      // The folders go at the end.
      watcher.on('error', () => undefined);
      this.#watchers.push(watcher);
    }
  }

  /** In order of time: of all files that have held the message. */
  of(user: string, token: string): readonly FileEvent[] {
    const baseNames = [...(this.#baseNames.get(`${user} ${token}`) ?? [])];
    return baseNames.flatMap((baseName) => this.#events.get(`${user} ${baseName}`) ?? []).sort((a, b) => a.atMs - b.atMs);
  }

  close(): void {
    for (const watcher of this.#watchers) watcher.close();
  }

  #note(user: string, path: string, { folder, fileName }: Pick<FileEvent, 'folder' | 'fileName'>): void {
    const baseName = fileName.split(':', 1)[0] ?? '';
    const key = `${user} ${baseName}`;
    const isThere = this.#known.has(key) ? existsSync(join(path, fileName)) : this.#learn(user, baseName, join(path, fileName));
    const event = { atMs: Date.now(), folder, fileName, isThere };
    const events = this.#events.get(key);
    if (events === undefined) this.#events.set(key, [event]);
    else events.push(event);
  }

  /** Whose file it is, its contents tell. @returns false when it has another name by now, or is gone */
  #learn(user: string, baseName: string, path: string): boolean {
    let fd: number;
    try {
      fd = openSync(path, 'r');
    } catch {
      return false;
    }
    try {
      const head = this.#head.toString('latin1', 0, readSync(fd, this.#head));
      const key = `${user} ${tokenIn(head)}`;
      const baseNames = this.#baseNames.get(key);
      if (baseNames === undefined) this.#baseNames.set(key, new Set([baseName]));
      else baseNames.add(baseName);
      this.#known.add(`${user} ${baseName}`);
      return true;
    } finally {
      closeSync(fd);
    }
  }
}
