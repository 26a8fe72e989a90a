// The ways of keeping mail that protocol tests run over.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { silentLogger } from '#log/logger.js';
import { createMailStore, type MailStore } from '#storage/mail-store.js';
import { createMemoryAccount } from '#storage/memory/account.js';
import type { UserdbUser } from '#storage/open-user.js';
import type { MailUser } from '#storage/user.js';
import { makeStore, settingsFrom } from '../storage/support/store-world.js';

/** Opens the one account, or that of the user named, once for each client. */
export type OpenUser = (user?: string) => Promise<MailUser>;

export interface StorageOptions {
  /** More configuration; memory has none. */
  readonly extra?: string;
  /** There are mailboxes below `Public/` for all users; their root has this access control list, and the usual user all rights. */
  readonly sharedAcl?: string;
}

export const mailConfig = 'mail_location = maildir:~/Maildir\nnamespace inbox {\n  inbox = yes\n  separator = /\n}\n';
const usualUser = 'bob';
/** Whom userdb knows. */
const isUserOf = (name: string): boolean => ['bob', 'anna', 'otto', 'eve'].includes(name);

function configOf({ extra = '', sharedAcl }: StorageOptions, folder: string): string {
  if (sharedAcl === undefined) return mailConfig + extra;
  mkdirSync(join(folder, 'public'));
  writeFileSync(join(folder, 'public', 'dovecot-acl'), `user=${usualUser} lrwstipekxa\n${sharedAcl}`);
  const location = `maildir:${folder}/public`;
  return `${mailConfig}namespace public {\n  type = public\n  prefix = Public/\n  separator = /\n  location = ${location}\n  subscriptions = no\n}
namespace shared {\n  type = shared\n  prefix = shared/%%u/\n  separator = /\n  location = maildir:%%h/Maildir:INDEX=~/shared/%%u\n  subscriptions = no\n  list = children\n}
plugin {\n  acl_shared_dict = file:${folder}/shared-mailboxes\n}\n${extra}`;
}

export const storages: Readonly<Record<string, (test: TestContext, options?: StorageOptions) => OpenUser>> = {
  memory: () => {
    const open = createMemoryAccount();
    return async () => open();
  },
  maildir: (test, options = {}) => {
    const folder = mkdtempSync(join(tmpdir(), 'roost-shared-'));
    const world = makeStore(test, configOf(options, folder), silentLogger, isUserOf);
    // After the store, which closes first.
    test.after(() => rmSync(folder, { recursive: true, force: true }));
    return (user = usualUser) => world.open({}, { user });
  },
  /** Nothing is shared but the files, as between processes. */
  'maildir, each client apart': (test, options = {}) => {
    const folder = mkdtempSync(join(tmpdir(), 'roost-apart-'));
    const stores: MailStore[] = [];
    test.after(async () => {
      await Promise.all(stores.map((store) => store.close()));
      rmSync(folder, { recursive: true, force: true });
    });
    const settings = settingsFrom(folder, configOf(options, folder));
    return (user = usualUser) => {
      const findUser = async (name: string): Promise<UserdbUser | undefined> =>
        isUserOf(name) ? { user: name, fields: { home: join(folder, 'home', name) } } : undefined;
      const store = createMailStore({ settings, log: silentLogger, findUser });
      stores.push(store);
      const home = join(folder, 'home', user);
      mkdirSync(home, { recursive: true });
      return store.openUser({ user, fields: { home } }, 'imap', new AbortController().signal);
    };
  },
};
