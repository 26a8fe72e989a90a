// A MailUser over the memory driver, for tests of protocol engines: one namespace, `/` between levels, nothing on disk.
import { silentLogger } from '#log/logger.js';
import { type MailboxDriver, type MailboxPaths, unlimitedQuota } from '#storage/driver.js';
import { StorageError } from '#storage/errors.js';
import { createMemoryDriver } from '#storage/memory/driver.js';
import type { MailboxListEntry, MailUser, SpecialUse } from '#storage/user.js';

interface Account {
  readonly names: Map<string, readonly SpecialUse[]>;
  readonly subscribed: Set<string>;
  readonly driver: MailboxDriver;
}

const pathsOf = (name: string): MailboxPaths => ({
  mailDir: `/m/${name}`,
  controlDir: `/m/${name}`,
  indexDir: undefined,
  accountControlDir: '/m',
});

function toRegExp(pattern: string): RegExp {
  const source = pattern
    .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('%', '[^/]*');
  return new RegExp(`^${source.replace(/^INBOX(?=$|\/)/i, 'INBOX')}$`, 's');
}

function checkName(name: string): void {
  const isBad = name === '' || name.startsWith('/') || name.endsWith('/') || name.includes('//') || /[\0\r\n]/.test(name);
  if (isBad) throw new StorageError('invalid-name', `bad name ${name}`, { clientText: 'Invalid mailbox name' });
}

class MemoryUser implements MailUser {
  readonly name = 'anna';
  readonly namespaces = [
    { type: 'private', prefix: '', separator: '/', isInbox: true, isHidden: false, list: 'yes', subscriptions: true },
  ] as const;
  readonly #account: Account;

  constructor(account: Account) {
    this.#account = account;
  }

  async list(patterns: readonly string[], options: { readonly subscribedOnly: boolean }) {
    const { names, subscribed } = this.#account;
    const matchers = patterns.map(toRegExp);
    const all = new Set<string>();
    for (const name of [...names.keys(), ...subscribed]) {
      const levels = name.split('/');
      for (let count = 1; count <= levels.length; count++) all.add(levels.slice(0, count).join('/'));
    }
    const entries: MailboxListEntry[] = [];
    for (const name of [...all].sort((a, b) => (a === 'INBOX' ? -1 : b === 'INBOX' ? 1 : a < b ? -1 : 1))) {
      if (!matchers.some((matcher) => matcher.test(name))) continue;
      const hasChildren = [...names.keys()].some((other) => other.startsWith(`${name}/`));
      const hasSubscribedChildren = [...subscribed].some((other) => other.startsWith(`${name}/`));
      const isSubscribed = subscribed.has(name);
      if (options.subscribedOnly && !isSubscribed && !hasSubscribedChildren) continue;
      const exists = names.has(name);
      entries.push({
        name,
        separator: '/',
        exists,
        isSelectable: exists,
        hasChildren,
        isSubscribed,
        hasSubscribedChildren,
        specialUse: names.get(name) ?? [],
        isMarked: undefined,
      });
    }
    return entries;
  }

  async openMailbox(name: string, signal: AbortSignal) {
    if (!this.#account.names.has(name)) {
      throw new StorageError('not-found', `no mailbox ${name}`, { clientText: `Mailbox doesn't exist: ${name}` });
    }
    return this.#account.driver.open(pathsOf(name), { name, quota: unlimitedQuota, isReadOnly: false, log: silentLogger }, signal);
  }

  async create(name: string, { specialUse }: { readonly specialUse: readonly SpecialUse[] }, signal: AbortSignal) {
    checkName(name);
    const result = await this.#account.driver.create(pathsOf(name), { isMaildirFolder: true }, signal);
    this.#account.names.set(name, specialUse);
    return result;
  }

  async delete(name: string, signal: AbortSignal) {
    if (name === 'INBOX') throw new StorageError('cannot', 'INBOX', { clientText: "INBOX can't be deleted." });
    if (!this.#account.names.delete(name)) {
      throw new StorageError('not-found', `no mailbox ${name}`, { clientText: `Mailbox doesn't exist: ${name}` });
    }
    await this.#account.driver.delete(pathsOf(name), signal);
  }

  async rename(from: string, to: string, signal: AbortSignal) {
    checkName(to);
    const { names, driver } = this.#account;
    if (names.has(to)) throw new StorageError('exists', `mailbox ${to} exists`, { clientText: 'Mailbox already exists' });
    const moved = [...names.keys()].filter((name) => name === from || name.startsWith(`${from}/`));
    if (moved.length === 0) throw new StorageError('not-found', `no mailbox ${from}`, { clientText: `Mailbox doesn't exist: ${from}` });
    for (const name of moved) {
      const target = to + name.slice(from.length);
      await driver.rename(pathsOf(name), pathsOf(target), signal);
      names.set(target, names.get(name) ?? []);
      names.delete(name);
    }
  }

  async subscribe(name: string, subscribed: boolean) {
    if (subscribed) this.#account.subscribed.add(name);
    else this.#account.subscribed.delete(name);
  }

  async quotaRoots() {
    return [];
  }

  watch() {
    return () => undefined;
  }

  async [Symbol.asyncDispose]() {
    return undefined;
  }
}

/** @returns opens the same account each time, as several connections of one user would */
export async function createMemoryAccount(specialUse: Readonly<Record<string, SpecialUse>> = {}): Promise<() => MailUser> {
  const account: Account = { names: new Map(), subscribed: new Set(), driver: createMemoryDriver() };
  const user = new MemoryUser(account);
  const { signal } = new AbortController();
  await user.create('INBOX', { specialUse: [] }, signal);
  for (const [name, use] of Object.entries(specialUse)) await user.create(name, { specialUse: [use] }, signal);
  return () => new MemoryUser(account);
}
