// Who shares something with whom: `acl_shared_dict = file:PATH`, so that LIST finds the owners without looking at everybody's mail.
//
// Layout (Dovecot's file dict): lines in pairs, key and value. `shared/shared-boxes/user/READER/OWNER`, `.../group/GROUP/OWNER` and
// `.../anyone/OWNER`, the value is `1`; in a key `/` of a name is `\|` and `\` is `\\`. Writers hold `PATH.lock` and replace the file. What is
// in it grants nothing: it is only where to look. Keys of others are kept as they are.
import { readFile } from 'node:fs/promises';
import { errnoOf } from '#util/coded-error.js';
import { type AclEntry, type AclSubject, aclKindOf } from './acl.js';
import { StorageError } from './errors.js';
import { fileStamp } from './list/file-stamp.js';
import { defaultLockTimeoutMs, rewriteLocked } from './list/locked-rewrite.js';

/** `user/anna`, `group/staff`, `anyone`: whom an owner shares something with, names escaped. */
export type Reader = string;

export interface SharedDict {
  /** The file, for whoever wants to watch it. */
  readonly path: string;
  /** Owners who share something with this user, sorted. */
  ownersFor(subject: AclSubject, allowsAnyone: boolean): Promise<readonly string[]>;
  /** In place of all that is known of this owner; `find` is called while nobody else writes. */
  replace(owner: string, find: () => Promise<ReadonlySet<Reader>>, signal: AbortSignal): Promise<void>;
}

const root = 'shared/shared-boxes/';
const maxFileBytes = 64 * 1024 * 1024;

const escapeName = (name: string): string => name.replaceAll('\\', '\\\\').replaceAll('/', '\\|');
const unescapeName = (text: string): string => text.replace(/\\(.)/g, (_, char: string) => (char === '|' ? '/' : char));

/** Whom this list lets see the mailbox, besides its owner. @param allowsAnyone `acl_anyone = allow` */
export function readersOf(entries: readonly AclEntry[], owner: string, allowsAnyone: boolean): Reader[] {
  return entries.flatMap(({ identifier, rights }) => {
    const [kind, name] = aclKindOf(identifier);
    if (!rights.includes('l')) return [];
    if (kind === 'user' && name !== owner) return [`user/${escapeName(name)}`];
    if (kind === 'group' || kind === 'group-override') return [`group/${escapeName(name)}`];
    return (kind === 'anyone' || kind === 'authenticated') && allowsAnyone ? ['anyone'] : [];
  });
}

/** Keys and values. A key without a value, at the end of a torn file, is left out. */
export function parseDict(text: string): Map<string, string> {
  const lines = text.split('\n');
  const pairs = new Map<string, string>();
  for (let at = 0; at + 2 < lines.length; at += 2) pairs.set(lines[at] as string, lines[at + 1] as string);
  return pairs;
}

/** @returns undefined when nothing changes */
export function changeOwner(text: string, owner: string, readers: ReadonlySet<Reader>): string | undefined {
  const pairs = parseDict(text);
  const wanted = new Set([...readers].map((reader) => `${root}${reader}/${escapeName(owner)}`));
  const end = `/${escapeName(owner)}`;
  let isChanged = false;
  for (const key of pairs.keys()) {
    if (!key.startsWith(root) || !key.endsWith(end) || wanted.has(key)) continue;
    // `user/a/b` ends with `/b` as `anyone/b` does: the levels tell whose it is.
    if (ownerOfKey(key) !== owner) continue;
    pairs.delete(key);
    isChanged = true;
  }
  for (const key of wanted) {
    if (pairs.has(key)) continue;
    pairs.set(key, '1');
    isChanged = true;
  }
  return isChanged ? [...pairs].map(([key, value]) => `${key}\n${value}\n`).join('') : undefined;
}

function ownerOfKey(key: string): string | undefined {
  const parts = key.slice(root.length).split('/');
  const isPair = parts.length === 3 && (parts[0] === 'user' || parts[0] === 'group');
  return isPair || (parts.length === 2 && parts[0] === 'anyone') ? unescapeName(parts.at(-1) ?? '') : undefined;
}

/** @param setting `file:/var/lib/dovecot/shared-mailboxes` @throws StorageError `unavailable` for other dicts */
export function openSharedDict(setting: string, lockTimeoutMs = defaultLockTimeoutMs): SharedDict {
  const path = /^file:(\/.*)$/.exec(setting)?.[1];
  if (path === undefined) throw new StorageError('unavailable', `acl_shared_dict = ${setting}: only file:/PATH is supported`);
  const readText = async (): Promise<string> => {
    try {
      return await readFile(path, 'utf8');
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return '';
      throw new StorageError('unavailable', `cannot read ${path}`, { cause: error });
    }
  };
  /** Owners by reader. */
  let known: { readonly stamp: string; readonly owners: ReadonlyMap<Reader, readonly string[]> } | undefined;
  const ownersByReader = async (): Promise<ReadonlyMap<Reader, readonly string[]>> => {
    const stamp = fileStamp(path, maxFileBytes);
    if (stamp === undefined) return new Map();
    if (known?.stamp === stamp) return known.owners;
    const owners = new Map<Reader, string[]>();
    for (const key of parseDict(await readText()).keys()) {
      const owner = key.startsWith(root) ? ownerOfKey(key) : undefined;
      if (owner === undefined) continue;
      const reader = key.slice(root.length, key.lastIndexOf('/'));
      const list = owners.get(reader);
      if (list === undefined) owners.set(reader, [owner]);
      else list.push(owner);
    }
    known = { stamp, owners };
    return owners;
  };
  return {
    path,
    async ownersFor({ name, groups }, allowsAnyone) {
      const owners = await ownersByReader();
      const readers = [
        `user/${escapeName(name)}`,
        ...groups.map((group) => `group/${escapeName(group)}`),
        ...(allowsAnyone ? ['anyone'] : []),
      ];
      return [...new Set(readers.flatMap((reader) => owners.get(reader) ?? []))].filter((owner) => owner !== name).sort();
    },
    async replace(owner, find, signal) {
      await rewriteLocked(path, async () => changeOwner(await readText(), owner, await find()), lockTimeoutMs, signal);
    },
  };
}
