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
  /** Sets a value where there is none. @returns the one that holds, for all who do so at once the same. @throws StorageError as `change` */
  keep(owner: string, name: string, value: Buffer, signal: AbortSignal): Promise<Buffer>;
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
  /** @param plan of what there is under the lock; undefined changes nothing */
  const rewrite = async (owner: string, plan: (before: Attributes) => AttributeChanges | undefined, signal: AbortSignal): Promise<void> => {
    const path = pathOf(owner);
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw asStorageError(error, folder);
    }
    const produce = async (): Promise<string | undefined> => {
      const before = await read(owner);
      const changes = plan(before);
      return changes === undefined ? undefined : format(applyChanges(before, changes));
    };
    await rewriteLocked(path, produce, lockTimeoutMs, signal);
  };
  return {
    folder,
    read,
    change: (owner, changes, signal) => rewrite(owner, () => changes, signal),
    async keep(owner, name, value, signal) {
      let held: Buffer | undefined;
      const plan = (before: Attributes): AttributeChanges | undefined => {
        held = before.get(name);
        return held === undefined ? new Map([[name, value]]) : undefined;
      };
      await rewrite(owner, plan, signal);
      return held ?? value;
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
  const valuesOf = (owner: string): Attributes => all.get(owner) ?? nothing;
  const change = (owner: string, changes: AttributeChanges): void => {
    // Without a pause: what others change meanwhile would be lost.
    all.set(owner, applyChanges(valuesOf(owner), changes));
    notifier.changed();
  };
  return {
    read: async (owner) => valuesOf(owner),
    watch: (onChange) => notifier.watch(onChange),
    change: async (owner, changes) => change(owner, changes),
    async keep(owner, name, value) {
      const held = valuesOf(owner).get(name);
      if (held === undefined) change(owner, new Map([[name, value]]));
      return held ?? value;
    },
    async remove(owner) {
      all.delete(owner);
    },
  };
}
