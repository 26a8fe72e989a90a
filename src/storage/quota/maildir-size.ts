// The `maildirsize` file of Maildir++ quota.
//
// First line: the limits, `<octets>S,<messages>C`, either may be missing. Each further line: `<octets> <messages>`, signed, blanks around; the
// sum is the usage. The file is appended to without a lock, each line in one write, so concurrent writers lose nothing. It is counted again
// (written anew beside it and renamed) when its limits are not ours, when it has grown to 5,120 octets, when it cannot be read, and when the
// account is over its limits and the file is older than 15 minutes, as a lost line may be the reason. When a mailbox changed while it was counted
// the count is repeated; when it still changes, the new file is removed again, so that the next user counts.
import { constants } from 'node:fs';
import { open, readFile, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { writeFileAtomic } from '#util/atomic-file.js';
import { errnoOf } from '#util/coded-error.js';
import { permissionsIn } from '#util/file-permissions.js';
import { asStorageError } from '../list/locked-rewrite.js';
import { countMaildirs } from './count-maildirs.js';
import type { NumericLimits } from './rules.js';
import { HeldRoom, type UsageBackend, type UsageCount } from './usage.js';

export const maxFileBytes = 5120;
const staleMs = 15 * 60_000;
const maxCounts = 3;

export interface MaildirSizeOptions {
  readonly path: string;
  /** Asked for each time, as they can change. */
  readonly limits: NumericLimits;
  /** Folders with cur/ and new/ of all counted mailboxes. */
  readonly folders: (signal: AbortSignal) => Promise<readonly string[]>;
  readonly now?: () => number;
}

export interface MaildirSizeFile extends UsageCount {
  readonly limits: NumericLimits;
  readonly lines: number;
}

/** @returns undefined for a file that is not one */
export function parseMaildirSize(text: string): MaildirSizeFile | undefined {
  const [first = '', ...rest] = text.split('\n');
  const limits = parseLimitLine(first.trim());
  if (limits === undefined || !text.includes('\n')) return undefined;
  // The last line is whole only with its line end.
  if (rest.pop() !== '') return undefined;
  let bytes = 0;
  let messages = 0;
  for (const line of rest) {
    const [, lineBytes, lineMessages] = /^\s*(-?\d+)\s+(-?\d+)\s*$/.exec(line) ?? [];
    if (lineBytes === undefined || lineMessages === undefined) return undefined;
    bytes += Number(lineBytes);
    messages += Number(lineMessages);
  }
  return { limits, bytes, messages, lines: rest.length };
}

function parseLimitLine(line: string): NumericLimits | undefined {
  const limits = { storage: Number.POSITIVE_INFINITY, messages: Number.POSITIVE_INFINITY };
  if (line === '') return limits;
  for (const part of line.split(',')) {
    const [, digits, kind] = /^(\d+)([SC])$/.exec(part) ?? [];
    if (digits === undefined) return undefined;
    const value = Number(digits) === 0 ? Number.POSITIVE_INFINITY : Number(digits);
    if (kind === 'S') limits.storage = value;
    else limits.messages = value;
  }
  return limits;
}

export function formatLimitLine({ storage, messages }: NumericLimits): string {
  const parts = [Number.isFinite(storage) ? `${storage}S` : '', Number.isFinite(messages) ? `${messages}C` : ''];
  return parts.filter((part) => part !== '').join(',') || '0S';
}

export function createMaildirSizeBackend(options: MaildirSizeOptions): UsageBackend {
  const { path, folders, now = Date.now } = options;
  let counting: Promise<UsageCount> | undefined;

  /** Undefined: count again. */
  const read = async (): Promise<UsageCount | undefined> => {
    const text = await readFile(path, 'latin1').catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return '';
      throw asStorageError(error, path);
    });
    if (text.length >= maxFileBytes) return undefined;
    const { limits } = options;
    const file = parseMaildirSize(text);
    if (file === undefined || formatLimitLine(file.limits) !== formatLimitLine(limits)) return undefined;
    if (file.bytes < 0 || file.messages < 0) return undefined;
    if (file.bytes <= limits.storage && file.messages <= limits.messages) return file;
    // A file of one line was counted, not added up.
    const isFresh = file.lines === 1 || now() - (await modifiedMs(path)) < staleMs;
    return isFresh ? file : undefined;
  };

  const count = async (signal: AbortSignal): Promise<UsageCount> => {
    for (let attempt = 1; ; attempt += 1) {
      const counted = await countMaildirs(await folders(signal), signal);
      const { bytes, messages } = counted;
      const contents = `${formatLimitLine(options.limits)}\n${bytes} ${messages}\n`;
      await writeFileAtomic(path, contents, { permissions: permissionsIn(dirname(path)) }).catch((error: unknown) => {
        throw asStorageError(error, path);
      });
      if (!(await counted.hasChanged())) return { bytes, messages };
      if (attempt === maxCounts) {
        await unlink(path).catch(() => undefined);
        return { bytes, messages };
      }
    }
  };

  const usage = async (signal: AbortSignal): Promise<UsageCount> => {
    const known = await read();
    if (known !== undefined) return known;
    counting ??= count(signal).finally(() => {
      counting = undefined;
    });
    return counting;
  };

  return {
    room: new HeldRoom(),
    usage,

    // Everybody adds to the one file.
    currentUsage: usage,

    async forget() {
      await unlink(path).catch((error: unknown) => {
        if (errnoOf(error) !== 'ENOENT') throw asStorageError(error, path);
      });
    },

    recount: count,

    async add(bytes, messages) {
      try {
        // Never creates it: without a first line it would have to be counted anyway.
        const file = await open(path, constants.O_WRONLY | constants.O_APPEND);
        try {
          await file.write(`${bytes} ${messages}\n`);
        } finally {
          await file.close();
        }
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT') throw asStorageError(error, path);
      }
    },
  };
}

async function modifiedMs(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs;
  } catch {
    return 0;
  }
}
