// Search results that a server keeps up to date (RFC 5267 4): what it tells must be possible, and right when all is quiet.
import { readSet } from './reply.js';

interface Kept {
  /** The search key. */
  readonly key: string;
  readonly uids: Set<number>;
}

export class KeptResults {
  readonly #kept = new Map<string, Kept>();
  /** About results that are not known (yet): changes may come before the search is over. */
  #early: string[] = [];
  readonly #fail: (reason: string) => never;

  constructor(fail: (reason: string) => never) {
    this.#fail = fail;
  }

  get size(): number {
    return this.#kept.size;
  }

  get tags(): readonly string[] {
    return [...this.#kept.keys()];
  }

  get all(): readonly Kept[] {
    return [...this.#kept.values()];
  }

  add(tag: string, key: string, uids: readonly number[]): void {
    this.#kept.set(tag, { key, uids: new Set(uids) });
    const early = this.#early;
    this.#early = [];
    for (const line of early) this.accept(line);
  }

  drop(tag: string): void {
    this.#kept.delete(tag);
  }

  clear(): void {
    this.#kept.clear();
    this.#early = [];
  }

  /** @returns whether the line was about a kept result */
  accept(line: string): boolean {
    const lost = /^\* NO \[NOUPDATE "([^"]+)"\]/.exec(line);
    if (lost !== null) {
      this.drop(lost[1] ?? '');
      return true;
    }
    const parts = /^\* ESEARCH \(TAG "([^"]+)"\) UID (ADDTO|REMOVEFROM) \((.*)\)$/.exec(line);
    if (parts === null) {
      if (/ADDTO|REMOVEFROM/.test(line) && line.startsWith('* ESEARCH')) this.#fail(`not understood: ${line}`);
      return false;
    }
    const kept = this.#kept.get(parts[1] ?? '');
    if (kept === undefined) {
      this.#early.push(line);
      return true;
    }
    const words = (parts[3] ?? '').split(' ');
    for (let at = 0; at + 1 < words.length; at += 2) {
      if (words[at] !== '0') this.#fail(`${line}: positions of SEARCH are 0`);
      for (const uid of readSet(words[at + 1] ?? '')) {
        const isNew = parts[2] === 'ADDTO';
        if (kept.uids.has(uid) === isNew) this.#fail(`${line}: ${uid} ${isNew ? 'was' : 'was not'} in the result`);
        if (isNew) kept.uids.add(uid);
        else kept.uids.delete(uid);
      }
    }
    return true;
  }
}
