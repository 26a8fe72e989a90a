import { type Logger, silentLogger } from '#log/logger.js';
import { Account } from '../account.js';
import type { AccountNamespace } from '../account-namespace.js';
import { createMemoryAcls } from '../acl.js';
import { createMemoryAttributes } from '../attributes.js';
import { createMemorySpecialUses } from '../list/special-uses.js';
import type { ConfiguredMailbox } from '../list/visible-list.js';
import { type AccountQuota, noAccountQuota } from '../quota/account-quota.js';
import type { MailUser, Namespace } from '../user.js';
import { createMemoryDriver, type MemoryDriverOptions } from './driver.js';
import { createMemoryTree } from './tree.js';

export interface MemoryAccountOptions extends MemoryDriverOptions {
  readonly name?: string;
  /** The first one without `inbox` unless told: prefix '', separator `/`, INBOX in it. */
  readonly namespaces?: readonly Partial<Namespace>[];
  /** Of the first namespace. */
  readonly configured?: readonly ConfiguredMailbox[];
  readonly quota?: AccountQuota;
  readonly log?: Logger;
}

/**
 * An account in memory, with every rule of names and lists that accounts on disk have.
 * @returns opens it; sessions of one user call it once each
 */
export function createMemoryAccount(options: MemoryAccountOptions = {}): () => MailUser {
  const driver = createMemoryDriver(options);
  const specialUses = createMemorySpecialUses();
  const attributes = createMemoryAttributes();
  const acls = createMemoryAcls();
  const namespaces = (options.namespaces ?? [{}]).map(
    (namespace, index): AccountNamespace => ({
      namespace: {
        type: 'private',
        prefix: '',
        separator: '/',
        isInbox: index === 0,
        isHidden: false,
        list: 'yes',
        subscriptions: true,
        ...namespace,
      },
      tree: createMemoryTree(driver, `/memory/${index}`),
      configured: index === 0 ? (options.configured ?? []) : [],
      isReadOnly: false,
    }),
  );
  return () =>
    new Account({
      name: options.name ?? 'anna',
      namespaces,
      driver,
      quota: options.quota ?? noAccountQuota,
      specialUses,
      attributes,
      acls,
      expiresMessages: false,
      isForDelivery: false,
      log: options.log ?? silentLogger,
    });
}
