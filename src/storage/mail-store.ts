// What a mail process opens its users with: one store per process.
import type { SettingsGroup } from '#config/define.js';
import { mailSettings } from '#config/groups/mail.js';
import type { SettingsSource } from '#config/settings-source.js';
import type { Logger } from '#log/logger.js';
import type { MailboxDriver } from './driver.js';
import { createMaildirDriver } from './maildir/driver.js';
import { defaultMaildirOptions } from './maildir/options.js';
import { createUserOpener, type UserOpener } from './open-user.js';
import type { FindUser } from './owner-directory.js';

/** What a role that opens mail lists in its `settings` and `sections`. */
export const mailStoreSettings: readonly SettingsGroup[] = [mailSettings];
export const mailStoreSections: readonly string[] = ['namespace', 'plugin', 'service'];

export interface MailStore extends UserOpener {
  /** After the last user was closed. */
  close(): Promise<void>;
}

export interface MailStoreOptions {
  readonly settings: SettingsSource;
  readonly log: Logger;
  /** Maildir unless told. */
  readonly driver?: MailboxDriver;
  /** For mailboxes of other users (`namespace { type = shared }`). */
  readonly findUser?: FindUser | undefined;
}

export function createMailStore({ settings, log, driver = createDriver(settings, log), findUser }: MailStoreOptions): MailStore {
  const opener = createUserOpener({ settings, log, driver, findUser });
  return {
    openUser: (user, service, signal) => opener.openUser(user, service, signal),
    close: () => driver.close(),
  };
}

function createDriver(settings: SettingsSource, log: Logger): MailboxDriver {
  const mail = settings.get(mailSettings);
  return createMaildirDriver({
    ...defaultMaildirOptions,
    fsync: mail.mail_fsync,
    lockTimeoutMs: mail.mail_max_lock_timeout === 0 ? defaultMaildirOptions.lockTimeoutMs : mail.mail_max_lock_timeout,
    maxKeywordLength: mail.mail_max_keyword_length,
    copyWithHardlinks: mail.maildir_copy_with_hardlinks,
    veryDirtySyncs: mail.maildir_very_dirty_syncs,
    ignoreSizesInNames: mail.maildir_broken_filename_sizes,
    emptyNew: mail.maildir_empty_new,
    pollMs: mail.mailbox_idle_check_interval,
    tmpScanMs: mail.mail_temp_scan_interval,
    log,
  });
}
