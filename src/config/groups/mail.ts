// Settings of every process that opens mail: imap, pop3, lmtp, smtp, imap-hibernate and the administrator's commands.
import { boolean, choice, defineSettings, list, string, time, uint } from '../define.js';

/** Names of mail_plugins whose work Roost does; others are accepted, and named in the warning about settings without effect. */
export const implementedPlugins: ReadonlySet<string> = new Set(['quota', 'imap_quota', 'acl', 'imap_acl', 'imap_zlib']);

export const mailSettings = defineSettings('mail', {
  mail_location: string('', 'Where mail is: maildir:~/Maildir; empty: looked for in the usual places'),
  mail_home: string('', 'Home directory of users whose userdb gives none'),
  mail_uid: string('', 'User id of mail processes for users whose userdb gives none'),
  mail_gid: string('', 'Group id of mail processes for users whose userdb gives none'),
  mail_access_groups: list('', 'Further groups of mail processes'),
  mail_plugins: list('', 'Optional parts to load'),
  mail_fsync: choice(
    ['optimized', 'always', 'never'],
    'optimized',
    'When to force data to disk; optimized: before a message is acknowledged; always: flags and expunges too, and a message before it has its name',
  ),
  mail_max_keyword_length: uint('50', 'Longest keyword (user-defined flag)'),
  mail_max_lock_timeout: time('0', 'Longest wait for any lock; 0: what each kind of lock has'),
  mail_max_userip_connections: uint('50', 'Connections of one user from one address; 0: no limit. Dovecot has 10, too few behind NAT', {
    unlimited: true,
  }),
  mail_shared_explicit_inbox: boolean('no', 'INBOX of another user is shared/USER/INBOX instead of shared/USER'),
  mail_temp_scan_interval: time('1 weeks', 'How often left-over files in tmp/ are looked for; 0: never'),
  mailbox_idle_check_interval: time('30 secs', 'How often mailboxes in IDLE are looked at where the kernel cannot tell of changes'),
  maildir_stat_dirs: boolean('no', 'Accepted: only directories and links to them are listed as mailboxes in any case'),
  maildir_copy_with_hardlinks: boolean('yes', 'Copy messages by linking'),
  maildir_very_dirty_syncs: boolean('no', 'Trust that nobody else changes the Maildirs'),
  maildir_broken_filename_sizes: boolean('no', 'Do not trust sizes in file names'),
  maildir_empty_new: boolean('no', 'Always move messages from new/ to cur/'),
  first_valid_uid: uint('500', 'Lowest user id a user may have'),
  last_valid_uid: uint('0', 'Highest user id a user may have; 0: no limit', { unlimited: true }),
  first_valid_gid: uint('1', 'Lowest primary group id a user may have'),
  last_valid_gid: uint('0', 'Highest primary group id a user may have; 0: no limit', { unlimited: true }),
});
