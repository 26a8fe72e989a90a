// Users and groups of this machine, from /etc/passwd and /etc/group.
import { readFile } from 'node:fs/promises';
import { type Held, holdUntil } from './held.js';
import type { PasswdFiles } from './passwd-file.js';

const recheckMs = 1000;

export interface SystemUsersOptions {
  readonly files: PasswdFiles;
  readonly nowMs: () => number;
  /** For tests. */
  readonly passwdPath?: string;
  readonly groupPath?: string;
}

/** Turns names into numbers, as userdb fields may hold either. */
export class SystemUsers {
  readonly #options: SystemUsersOptions;
  readonly passwdPath: string;
  #groups: ReadonlyMap<string, number> = new Map();
  #groupsReadAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: SystemUsersOptions) {
    this.#options = options;
    this.passwdPath = options.passwdPath ?? '/etc/passwd';
  }

  /** At once for a number. @param held hears how long a number that was looked up holds */
  uidOf(name: string, held?: Held): number | Promise<number | undefined> {
    return /^\d+$/.test(name) ? Number(name) : this.#uidOfName(name, held);
  }

  async #uidOfName(name: string, held: Held | undefined): Promise<number | undefined> {
    const read = await this.#options.files.read(this.passwdPath);
    if (held !== undefined) holdUntil(held, read.kind === 'entries' ? read.heldUntilMs : undefined);
    const uid = read.kind === 'entries' ? read.entries.get(name)?.uid : undefined;
    return uid !== undefined && /^\d+$/.test(uid) ? Number(uid) : undefined;
  }

  /** At once for a number. @param held hears how long a number that was looked up holds */
  gidOf(name: string, held?: Held): number | Promise<number | undefined> {
    return /^\d+$/.test(name) ? Number(name) : this.#gidOfName(name, held);
  }

  async #gidOfName(name: string, held: Held | undefined): Promise<number | undefined> {
    const nowMs = this.#options.nowMs();
    if (nowMs - this.#groupsReadAtMs >= recheckMs) {
      this.#groups = await readGroups(this.#options.groupPath ?? '/etc/group');
      this.#groupsReadAtMs = nowMs;
    }
    if (held !== undefined) holdUntil(held, this.#groupsReadAtMs + recheckMs);
    return this.#groups.get(name);
  }
}

async function readGroups(path: string): Promise<ReadonlyMap<string, number>> {
  const groups = new Map<string, number>();
  for (const line of (await readFile(path, 'utf8')).split('\n')) {
    const [name = '', , gid = ''] = line.split(':');
    if (name !== '' && /^\d+$/.test(gid) && !groups.has(name)) groups.set(name, Number(gid));
  }
  return groups;
}
