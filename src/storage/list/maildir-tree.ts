// LAYOUT=maildir++: `a/b` is the folder `.a.b` in the root; INBOX is the root itself (or INBOX=). Every such folder is a mailbox.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { MailboxPaths } from '../driver.js';
import { StorageError } from '../errors.js';
import { ChangeNames } from './change-names.js';
import { createDiskNames, isSafeComponent } from './disk-name.js';
import { FolderReader } from './folder-reader.js';
import type { TreeOptions } from './layout.js';
import { invalidName, isInboxLevels, type Levels, levelsKey } from './name.js';
import type { MailboxTree, TreeEntry } from './tree.js';

const maxComponentBytes = 255;

/** Of removing a folder into which others write: soon they see that the mailbox is gone. Each wait is 20 ms longer than the one before. */
const whileWritten = { maxRetries: 8, retryDelay: 20 } as const;

export function createMaildirTree({ folders, driver, subscriptions, hasInbox }: TreeOptions): MailboxTree {
  const names = createDiskNames(folders.isUtf8);
  const reader = new FolderReader();
  const changes = new ChangeNames();
  const controlRoot = folders.control ?? folders.root;
  let parsed: { readonly from: readonly unknown[]; readonly entries: readonly TreeEntry[] } | undefined;

  const isInbox = (levels: Levels): boolean => hasInbox && isInboxLevels(levels);

  const componentOf = (levels: Levels): string => {
    const component = `.${levels.map(names.encode).join('.')}`;
    if (!isSafeComponent(component)) throw invalidName('Invalid mailbox name', levels.join('/'));
    return component;
  };

  const pathsOf = (levels: Levels): MailboxPaths => {
    const isElsewhere = folders.control !== undefined || (folders.index !== undefined && folders.index !== 'memory');
    // Of INBOX the name is no part of most paths, and it is what is opened most.
    const component = isInbox(levels) && !isElsewhere ? '' : componentOf(levels);
    const mailDir = isInbox(levels) ? folders.inbox : join(folders.root, component);
    return {
      mailDir,
      controlDir: folders.control === undefined ? mailDir : join(folders.control, component),
      indexDir: folders.index === 'memory' ? undefined : folders.index === undefined ? mailDir : join(folders.index, component),
      accountControlDir: controlRoot,
    };
  };

  const parse = (fileName: string): TreeEntry | undefined => {
    if (!fileName.startsWith('.') || fileName === '.' || fileName === '..') return undefined;
    const levels = fileName.slice(1).split('.').map(names.decode);
    if (!levels.every((level): level is string => level !== undefined && level !== '')) return undefined;
    // `.INBOX` would be a second INBOX.
    if (hasInbox && levels.length === 1 && levels[0]?.toUpperCase() === 'INBOX') return undefined;
    return { levels, isMailbox: true };
  };

  /** Deepest last, so that a rename that fails half way leaves whole branches. */
  const below = (entries: readonly TreeEntry[], levels: Levels): readonly Levels[] => {
    const prefix = `${levelsKey(levels)}\0`;
    return entries.map((entry) => entry.levels).filter((other) => levelsKey(other).startsWith(prefix));
  };

  const tree: MailboxTree = {
    layoutSeparator: '.',
    subscriptions,
    pathsOf,
    watch: (onChange) => changes.watch(onChange),
    watchedFolders: async () => [...new Set([folders.root, controlRoot])],

    problemOf(levels) {
      const bad = levels.join('').match(folders.isUtf8 ? /[./]/ : /[./]/);
      if (bad !== null) return `Character not allowed in mailbox name: '${bad[0]}'`;
      if (levels[0]?.startsWith('~') === true) return "Invalid mailbox name: Begins with '~'";
      if (Buffer.byteLength(`.${levels.map(names.encode).join('.')}`) > maxComponentBytes) return 'Mailbox name too long';
      return undefined;
    },

    async entries(signal) {
      signal.throwIfAborted();
      const folderEntries = (await reader.read(folders.root)) ?? [];
      if (parsed?.from !== folderEntries) {
        const entries = folderEntries.flatMap((entry) => parse(entry.name) ?? []);
        parsed = { from: folderEntries, entries };
      }
      return parsed.entries;
    },

    async kindOf(levels, signal) {
      signal.throwIfAborted();
      if (await driver.exists(pathsOf(levels))) return 'mailbox';
      return below(await tree.entries(signal), levels).length > 0 ? 'container' : undefined;
    },

    async create(levels, signal) {
      const created = await driver.create(pathsOf(levels), { isMaildirFolder: !isInbox(levels) }, signal);
      reader.forget();
      changes.changed(levels);
      return created;
    },

    async remove(levels, signal) {
      const paths = pathsOf(levels);
      if (await driver.exists(paths)) await driver.delete(paths, signal);
      if (!isInbox(levels)) {
        // No mailbox is inside another here, so what is left is of no use: index files of Dovecot, a folder that lost its cur/.
        for (const folder of [paths.mailDir, paths.controlDir, paths.indexDir]) {
          // Another process that has the mailbox open may put an index or a lock there while it goes.
          if (folder !== undefined) await rm(folder, { recursive: true, force: true, ...whileWritten });
        }
      }
      reader.forget();
      changes.changed(levels);
    },

    async rename(from, to, signal) {
      const entries = await tree.entries(signal);
      const moving = below(entries, from);
      const targets = new Set(entries.map((entry) => levelsKey(entry.levels)));
      const targetOf = (levels: Levels): Levels => [...to, ...levels.slice(from.length)];
      for (const target of [to, ...moving.map(targetOf)]) {
        if (targets.has(levelsKey(target))) throw mailboxExists(target);
        const problem = tree.problemOf(target);
        if (problem !== undefined) throw invalidName(problem, target.join('/'));
      }
      const isThere = await driver.exists(pathsOf(from));
      if (!isThere && moving.length === 0) throw new StorageError('not-found', `no mailbox ${from.join('/')}`);
      try {
        if (isThere) await driver.rename(pathsOf(from), pathsOf(to), signal);
        for (const levels of moving) await driver.rename(pathsOf(levels), pathsOf(targetOf(levels)), signal);
      } finally {
        reader.forget();
        for (const levels of [from, ...moving]) {
          changes.changed(levels);
          changes.changed(targetOf(levels));
        }
      }
    },
  };
  return tree;
}

export function mailboxExists(levels: Levels): StorageError {
  return new StorageError('exists', `mailbox ${levels.join('/')} exists`, { clientText: 'Mailbox already exists' });
}
