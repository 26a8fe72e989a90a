// LAYOUT=fs: `a/b` is the folder `a/b` below the root, a mailbox when it has a `cur/` (inside DIRNAME, where that is set), else \NoSelect.
import { mkdir, readdir, rename, rmdir, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoOf } from '#util/coded-error.js';
import type { MailboxPaths } from '../driver.js';
import { StorageError } from '../errors.js';
import { ChangeNames } from './change-names.js';
import { createDiskNames, isSafeComponent } from './disk-name.js';
import { FolderReader, isFolder } from './folder-reader.js';
import type { TreeOptions } from './layout.js';
import { asStorageError } from './locked-rewrite.js';
import { mailboxExists } from './maildir-tree.js';
import { invalidName, isInboxLevels, type Levels } from './name.js';
import type { MailboxTree, TreeEntry } from './tree.js';

/** Folders inside a mailbox that are no mailboxes, and files of ours and Dovecot's that a folder would collide with. */
const reserved = /^(cur|new|tmp|maildirfolder|maildirsize|subscriptions|dovecot[.-].*|roost[.-].*)$/;
const maxDepth = 100;

export function createFsTree({ folders, driver, subscriptions, hasInbox }: TreeOptions): MailboxTree {
  const names = createDiskNames(folders.isUtf8);
  const reader = new FolderReader();
  const changes = new ChangeNames();
  const mailRoot = join(folders.root, folders.mailboxesFolder);
  const controlRoot = folders.control ?? folders.root;

  const isInbox = (levels: Levels): boolean => hasInbox && isInboxLevels(levels);

  const relativeOf = (levels: Levels): string => {
    const components = levels.map(names.encode);
    if (components.length === 0 || !components.every(isSafeComponent)) throw invalidName('Invalid mailbox name', levels.join('/'));
    return components.join('/');
  };

  /** Folder of a level; its mail may be one deeper (DIRNAME). */
  const folderOf = (levels: Levels): string => join(mailRoot, relativeOf(levels));

  const pathsOf = (levels: Levels): MailboxPaths => {
    const relative = relativeOf(levels);
    const mailDir = isInbox(levels) ? folders.inbox : join(mailRoot, relative, folders.mailFolderName);
    return {
      mailDir,
      controlDir: folders.control === undefined ? mailDir : join(folders.control, folders.mailboxesFolder, relative),
      indexDir:
        folders.index === 'memory'
          ? undefined
          : folders.index === undefined
            ? mailDir
            : join(folders.index, folders.mailboxesFolder, relative),
      accountControlDir: controlRoot,
    };
  };

  const collect = async (folder: string, levels: Levels, found: TreeEntry[], signal: AbortSignal): Promise<void> => {
    signal.throwIfAborted();
    if (levels.length >= maxDepth) return;
    for (const entry of (await reader.read(folder)) ?? []) {
      if (reserved.test(entry.name) || entry.name === folders.mailFolderName || entry.name.startsWith('.')) continue;
      const level = names.decode(entry.name);
      if (level === undefined) continue;
      const path = join(folder, entry.name);
      // INBOX= and CONTROL= may point into the tree.
      if (path === folders.control || path === folders.index) continue;
      const inner = await reader.read(path);
      if (inner === undefined) continue;
      const own = [...levels, level];
      const isSecondInbox = hasInbox && own.length === 1 && level.toUpperCase() === 'INBOX';
      if (!isSecondInbox) found.push({ levels: own, isMailbox: await hasMail(path, inner) });
      await collect(path, isSecondInbox ? ['INBOX'] : own, found, signal);
    }
  };

  const hasMail = async (path: string, inner: readonly { readonly name: string }[]): Promise<boolean> => {
    if (folders.mailFolderName === '') return inner.some((entry) => entry.name === 'cur');
    return inner.some((entry) => entry.name === folders.mailFolderName) && isFolder(join(path, folders.mailFolderName, 'cur'));
  };

  const tree: MailboxTree = {
    layoutSeparator: '/',
    subscriptions,
    pathsOf,
    watch: (onChange) => changes.watch(onChange),

    async watchedFolders(signal) {
      const found: TreeEntry[] = [];
      await collect(mailRoot, [], found, signal);
      return [...new Set([folders.root, controlRoot, mailRoot, ...found.map(({ levels }) => folderOf(levels))])];
    },

    problemOf(levels) {
      const bad = levels.join('').match(/\//);
      if (bad !== null) return "Character not allowed in mailbox name: '/'";
      if (levels[0]?.startsWith('~') === true) return "Invalid mailbox name: Begins with '~'";
      for (const level of levels) {
        const component = names.encode(level);
        if (component === '.' || component === '..') return `Invalid mailbox name: Contains '${component}'`;
        if (component.startsWith('.')) return "Invalid mailbox name: Level begins with '.'";
        if (reserved.test(component) || component === folders.mailFolderName) return `Invalid mailbox name: '${level}' is reserved`;
        if (Buffer.byteLength(component) > 255) return 'Mailbox name too long';
      }
      return undefined;
    },

    async entries(signal) {
      const found: TreeEntry[] = [];
      await collect(mailRoot, [], found, signal);
      return found;
    },

    async kindOf(levels, signal) {
      signal.throwIfAborted();
      if (tree.problemOf(levels) !== undefined) return undefined;
      if (await driver.exists(pathsOf(levels))) return 'mailbox';
      return (await isFolder(folderOf(levels))) ? 'container' : undefined;
    },

    async create(levels, signal) {
      const paths = pathsOf(levels);
      await mkdir(dirname(paths.mailDir), { recursive: true, mode: 0o700 }).catch((error: unknown) => {
        throw asStorageError(error, paths.mailDir);
      });
      const created = await driver.create(paths, { isMaildirFolder: false }, signal);
      reader.forget();
      changes.changed(levels);
      return created;
    },

    async remove(levels, signal) {
      const paths = pathsOf(levels);
      if (await driver.exists(paths)) await driver.delete(paths, signal);
      if (!isInbox(levels)) {
        for (const folder of [paths.mailDir, paths.controlDir, paths.indexDir, folderOf(levels)]) {
          if (folder !== undefined) await removeIfUnused(folder);
        }
      }
      reader.forget();
      changes.changed(levels);
    },

    async rename(from, to, signal) {
      if ((await tree.kindOf(to, signal)) !== undefined) throw mailboxExists(to);
      const kind = await tree.kindOf(from, signal);
      if (kind === undefined) throw new StorageError('not-found', `no mailbox ${from.join('/')}`);
      try {
        // Everything below is inside the folder and moves along.
        if (kind === 'mailbox' && folders.mailFolderName === '') {
          await mkdir(dirname(folderOf(to)), { recursive: true, mode: 0o700 });
          await driver.rename(pathsOf(from), pathsOf(to), signal);
        } else await renameFolders(from, to);
      } catch (error) {
        throw asStorageError(error, folderOf(from));
      } finally {
        reader.forget();
        changes.changed(from);
        changes.changed(to);
      }
    },
  };

  /** A folder that only holds others: the control and index files of those move with it. */
  const renameFolders = async (from: Levels, to: Levels): Promise<void> => {
    const roots = new Set(
      [folders.root, folders.control, folders.index].filter((root): root is string => root !== undefined && root !== 'memory'),
    );
    for (const root of roots) {
      const source = join(root, folders.mailboxesFolder, relativeOf(from));
      const target = join(root, folders.mailboxesFolder, relativeOf(to));
      if (!(await isFolder(source))) continue;
      await mkdir(dirname(target), { recursive: true, mode: 0o700 });
      await rename(source, target);
    }
  };

  return tree;
}

/** Removes a folder in which there is nothing but files of Dovecot's and ours. */
async function removeIfUnused(folder: string): Promise<void> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    if (!entries.every((entry) => entry.isFile() && reserved.test(entry.name))) return;
    for (const { name } of entries) await unlink(join(folder, name));
    await rmdir(folder);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno !== 'ENOENT' && errno !== 'ENOTEMPTY' && errno !== 'EEXIST' && errno !== 'ENOTDIR') throw asStorageError(error, folder);
  }
}
