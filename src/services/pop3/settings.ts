import { boolean, choice, defineSettings, list, string } from '#config/define.js';

export const pop3Settings = defineSettings('pop3', {
  pop3_uidl_format: string('%08Xu%08Xv', 'UIDL of a message: %v UIDVALIDITY, %u UID, %m MD5 of the header, %f file name, %g GUID.'),
  pop3_no_flag_updates: boolean('no', 'Do not set \\Seen on RETR.'),
  pop3_enable_last: boolean('no', 'Offer the LAST command.'),
  pop3_lock_session: boolean('no', 'Refuse a second POP3 session of the same user in the same process while one is open.'),
  pop3_fast_size_lookups: boolean('no', 'Accepted: sizes are always taken from the index.'),
  pop3_client_workarounds: list('', 'outlook-no-nuls: send NUL as 0x80; oe-ns-eoh: end the header of a message that has none.'),
  pop3_logout_format: string(
    'top=%t/%p, retr=%r/%b, del=%d/%m, size=%s',
    'Logout line: %t %p TOP count and octets, %r %b RETR, %d deleted of %m, %s octets, %i %o in and out.',
  ),
  pop3_uidl_duplicates: choice(['allow', 'rename'], 'allow', 'rename: a repeated UIDL gets -2, -3, ... appended.'),
  pop3_delete_type: choice(['default', 'expunge', 'flag'], 'default', 'What DELE does at QUIT: expunge, or only set pop3_deleted_flag.'),
  pop3_deleted_flag: string('', 'Flag set instead of expunging; messages that carry it are hidden.'),
});
