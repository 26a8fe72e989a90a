import type { MailboxDriver, MailboxPaths } from '../driver.js';
import { StorageError } from '../errors.js';
import { ChangeNames } from '../list/change-names.js';
import { type Levels, levelsKey } from '../list/name.js';
import { createMemorySubscriptions } from '../list/subscriptions.js';
import type { MailboxTree, TreeEntry } from '../list/tree.js';

/** A location in memory: every name is a mailbox, as in Maildir++. */
export function createMemoryTree(driver: MailboxDriver, root: string): MailboxTree {
  const mailboxes = new Map<string, TreeEntry>();
  const changes = new ChangeNames();
  let listed: readonly TreeEntry[] | undefined;

  const pathsOf = (levels: Levels): MailboxPaths => {
    const folder = `${root}/${levels.join('/')}`;
    return { mailDir: folder, controlDir: folder, indexDir: undefined, accountControlDir: root };
  };
  const changed = (levels: Levels): void => {
    listed = undefined;
    changes.changed(levels);
  };
  const below = (levels: Levels): readonly Levels[] =>
    [...mailboxes.values()].map((entry) => entry.levels).filter((other) => levelsKey(other).startsWith(`${levelsKey(levels)}\0`));

  return {
    layoutSeparator: '/',
    subscriptions: createMemorySubscriptions(),
    pathsOf,
    watch: (onChange) => changes.watch(onChange),
    problemOf: (levels) => (levels.some((level) => level.includes('/')) ? "Character not allowed in mailbox name: '/'" : undefined),

    async entries() {
      listed ??= [...mailboxes.values()];
      return listed;
    },

    async kindOf(levels) {
      if (mailboxes.has(levelsKey(levels))) return 'mailbox';
      return below(levels).length > 0 ? 'container' : undefined;
    },

    async create(levels, signal) {
      const created = await driver.create(pathsOf(levels), { isMaildirFolder: true }, signal);
      mailboxes.set(levelsKey(levels), { levels, isMailbox: true });
      changed(levels);
      return created;
    },

    async remove(levels, signal) {
      if (!mailboxes.delete(levelsKey(levels))) return;
      await driver.delete(pathsOf(levels), signal);
      changed(levels);
    },

    async rename(from, to, signal) {
      const moving = [...(mailboxes.has(levelsKey(from)) ? [from] : []), ...below(from)];
      if (moving.length === 0) throw new StorageError('not-found', `no mailbox ${from.join('/')}`);
      for (const levels of moving) {
        const target = [...to, ...levels.slice(from.length)];
        await driver.rename(pathsOf(levels), pathsOf(target), signal);
        mailboxes.delete(levelsKey(levels));
        mailboxes.set(levelsKey(target), { levels: target, isMailbox: true });
        changed(levels);
        changed(target);
      }
    },
  };
}
