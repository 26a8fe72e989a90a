// The ways of keeping mail that protocol tests run over.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { silentLogger } from '#log/logger.js';
import { createMailStore, type MailStore } from '#storage/mail-store.js';
import { createMemoryAccount } from '#storage/memory/account.js';
import type { MailUser } from '#storage/user.js';
import { makeStore, settingsFrom } from '../storage/support/store-world.js';

/** Opens the one account, once for each client. */
export type OpenUser = () => Promise<MailUser>;

export const mailConfig = 'mail_location = maildir:~/Maildir\nnamespace inbox {\n  inbox = yes\n  separator = /\n}\n';

/** @param extra more configuration; memory has none */
export const storages: Readonly<Record<string, (test: TestContext, extra?: string) => OpenUser>> = {
  memory: () => {
    const open = createMemoryAccount();
    return async () => open();
  },
  maildir: (test, extra = '') => {
    const world = makeStore(test, mailConfig + extra);
    return () => world.open();
  },
  /** Nothing is shared but the files, as between processes. */
  'maildir, each client apart': (test, extra = '') => {
    const folder = mkdtempSync(join(tmpdir(), 'roost-apart-'));
    const stores: MailStore[] = [];
    test.after(async () => {
      await Promise.all(stores.map((store) => store.close()));
      rmSync(folder, { recursive: true, force: true });
    });
    const settings = settingsFrom(folder, mailConfig + extra);
    return () => {
      const store = createMailStore({ settings, log: silentLogger });
      stores.push(store);
      return store.openUser({ user: 'bob', fields: { home: folder } }, 'imap', new AbortController().signal);
    };
  },
};
