// A UIDVALIDITY for a new mailbox, larger than any this account has used: dovecot-uidvalidity (8 hex digits, the last one used) and an empty
// file dovecot-uidvalidity.<8 hex digits>, whose rename from the old number to the new one allocates it without a lock.
import { chmod, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { writeFileAtomic } from '#util/atomic-file.js';
import { errnoOf } from '#util/coded-error.js';
import { permissionsIn } from '#util/file-permissions.js';
import { KeyedMutex } from '#util/keyed-mutex.js';

const prefix = 'dovecot-uidvalidity';
const attempts = 20;

/** By account. A look at the folder while files in it are renamed may miss them, and many at once would lose every race. */
const turns = new KeyedMutex();

/** @param folder control root of the account, which exists */
export function nextUidValidity(folder: string, nowMs = Date.now()): Promise<number> {
  return turns.run(folder, () => allocate(folder, nowMs));
}

async function allocate(folder: string, nowMs: number): Promise<number> {
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    const used = await lastUsed(folder);
    const next = used.value === 0 ? Math.floor(nowMs / 1000) : used.value + 1;
    if (next > 0xffffffff) break;
    if (await claim(folder, used.fileName, next)) {
      // Other processes may make mailboxes at the same time.
      await writeFileAtomic(`${folder}/${prefix}`, hex(next), {
        sync: false,
        permissions: permissionsIn(folder),
        temporaryPath: `${folder}/${prefix}.${hex(next)}.${process.pid}.tmp`,
      });
      return next;
    }
  }
  // The files are unusable (read-only folder, a race lost twenty times): the clock still grows.
  return Math.floor(nowMs / 1000);
}

function fileOf(value: number): string {
  return `${prefix}.${hex(value)}`;
}

function hex(value: number): string {
  return value.toString(16).padStart(8, '0');
}

async function lastUsed(folder: string): Promise<{ readonly value: number; readonly fileName: string | undefined }> {
  let value = 0;
  let fileName: string | undefined;
  for (const name of await readdir(folder)) {
    const match = /^dovecot-uidvalidity\.([0-9a-f]{8})$/.exec(name);
    if (match === null) continue;
    const found = Number.parseInt(match[1] ?? '', 16);
    if (found > value) {
      value = found;
      fileName = name;
    }
  }
  try {
    const text = await readFile(`${folder}/${prefix}`, 'latin1');
    if (/^[0-9a-f]{8}/.test(text)) value = Math.max(value, Number.parseInt(text.slice(0, 8), 16));
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
  return { value, fileName };
}

/** @returns false when another process was faster */
async function claim(folder: string, from: string | undefined, to: number): Promise<boolean> {
  const path = `${folder}/${fileOf(to)}`;
  try {
    if (from !== undefined) {
      await rename(`${folder}/${from}`, path);
      return true;
    }
    const file = await open(path, 'wx', 0o444);
    await file.close();
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === 'ENOENT' || errno === 'EEXIST') return false;
    throw error;
  }
  // Others may have made the first file, and given it a higher number, since this process looked: then ours was used before.
  const isStale = (await lastUsed(folder)).value > to;
  try {
    if (isStale) await unlink(path);
    else await chmod(path, 0o444);
  } catch (error) {
    // Already given a higher number by somebody who found it.
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
  return !isStale;
}
