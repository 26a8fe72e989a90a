// Special uses given by CREATE (RFC 6154 3), in `roost-special-use` of the account's control root: one line per mailbox, its uses separated by
// spaces, a TAB, its visible name in modified UTF-7. The configured ones are not in it. Unknown lines are kept.
import { readFile } from 'node:fs/promises';
import { errnoOf } from '#util/coded-error.js';
import type { SpecialUse } from '../user.js';
import { fileStamp } from './file-stamp.js';
import { asStorageError, defaultLockTimeoutMs, rewriteLocked } from './locked-rewrite.js';
import { decodeMailboxUtf7, encodeMailboxUtf7 } from './mailbox-utf7.js';

export interface SpecialUseStore {
  /** By visible name; the same object while nothing changes. */
  read(): Promise<ReadonlyMap<string, readonly SpecialUse[]>>;
  /** Replaces those of one mailbox; none removes it. */
  set(name: string, uses: readonly SpecialUse[], signal: AbortSignal): Promise<void>;
}

/** A file larger than this is not a list of special uses. */
const maxFileBytes = 16 * 1024 * 1024;
const nothing: ReadonlyMap<string, readonly SpecialUse[]> = new Map();

export function createSpecialUseFile(
  path: string,
  parseUses: (text: string) => readonly SpecialUse[],
  lockTimeoutMs = defaultLockTimeoutMs,
): SpecialUseStore {
  let known: { readonly stamp: string; readonly map: ReadonlyMap<string, readonly SpecialUse[]> } | undefined;

  const readText = async (): Promise<string> => {
    try {
      return await readFile(path, 'utf8');
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return '';
      throw asStorageError(error, path);
    }
  };

  const stampOf = (): string | undefined => {
    try {
      return fileStamp(path, maxFileBytes);
    } catch (error) {
      throw asStorageError(error, path);
    }
  };

  return {
    async read() {
      const stamp = stampOf();
      if (stamp === undefined) return nothing;
      if (known?.stamp !== stamp) {
        const text = await readText();
        const map = new Map<string, readonly SpecialUse[]>();
        for (const line of text.split('\n')) {
          const [uses = '', encoded] = line.split('\t');
          const name = encoded === undefined ? undefined : decodeMailboxUtf7(encoded);
          if (name !== undefined) map.set(name, parseUses(uses));
        }
        known = { stamp, map };
      }
      return known.map;
    },

    async set(name, uses, signal) {
      if (uses.length === 0 && !(await this.read()).has(name)) return;
      const encoded = encodeMailboxUtf7(name);
      await rewriteLocked(
        path,
        async () => {
          const others = (await readText()).split('\n').filter((line) => line !== '' && line.split('\t')[1] !== encoded);
          if (uses.length > 0) others.push(`${uses.join(' ')}\t${encoded}`);
          return others.map((line) => `${line}\n`).join('');
        },
        lockTimeoutMs,
        signal,
      );
    },
  };
}

export function createMemorySpecialUses(): SpecialUseStore {
  let map: ReadonlyMap<string, readonly SpecialUse[]> = nothing;
  return {
    read: async () => map,
    async set(name, uses) {
      const changed = new Map(map);
      if (uses.length === 0) changed.delete(name);
      else changed.set(name, uses);
      map = changed;
    },
  };
}
