// Access control lists of mailboxes in `dovecot-acl` of the mailbox folder, as Dovecot's vfile backend keeps them.
//
// Layout: one line per identifier, `user=joe lrws`, `owner lr`, `group=staff l`, `anyone l`, `authenticated l`; a leading `-` takes rights away. Rights are
// the letters of RFC 4314 or Dovecot's words (`:lookup read`); an identifier with blanks is in quotes (`"user=big joe" lr`). Lines that are not understood are kept as they are, and nobody but the owner
// has any right then: such a line may be meant to take rights away (Dovecot refuses the mailbox).
import { readFile, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import { errnoOf } from '#util/coded-error.js';
import type { MailboxPaths } from './driver.js';
import { StorageError } from './errors.js';
import { fileStamp } from './list/file-stamp.js';
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
  /** Before the mailbox is deleted. */
  remove(paths: MailboxPaths): Promise<void>;
  /** @param rights undefined removes the entry */
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
/** A larger file is no access control list. */
const maxFileBytes = 1024 * 1024;
/** Lists that are remembered as long as their files stay as they are. */
const maxRememberedLists = 2000;

/** Known rights, each once, in one order. */
export function normalizeRights(rights: string): string {
  return [...allRights].filter((right) => rights.includes(right)).join('');
}

/** What a line that is not understood takes away. */
const everything: AclEntry = { identifier: '-anyone', rights: allRights };

export function parseAcl(text: string): AclEntry[] {
  return text.split('\n').flatMap((line) => (/^\s*(?:#|$)/.test(line) ? [] : (parseAclLine(line) ?? everything)));
}

/** @returns undefined when it is not understood */
export function parseAclLine(line: string): AclEntry | undefined {
  // Dovecot puts the whole identifier in quotes; lists that had only the name in them are read, too.
  const match = /^(?:"((?:[^"\\]|\\.)*)"|(-?\w[\w-]*)="((?:[^"\\]|\\.)*)"|([^\s"]+))(?:\s+(.*))?$/.exec(line.trim());
  if (match === null) return undefined;
  const [, quoted, kind, name, plain = '', rest = ''] = match;
  const identifier = quoted !== undefined ? unquote(quoted) : name === undefined ? plain : `${kind}=${unquote(name)}`;
  if (!/^-?(?:owner|anyone|authenticated|(?:user|group|group-override)=.+)$/s.test(identifier)) return undefined;
  const [letters = '', long = ''] = rest.split(':', 2);
  const more = long.split(/\s+/).map((word) => words[word] ?? '');
  return { identifier, rights: normalizeRights(letters + more.join('')) };
}

const unquote = (text: string): string => text.replace(/\\(.)/g, '$1');

function formatLine({ identifier, rights }: AclEntry): string {
  return `${/^[^\s"\\]+$/.test(identifier) ? identifier : `"${identifier.replace(/["\\]/g, '\\$&')}"`} ${rights}`;
}

function splitIdentifier(identifier: string): readonly [string, string | undefined] {
  const equals = identifier.indexOf('=');
  return equals < 0 ? [identifier, undefined] : [identifier.slice(0, equals), identifier.slice(equals + 1)];
}

/** The text with one entry changed. @throws StorageError `limit` */
export function changeAcl(text: string, identifier: string, rights: string | undefined): string {
  const kept = text.split('\n').filter((line) => line.trim() !== '' && parseAclLine(line)?.identifier !== identifier);
  if (rights !== undefined) kept.push(formatLine({ identifier, rights }));
  if (kept.length > maxEntries) throw new StorageError('limit', `an access control list has at most ${maxEntries} entries`);
  return kept.map((line) => `${line}\n`).join('');
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
  const known = new LRUCache<string, { readonly stamp: string; readonly entries: readonly AclEntry[] }>({ max: maxRememberedLists });
  const stampOf = (path: string): string | undefined => {
    try {
      return fileStamp(path, maxFileBytes);
    } catch (error) {
      throw asStorageError(error, path);
    }
  };
  return {
    async read(paths) {
      const path = pathOf(paths);
      const stamp = stampOf(path);
      if (stamp === undefined) return [];
      const last = known.get(path);
      if (last?.stamp === stamp) return last.entries;
      const entries = parseAcl(await readText(path));
      known.set(path, { stamp, entries });
      return entries;
    },
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

/** Letters as Dovecot's words, `lookup read`. */
export function wordsOfRights(rights: string): string {
  const byLetter = new Map(Object.entries(words).map(([word, letter]) => [letter, word]));
  return [...normalizeRights(rights)].map((right) => byLetter.get(right) ?? right).join(' ');
}

/** Words or letters as letters; undefined when one of them is no right. */
export function rightsOfWords(given: readonly string[]): string | undefined {
  const letters = given.map((word) => words[word] ?? ([...word].every((letter) => allRights.includes(letter)) ? word : undefined));
  return letters.includes(undefined) ? undefined : normalizeRights(letters.join(''));
}

/** One that a list can have. */
export function isAclIdentifier(identifier: string): boolean {
  return /^-?(?:owner|anyone|authenticated|(?:user|group|group-override)=[^\x00-\x1f\x7f]+)$/.test(identifier);
}

/** `['user', 'anna']`, `['-group', 'staff']`, `['anyone', '']`. */
export function aclKindOf(identifier: string): readonly [kind: string, name: string] {
  const [kind, name = ''] = splitIdentifier(identifier);
  return [kind, name];
}

/** Who asks. */
export interface AclSubject {
  readonly name: string;
  /** Of userdb or plugin `acl_groups`. */
  readonly groups: readonly string[];
}

/** From the general to the particular (Dovecot's order): the last kind with an entry for the user is the one that holds. */
const strangerKinds = ['anyone', 'authenticated', 'group', 'user', 'group-override'] as const;
const ownerKinds = ['owner', 'user', 'group-override'] as const;
const allKinds = ['anyone', 'authenticated', 'group', 'owner', 'user', 'group-override'] as const;
type Kind = (typeof allKinds)[number];

/** Positive, or with the sign negative, rights of one kind that are meant for the user; those of several groups together. */
function rightsOfKind(entries: readonly AclEntry[], sign: '' | '-', kind: Kind, { name, groups }: AclSubject): string | undefined {
  const identifiers =
    kind === 'user' ? [`user=${name}`] : kind === 'group' || kind === 'group-override' ? groups.map((group) => `${kind}=${group}`) : [kind];
  const found = entries.filter(({ identifier }) => identifiers.some((wanted) => identifier === sign + wanted));
  return found.length === 0 ? undefined : found.map(({ rights }) => rights).join('');
}

interface Verdict {
  readonly granted: string;
  readonly taken: string;
}

function judge(entries: readonly AclEntry[], kinds: readonly Kind[], subject: AclSubject, before: Verdict): Verdict {
  let { granted, taken } = before;
  for (const kind of kinds) {
    granted = rightsOfKind(entries, '', kind, subject) ?? granted;
    taken += rightsOfKind(entries, '-', kind, subject) ?? '';
  }
  return { granted, taken };
}

function rightsLeft({ granted, taken }: Verdict): string {
  return normalizeRights([...granted].filter((right) => !taken.includes(right)).join(''));
}

/**
 * What somebody may do who is not the owner: nothing that no list grants. Negative entries take away in any case.
 * @param globals the administrator's entries for the mailbox, which hold over its own
 */
export function grantedRights(entries: readonly AclEntry[], subject: AclSubject, globals: readonly AclEntry[] = []): string {
  const own = judge(entries, strangerKinds, subject, { granted: '', taken: '' });
  return rightsLeft(judge(globals, strangerKinds, subject, own));
}

/**
 * What the owner of a mailbox may do (Dovecot: everything, unless an entry for the owner says otherwise; `a` cannot be lost).
 * @param globals as above; they bind the owner, too
 */
export function ownerRights(entries: readonly AclEntry[], subject: AclSubject, globals: readonly AclEntry[] = []): string {
  const own = { granted: `${rightsLeft(judge(entries, ownerKinds, subject, { granted: allRights, taken: '' }))}a`, taken: '' };
  return rightsLeft(judge(globals, allKinds, subject, own));
}
