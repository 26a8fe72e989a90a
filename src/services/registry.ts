// Every settings group there is, so that reading a configuration knows each key. A role adds its groups here, by importing its settings file
// only (`#services/imap/settings.js`), never its main.ts: this list is loaded by `roost` and `roostadm`.
// The same key may stand in two groups if type and default are equal.
import type { SettingsGroup } from '#config/define.js';
import { generalSettings, loggingSettings } from '#config/groups/general.js';
import { mailSettings } from '#config/groups/mail.js';
import { deliverySettings, lmtpSettings, smtpSettings } from '#delivery/settings.js';
import { loginSettings } from '#pre-auth/settings.js';
import { kitSettings } from '#service-kit/settings.js';
import { authSettings } from '#services/auth/settings.js';
import { imapSettings } from '#services/imap/settings.js';
import { pop3Settings } from '#services/pop3/settings.js';

export const settingsGroups: readonly SettingsGroup[] = [
  generalSettings,
  loggingSettings,
  mailSettings,
  ...kitSettings,
  authSettings,
  loginSettings,
  deliverySettings,
  imapSettings,
  pop3Settings,
  lmtpSettings,
  smtpSettings,
];
