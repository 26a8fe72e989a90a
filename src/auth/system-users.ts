// Users and groups of this machine, from /etc/passwd and /etc/group.
import { readFile } from 'node:fs/promises';
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

  /** At once for a number. */
  uidOf(name: string): number | Promise<number | undefined> {
    return /^\d+$/.test(name) ? Number(name) : this.#uidOfName(name);
  }

  async #uidOfName(name: string): Promise<number | undefined> {
    const read = await this.#options.files.read(this.passwdPath);
    const uid = read.kind === 'entries' ? read.entries.get(name)?.uid : undefined;
    return uid !== undefined && /^\d+$/.test(uid) ? Number(uid) : undefined;
  }

  /** At once for a number. */
  gidOf(name: string): number | Promise<number | undefined> {
    return /^\d+$/.test(name) ? Number(name) : this.#gidOfName(name);
  }

  async #gidOfName(name: string): Promise<number | undefined> {
    const nowMs = this.#options.nowMs();
    if (nowMs - this.#groupsReadAtMs >= recheckMs) {
      this.#groups = await readGroups(this.#options.groupPath ?? '/etc/group');
      this.#groupsReadAtMs = nowMs;
    }
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
