// Access control lists of mailboxes in `dovecot-acl` of the mailbox folder, as Dovecot's vfile backend keeps them.
//
// Layout: one line per identifier, `user=joe lrws`, `owner lr`, `group=staff l`, `anyone l`, `authenticated l`; a leading `-` takes rights away. Rights are
// the letters of RFC 4314 or Dovecot's words (`:lookup read`). Lines that are not understood are kept as they are.
import { readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf } from '#util/coded-error.js';
import type { MailboxPaths } from './driver.js';
import { asStorageError, defaultLockTimeoutMs, rewriteLocked } from './list/locked-rewrite.js';

/** RFC 4314 2.1: all rights, in the order in which they are shown. */
export const allRights = 'lrwstipekxa';

export interface AclEntry {
  /** `owner`, `anyone`, `authenticated`, `user=name`, `group=name`, with `-` in front for negative rights. */
  readonly identifier: string;
  /** Letters of `allRights`. */
  readonly rights: string;
}

export interface AclStore {
  read(paths: MailboxPaths): Promise<readonly AclEntry[]>;
  /** @param rights undefined removes the entry */
  /** Before the mailbox is deleted. */
  remove(paths: MailboxPaths): Promise<void>;
  set(paths: MailboxPaths, identifier: string, rights: string | undefined, signal: AbortSignal): Promise<void>;
}

const words: Readonly<Record<string, string>> = {
  lookup: 'l',
  read: 'r',
  write: 'w',
  'write-seen': 's',
  'write-deleted': 't',
  insert: 'i',
  post: 'p',
  expunge: 'e',
  create: 'k',
  delete: 'x',
  admin: 'a',
};
const maxEntries = 1000;

/** Known rights, each once, in one order. */
export function normalizeRights(rights: string): string {
  return [...allRights].filter((right) => rights.includes(right)).join('');
}

export function parseAcl(text: string): AclEntry[] {
  return text.split('\n').flatMap((line) => parseLine(line) ?? []);
}

function parseLine(line: string): AclEntry | undefined {
  const match = /^(-?(?:owner|anyone|authenticated|(?:user|group|group-override)=(?:"(?:[^"\\]|\\.)*"|\S+)))(?:\s+(.*))?$/.exec(
    line.trim(),
  );
  if (match === null) return undefined;
  const [, identifier = '', rest = ''] = match;
  const [letters = '', named = ''] = rest.split(':', 2);
  const more = named.split(/\s+/).map((word) => words[word] ?? '');
  return {
    identifier: identifier.replace(/"((?:[^"\\]|\\.)*)"$/, (_, quoted: string) => quoted.replace(/\\(.)/g, '$1')),
    rights: normalizeRights(letters + more.join('')),
  };
}

function formatLine({ identifier, rights }: AclEntry): string {
  const [kind, name] = splitIdentifier(identifier);
  const shown = name === undefined || /^[^\s"\\]+$/.test(name) ? identifier : `${kind}="${name.replace(/["\\]/g, '\\$&')}"`;
  return `${shown} ${rights}`;
}

function splitIdentifier(identifier: string): readonly [string, string | undefined] {
  const equals = identifier.indexOf('=');
  return equals < 0 ? [identifier, undefined] : [identifier.slice(0, equals), identifier.slice(equals + 1)];
}

/** The text with one entry changed. */
export function changeAcl(text: string, identifier: string, rights: string | undefined): string {
  const kept = text.split('\n').filter((line) => line.trim() !== '' && parseLine(line)?.identifier !== identifier);
  if (rights !== undefined) kept.push(formatLine({ identifier, rights }));
  return kept
    .slice(0, maxEntries)
    .map((line) => `${line}\n`)
    .join('');
}

export function createAclFiles(lockTimeoutMs = defaultLockTimeoutMs): AclStore {
  const pathOf = ({ mailDir }: MailboxPaths): string => join(mailDir, 'dovecot-acl');
  const readText = async (path: string): Promise<string> => {
    try {
      return await readFile(path, 'utf8');
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return '';
      throw asStorageError(error, path);
    }
  };
  return {
    read: async (paths) => parseAcl(await readText(pathOf(paths))),
    async remove(paths) {
      const path = pathOf(paths);
      try {
        await unlink(path);
      } catch (error) {
        if (errnoOf(error) !== 'ENOENT') throw asStorageError(error, path);
      }
    },
    async set(paths, identifier, rights, signal) {
      const path = pathOf(paths);
      await rewriteLocked(path, async () => changeAcl(await readText(path), identifier, rights), lockTimeoutMs, signal);
    },
  };
}

export function createMemoryAcls(): AclStore {
  const texts = new Map<string, string>();
  return {
    read: async ({ mailDir }) => parseAcl(texts.get(mailDir) ?? ''),
    async remove({ mailDir }) {
      texts.delete(mailDir);
    },
    async set({ mailDir }, identifier, rights) {
      texts.set(mailDir, changeAcl(texts.get(mailDir) ?? '', identifier, rights));
    },
  };
}

/**
 * What somebody may do who is not the owner: nothing that the list does not grant. The most particular entry holds (Dovecot's order), negative
 * ones take away in any case.
 */
export function grantedRights(entries: readonly AclEntry[], userName: string): string {
  const find = (identifier: string): string | undefined => entries.find((entry) => entry.identifier === identifier)?.rights;
  const granted = find(`user=${userName}`) ?? find('authenticated') ?? find('anyone') ?? '';
  const taken = ['-anyone', '-authenticated', `-user=${userName}`].map((identifier) => find(identifier) ?? '').join('');
  return normalizeRights([...granted].filter((right) => !taken.includes(right)).join(''));
}

/** What the owner of a mailbox may do (Dovecot: everything, unless `owner` or the own name says otherwise; `a` cannot be lost). */
export function ownerRights(entries: readonly AclEntry[], userName: string): string {
  const find = (identifier: string): string | undefined => entries.find((entry) => entry.identifier === identifier)?.rights;
  const granted = find(`user=${userName}`) ?? find('owner') ?? allRights;
  const taken = (find('-owner') ?? '') + (find(`-user=${userName}`) ?? '');
  return normalizeRights(`${[...granted].filter((right) => !taken.includes(right)).join('')}a`);
}
