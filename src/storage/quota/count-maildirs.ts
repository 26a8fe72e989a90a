// Counting octets and messages by reading folders: sizes stand in the names (`,W=` as clients see it, else `,S=`), only others are looked up.
import { readdir, stat } from 'node:fs/promises';
import { errnoOf } from '#util/coded-error.js';
import { yieldToLoop } from '#util/deadline.js';
import { asStorageError } from '../list/locked-rewrite.js';
import type { UsageCount } from './usage.js';

const namesBetweenTurns = 5000;

export interface MaildirCount extends UsageCount {
  /** True when a folder changed since the counting began. */
  hasChanged(): Promise<boolean>;
}

/** @param mailDirs folders with cur/ and new/; those that are gone count nothing */
export async function countMaildirs(mailDirs: readonly string[], signal: AbortSignal): Promise<MaildirCount> {
  const folders = mailDirs.flatMap((folder) => [`${folder}/cur`, `${folder}/new`]);
  const stamps = new Map<string, string>();
  let bytes = 0;
  let messages = 0;
  for (const folder of folders) {
    signal.throwIfAborted();
    stamps.set(folder, await stampOf(folder));
    for (const [index, name] of (await namesIn(folder)).entries()) {
      if (index % namesBetweenTurns === namesBetweenTurns - 1) await yieldToLoop();
      if (name.startsWith('.')) continue;
      const size = sizeInName(name) ?? (await fileSize(`${folder}/${name}`));
      if (size === undefined) continue;
      bytes += size;
      messages += 1;
    }
  }
  return {
    bytes,
    messages,
    async hasChanged() {
      for (const [folder, stamp] of stamps) if ((await stampOf(folder)) !== stamp) return true;
      return false;
    },
  };
}

export function sizeInName(name: string): number | undefined {
  const match = /,W=(\d{1,15})(?=[,:]|$)/.exec(name) ?? /,S=(\d{1,15})(?=[,:]|$)/.exec(name);
  return match === null ? undefined : Number(match[1]);
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw asStorageError(error, folder);
  }
}

async function fileSize(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw asStorageError(error, path);
  }
}

/** Also for others: whether a mailbox has changed. */
export async function stampOf(folder: string): Promise<string> {
  try {
    const { ino, mtimeNs } = await stat(folder, { bigint: true });
    return `${ino}.${mtimeNs}`;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return '';
    throw asStorageError(error, folder);
  }
}
