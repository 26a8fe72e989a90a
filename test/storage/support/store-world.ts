// A mail store over real configuration text and Maildirs in a temporary directory.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { loadConfig } from '#config/load.js';
import { packSettings, unpackSettings } from '#config/pack.js';
import type { SettingsSource } from '#config/settings-source.js';
import { type Logger, silentLogger } from '#log/logger.js';
import type { Role } from '#service-kit/role.js';
import { settingsGroups } from '#services/registry.js';
import { createMailStore, type MailStore, mailStoreSections, mailStoreSettings } from '#storage/mail-store.js';
import type { UserdbUser } from '#storage/open-user.js';
import type { MailUser } from '#storage/user.js';
import { never } from '../../contract/world.js';

const mailStoreRole = { name: 'imap', settings: mailStoreSettings, sections: mailStoreSections };

export interface StoreWorld {
  /** Also the home of every user, as `home/USER`. */
  readonly folder: string;
  readonly store: MailStore;
  open(fields?: Readonly<Record<string, string>>, options?: { readonly user?: string; readonly service?: string }): Promise<MailUser>;
}

/** @param role whose settings; of a mail store alone unless told */
export function settingsFrom(
  folder: string,
  config: string,
  role: Pick<Role, 'name' | 'settings' | 'sections'> = mailStoreRole,
): SettingsSource {
  const path = join(folder, 'roost.conf');
  writeFileSync(path, config);
  const resolved = loadConfig(path, { groups: settingsGroups, checksMachine: false });
  const errors = resolved.problems.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) throw new Error(JSON.stringify(errors));
  return unpackSettings(packSettings(resolved, { name: role.name, protocol: role.name }, role.settings, role.sections));
}

/**
 * @param config `FOLDER` stands for the temporary directory
 * @param isUser whom userdb knows, with the fields that the user was opened with
 */
export function makeStore(
  test: TestContext,
  config = 'mail_location = maildir:~/Maildir',
  log: Logger = silentLogger,
  isUser: (name: string) => boolean = () => true,
): StoreWorld {
  const folder = mkdtempSync(join(tmpdir(), 'roost-store-'));
  const findUser = async (name: string): Promise<UserdbUser | undefined> =>
    isUser(name) ? { user: name, fields: { home: join(folder, 'home', name), ...fieldsOf.get(name) } } : undefined;
  const fieldsOf = new Map<string, Readonly<Record<string, string>>>();
  const store = createMailStore({ settings: settingsFrom(folder, config.replaceAll('FOLDER', folder)), log, findUser });
  test.after(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    folder,
    store,
    open(fields = {}, { user = 'bob', service = 'imap' } = {}) {
      const home = join(folder, 'home', user);
      fieldsOf.set(user, fields);
      mkdirSync(home, { recursive: true });
      return store.openUser({ user, fields: { home, ...fields } }, service, never);
    },
  };
}
