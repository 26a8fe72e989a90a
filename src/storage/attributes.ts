// Named values that clients keep at an account or a mailbox (METADATA, URLAUTH keys): small files in `roost-attributes/` of the account's
// control root, one for the account and one for each mailbox, named after its GUID so that they survive renames and never reach a new mailbox of
// the same name.
//
// Layout: a line `roost-attributes 1`, then one line per entry: its name, a TAB, the value in base64. Names hold no TAB and no line end. A line
// that is not understood is dropped at the next change; a file with another first line is refused as damaged.
import { mkdir, readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '#util/coded-error.js';
import { ChangeNotifier } from './change-notifier.js';
import { StorageError } from './errors.js';
import { asStorageError, defaultLockTimeoutMs, rewriteLocked } from './list/locked-rewrite.js';

/** Values by name. */
export type Attributes = ReadonlyMap<string, Buffer>;
/** Undefined removes. */
export type AttributeChanges = ReadonlyMap<string, Buffer | undefined>;

export interface AttributeStore {
  /** @param owner GUID of a mailbox, or `account` */
  read(owner: string): Promise<Attributes>;
  /** All or nothing. @throws StorageError `limit` past the limits below */
  change(owner: string, changes: AttributeChanges, signal: AbortSignal): Promise<void>;
  /** Forgets all values of an owner that is gone. */
  remove(owner: string): Promise<void>;
  /** Folder in which every change shows; undefined for attributes in memory. */
  readonly folder?: string;
  /** Calls back, later, when they change. Only where no file shows it. @returns stop watching */
  watch?(onChange: () => void): () => void;
}

export const accountAttributes = 'account';

export const attributeLimits = {
  /** Entries of one owner. */
  entries: 500,
  /** Octets of one value. */
  valueBytes: 65_536,
  /** Octets of all values of one owner. */
  totalBytes: 1_048_576,
} as const;

const firstLine = 'roost-attributes 1';
const nothing: Attributes = new Map();

/** @throws StorageError `limit` */
function applyChanges(before: Attributes, changes: AttributeChanges): Map<string, Buffer> {
  const after = new Map(before);
  for (const [name, value] of changes) {
    if (/[\t\r\n]/.test(name)) throw new StorageError('cannot', 'attribute name with a control character');
    if (value === undefined) after.delete(name);
    else after.set(name, value);
  }
  let total = 0;
  for (const value of after.values()) {
    total += value.length;
    if (value.length > attributeLimits.valueBytes) throw new StorageError('limit', `attribute of ${value.length} octets`);
  }
  if (after.size > attributeLimits.entries || total > attributeLimits.totalBytes) {
    throw new StorageError('limit', `${after.size} attributes of ${total} octets`);
  }
  return after;
}

function parse(text: string, path: string): Attributes {
  if (text === '') return nothing;
  const [head, ...lines] = text.split('\n');
  if (head !== firstLine) throw new StorageError('corrupt', `${path}: not a file of attributes`);
  const values = new Map<string, Buffer>();
  for (const line of lines) {
    const [name = '', value] = line.split('\t');
    if (name !== '' && value !== undefined) values.set(name, Buffer.from(value, 'base64'));
  }
  return values;
}

function format(values: Attributes): string {
  return `${firstLine}\n${[...values].map(([name, value]) => `${name}\t${value.toString('base64')}\n`).join('')}`;
}

/** @param folder `roost-attributes` in the control root; made when first needed */
export function createAttributeFiles(folder: string, lockTimeoutMs = defaultLockTimeoutMs): AttributeStore {
  const pathOf = (owner: string): string => {
    if (!/^[0-9a-z]{1,64}$/i.test(owner)) throw new StorageError('invalid-name', `owner of attributes ${JSON.stringify(owner)}`);
    return join(folder, owner);
  };
  const read = async (owner: string): Promise<Attributes> => {
    const path = pathOf(owner);
    try {
      return parse(await readFile(path, 'utf8'), path);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return nothing;
      throw asStorageError(error, path);
    }
  };
  return {
    folder,
    read,
    async change(owner, changes, signal) {
      const path = pathOf(owner);
      try {
        await mkdir(folder, { recursive: true, mode: 0o700 });
      } catch (error) {
        throw asStorageError(error, folder);
      }
      await rewriteLocked(path, async () => format(applyChanges(await read(owner), changes)), lockTimeoutMs, signal);
    },
    async remove(owner) {
      const path = pathOf(owner);
      try {
        await unlink(path);
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT') throw asStorageError(error, path);
      }
    },
  };
}

export function createMemoryAttributes(): AttributeStore {
  const all = new Map<string, Attributes>();
  const notifier = new ChangeNotifier();
  const read = async (owner: string): Promise<Attributes> => all.get(owner) ?? nothing;
  return {
    read,
    watch: (onChange) => notifier.watch(onChange),
    async change(owner, changes) {
      all.set(owner, applyChanges(await read(owner), changes));
      notifier.changed();
    },
    async remove(owner) {
      all.delete(owner);
    },
  };
}
