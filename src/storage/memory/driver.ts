import type { MailboxDriver, MailboxPaths, OpenMailboxOptions } from '../driver.js';
import { unlimitedQuota } from '../driver.js';
import { StorageError } from '../errors.js';
import type { KeywordLimits } from '../keyword-table.js';
import { MemoryMailbox } from './mailbox.js';

export interface MemoryDriverOptions extends Partial<KeywordLimits> {
  /** Expunges remembered per mailbox; 10,000 unless told. */
  readonly maxExpungeHistory?: number;
  /** ms since the epoch. */
  readonly now?: () => number;
}

/** Mailboxes that live as long as the driver; `mailDir` is only their key. */
export function createMemoryDriver(options: MemoryDriverOptions = {}): MailboxDriver {
  const now = options.now ?? Date.now;
  const mailboxes = new Map<string, MemoryMailbox>();
  let lastUidValidity = Math.floor(now() / 1000);

  const find = (paths: MailboxPaths): MemoryMailbox => {
    const mailbox = mailboxes.get(paths.mailDir);
    if (mailbox === undefined) throw new StorageError('not-found', `no mailbox at ${paths.mailDir}`);
    return mailbox;
  };

  return {
    async open(paths: MailboxPaths, open: OpenMailboxOptions, signal: AbortSignal) {
      signal.throwIfAborted();
      const mailbox = find(paths);
      mailbox.name = open.name;
      mailbox.quota = open.quota;
      mailbox.isReadOnly = open.isReadOnly;
      return mailbox;
    },

    async exists(paths) {
      return mailboxes.has(paths.mailDir);
    },

    async create(paths, _create, signal) {
      signal.throwIfAborted();
      if (mailboxes.has(paths.mailDir)) {
        throw new StorageError('exists', `mailbox exists at ${paths.mailDir}`, { clientText: 'Mailbox already exists' });
      }
      lastUidValidity += 1;
      const mailbox = new MemoryMailbox({
        name: paths.mailDir,
        uidValidity: lastUidValidity,
        quota: unlimitedQuota,
        isReadOnly: false,
        maxKeywords: options.maxKeywords ?? 1000,
        maxLength: options.maxLength ?? 50,
        maxExpungeHistory: options.maxExpungeHistory ?? 10_000,
        now,
      });
      mailboxes.set(paths.mailDir, mailbox);
      return { guid: mailbox.guid };
    },

    async delete(paths, signal) {
      signal.throwIfAborted();
      const mailbox = find(paths);
      mailboxes.delete(paths.mailDir);
      mailbox.remove([...mailbox.messages]);
      mailbox.markDeleted();
    },

    async rename(from, to, signal) {
      signal.throwIfAborted();
      const mailbox = find(from);
      if (mailboxes.has(to.mailDir))
        throw new StorageError('exists', `mailbox exists at ${to.mailDir}`, { clientText: 'Mailbox already exists' });
      mailboxes.delete(from.mailDir);
      mailboxes.set(to.mailDir, mailbox);
    },

    async close() {
      mailboxes.clear();
    },
  };
}
