import { silentLogger } from '#log/logger.js';
import { type MailboxPaths, unlimitedQuota } from '#storage/driver.js';
import { createMemoryDriver } from '#storage/memory/driver.js';
import { mailboxContract } from '../../contract/mailbox.js';
import { type MakeWorld, never } from '../../contract/world.js';

const pathsOf = (name: string): MailboxPaths => {
  const folder = `/account/${name}`;
  return { mailDir: folder, controlDir: folder, indexDir: undefined, accountControlDir: '/account' };
};

const makeWorld: MakeWorld = async (options = {}) => {
  const driver = createMemoryDriver(options);
  const open: Awaited<ReturnType<MakeWorld>>['open'] = async (name, { quota = unlimitedQuota, isReadOnly = false } = {}) =>
    driver.open(pathsOf(name), { name, quota, isReadOnly, log: silentLogger }, never);
  return {
    driver,
    open,
    async create(name, how = {}) {
      await driver.create(pathsOf(name), { isMaildirFolder: true }, never);
      return open(name, how);
    },
    delete: (name) => driver.delete(pathsOf(name), never),
    rename: (from, to) => driver.rename(pathsOf(from), pathsOf(to), never),
    [Symbol.asyncDispose]: () => driver.close(),
  };
};

mailboxContract('memory', makeWorld);
