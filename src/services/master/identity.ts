// Names of users and groups to numbers. The files first: they need no process and no network; what is not there (LDAP, systemd) getent knows.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Identity } from './plan.js';

const lookupTimeoutMs = 10_000;

/** The system's accounts. A user's group is that of the account. */
export interface Accounts {
  findUser(name: string): Identity | undefined;
  findGroup(name: string): number | undefined;
}

export class SystemAccounts implements Accounts {
  readonly #cache = new Map<string, readonly string[] | undefined>();

  findUser(name: string): Identity | undefined {
    const fields = this.#find('passwd', name);
    const uid = Number(fields?.[2]);
    const gid = Number(fields?.[3]);
    return fields !== undefined && Number.isInteger(uid) && Number.isInteger(gid) ? { uid, gid } : undefined;
  }

  findGroup(name: string): number | undefined {
    if (/^\d+$/.test(name)) return Number(name);
    const gid = Number(this.#find('group', name)?.[2]);
    return Number.isInteger(gid) ? gid : undefined;
  }

  /** Fields of an entry, by name or by number. */
  #find(database: 'passwd' | 'group', name: string): readonly string[] | undefined {
    if (name === '') return undefined;
    const key = `${database}:${name}`;
    if (!this.#cache.has(key)) this.#cache.set(key, readEntry(database, name) ?? askSystem(database, name) ?? numericEntry(name));
    return this.#cache.get(key);
  }
}

function readEntry(database: string, name: string): readonly string[] | undefined {
  let contents: string;
  try {
    contents = readFileSync(`/etc/${database}`, 'utf8');
  } catch {
    return undefined;
  }
  const entries = contents.split('\n').map((line) => line.split(':'));
  return entries.find((fields) => fields[0] === name) ?? entries.find((fields) => fields[2] === name);
}

function askSystem(database: string, name: string): readonly string[] | undefined {
  try {
    return execFileSync('getent', [database, name], { encoding: 'utf8', timeout: lookupTimeoutMs, stdio: ['ignore', 'pipe', 'ignore'] })
      .trim()
      .split(':');
  } catch {
    return undefined;
  }
}

/** A number needs no account; its group is then the same number. */
function numericEntry(name: string): readonly string[] | undefined {
  return /^\d+$/.test(name) ? ['', '', name, name] : undefined;
}
