// Limits that SETQUOTA has set, in a file of their own for each account (`quota_set = dict:file:PATH`). They hold in place of the default rules.
//
// Format of a file dictionary: a line with a key, a line with its value. Keys are `priv/quota/limit/<root>/<resource>`; resources are `storage`
// (units of 1,024 octets), `messages` and `mailboxes`; 0 is no limit. In both lines `\`, LF and TAB of the text are written as \\, \n and \t.
// Other keys are kept. A file that ends inside a pair is refused as damaged. The file is replaced under its dotlock.
import { readFileSync } from 'node:fs';
import { errnoOf } from '#util/coded-error.js';
import { StorageError } from '../errors.js';
import { fileStamp } from '../list/file-stamp.js';
import { asStorageError, defaultLockTimeoutMs, rewriteLocked } from '../list/locked-rewrite.js';
import type { RootLimits } from './rules.js';

/** A file larger than this holds something else. */
const maxFileBytes = 65_536;

export interface QuotaLimitStore {
  /** Undefined where nobody has set any. @throws StorageError */
  read(root: string): RootLimits | undefined;
  /** In place of all that were set for this root. @throws StorageError */
  set(root: string, limits: RootLimits, signal: AbortSignal): Promise<void>;
}

const resources = ['storage', 'messages', 'mailboxes'] as const;
const unitOf = { storage: 1024, messages: 1, mailboxes: 1 } as const;

const keyOf = (root: string, resource: string): string => `priv/quota/limit/${root}/${resource}`;

/** @throws StorageError `corrupt` */
export function parseFileDict(text: string): Map<string, string> {
  const lines = text.split('\n').map(decodeText);
  if (lines.pop() !== '' || lines.length % 2 !== 0) throw new StorageError('corrupt', 'a file of quota limits ends inside a pair');
  const values = new Map<string, string>();
  for (let at = 0; at + 1 < lines.length; at += 2) values.set(lines[at] ?? '', lines[at + 1] ?? '');
  return values;
}

export function formatFileDict(values: ReadonlyMap<string, string>): string {
  return [...values].map(([key, value]) => `${encodeText(key)}\n${encodeText(value)}\n`).join('');
}

export function createQuotaLimitFile(path: string, lockTimeoutMs = defaultLockTimeoutMs): QuotaLimitStore {
  let known: { readonly stamp: string; readonly values: ReadonlyMap<string, string> } | undefined;

  const readAll = (): Map<string, string> => {
    try {
      return parseFileDict(readFileSync(path, 'utf8'));
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return new Map();
      throw asStorageError(error, path);
    }
  };

  return {
    // Asked at each save: one stat. The file itself is small, and read when it has changed.
    read(root) {
      const stamp = fileStamp(path, maxFileBytes);
      if (stamp === undefined) return undefined;
      if (known?.stamp !== stamp) known = { stamp, values: readAll() };
      const { values } = known;
      if (!resources.some((resource) => values.has(keyOf(root, resource)))) return undefined;
      const limit = (resource: (typeof resources)[number]): number => {
        const value = Number(values.get(keyOf(root, resource)) ?? 0) * unitOf[resource];
        return Number.isSafeInteger(value) && value > 0 ? value : Number.POSITIVE_INFINITY;
      };
      return { storage: limit('storage'), messages: limit('messages'), mailboxes: limit('mailboxes') };
    },

    async set(root, limits, signal) {
      await rewriteLocked(
        path,
        async () => {
          const values = readAll();
          for (const resource of resources) {
            const limit = limits[resource];
            values.set(keyOf(root, resource), Number.isFinite(limit) ? String(Math.ceil(limit / unitOf[resource])) : '0');
          }
          return formatFileDict(values);
        },
        lockTimeoutMs,
        signal,
      );
      known = undefined;
    },
  };
}

/** @returns the path of `dict:file:PATH` or `file:PATH`; undefined for other dictionaries */
export function parseLimitLocation(text: string): string | undefined {
  const path = /^(?:dict:)?file:(\/.*)$/.exec(text)?.[1];
  return path?.endsWith('/') === true ? undefined : path;
}

function encodeText(text: string): string {
  return text.replace(/[\\\n\t]/g, (character) => (character === '\n' ? '\\n' : character === '\t' ? '\\t' : '\\\\'));
}

function decodeText(text: string): string {
  return text.replace(/\\(.)/g, (_, character: string) => (character === 'n' ? '\n' : character === 't' ? '\t' : character));
}
