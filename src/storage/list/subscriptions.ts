// The subscriptions file.
//
// Version 2: the line `V\t2`, an empty line, then one name per line with its levels separated by TAB. Version 1: names alone, levels
// separated as the layout does. Names are as in file names (modified UTF-7, or UTF-8 where the location says so), without the namespace's prefix. Both are read, version 2 is written. Lines that
// are not valid names are kept in the file and otherwise passed over.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '#util/coded-error.js';
import { ChangeNotifier } from '../change-notifier.js';
import { StorageError } from '../errors.js';
import { createDiskNames, type DiskNames } from './disk-name.js';
import { fileStamp } from './file-stamp.js';
import { defaultLockTimeoutMs, rewriteLocked } from './locked-rewrite.js';
import { type Levels, levelsKey } from './name.js';

export interface SubscriptionStore {
  /** In file order. */
  read(signal: AbortSignal): Promise<readonly Levels[]>;
  /** No effect when it is so already. */
  set(levels: Levels, isSubscribed: boolean, signal: AbortSignal): Promise<void>;
  /** Calls back, later, when they change. Only where no file shows it. @returns stop watching */
  watch?(onChange: () => void): () => void;
}

/** A file larger than this is not a list of subscriptions. */
const maxFileBytes = 16 * 1024 * 1024;
const header = 'V\t2\n\n';
const usualNames = createDiskNames(false);

interface Line {
  readonly text: string;
  /** Undefined for a line that is not a valid name. */
  readonly levels: Levels | undefined;
}

/** @param separator of version 1 */
export function parseSubscriptions(text: string, separator: string, names = usualNames): readonly Line[] {
  const isSecond = text.startsWith('V\t');
  const body = isSecond ? text.slice(text.indexOf('\n') + 1) : text;
  return body
    .split('\n')
    .map((line) => line.replace(/\r$/, ''))
    .filter((line) => line !== '')
    .map((line) => ({
      text: isSecond ? line : line.split(separator).join('\t'),
      levels: parseLevels(line.split(isSecond ? '\t' : separator), names),
    }));
}

function parseLevels(encoded: readonly string[], names: DiskNames): Levels | undefined {
  const levels = encoded.map((part) => names.decode(part));
  return levels.every((level) => level !== undefined && level !== '') ? (levels as string[]) : undefined;
}

export function formatSubscriptions(lines: readonly Line[]): string {
  return header + lines.map((line) => `${line.text}\n`).join('');
}

/** @returns the lines with the change, or undefined when there is none */
export function changeSubscription(
  lines: readonly Line[],
  levels: Levels,
  isSubscribed: boolean,
  names = usualNames,
): readonly Line[] | undefined {
  const key = levelsKey(levels);
  const isThere = lines.some((line) => line.levels !== undefined && levelsKey(line.levels) === key);
  if (isThere === isSubscribed) return undefined;
  if (isSubscribed) return [...lines, { text: levels.map((level) => names.encode(level)).join('\t'), levels }];
  return lines.filter((line) => line.levels === undefined || levelsKey(line.levels) !== key);
}

/** @param folder control root of the location. @param separator of version 1 files */
export function createSubscriptionsFile(
  folder: string,
  fileName: string,
  separator: string,
  {
    names = usualNames,
    lockTimeoutMs = defaultLockTimeoutMs,
  }: { readonly names?: DiskNames; readonly lockTimeoutMs?: number | undefined } = {},
): SubscriptionStore {
  const path = join(folder, fileName);
  let known: { readonly stamp: string; readonly levels: readonly Levels[] } | undefined;

  const readLines = async (): Promise<readonly Line[]> => {
    try {
      return parseSubscriptions(await readFile(path, 'utf8'), separator, names);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return [];
      throw new StorageError('unavailable', `cannot read ${path}`, { cause: error });
    }
  };

  return {
    async read(signal) {
      signal.throwIfAborted();
      const stamp = fileStamp(path, maxFileBytes);
      if (stamp === undefined) return [];
      if (known?.stamp === stamp) return known.levels;
      const levels = (await readLines()).flatMap((line) => (line.levels === undefined ? [] : [line.levels]));
      known = { stamp, levels };
      return levels;
    },

    async set(levels, isSubscribed, signal) {
      await rewriteLocked(
        path,
        async () => {
          const changed = changeSubscription(await readLines(), levels, isSubscribed, names);
          return changed === undefined ? undefined : formatSubscriptions(changed);
        },
        lockTimeoutMs,
        signal,
      );
      known = undefined;
    },
  };
}

/** For accounts in memory. */
export function createMemorySubscriptions(): SubscriptionStore {
  const subscribed = new Map<string, Levels>();
  const notifier = new ChangeNotifier();
  return {
    read: async () => [...subscribed.values()],
    async set(levels, isSubscribed) {
      if (isSubscribed) subscribed.set(levelsKey(levels), levels);
      else subscribed.delete(levelsKey(levels));
      notifier.changed();
    },
    watch: (onChange) => notifier.watch(onChange),
  };
}
