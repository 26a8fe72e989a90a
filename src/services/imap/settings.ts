import { boolean, choice, defineSettings, list, type SettingsOf, size, string, time, uint } from '#config/define.js';
import { mailSettings } from '#config/groups/mail.js';
import type { SettingsSource } from '#config/settings-source.js';

/** Settings of the imap service, under Dovecot's names. */
export const imapSettings = defineSettings('imap', {
  imap_max_line_length: size('64k', 'Longest command line. Literals of one command together may be as long again.'),
  imap_idle_notify_interval: time('2 mins', 'How often IDLE says that it is still there, for middleboxes that forget quiet connections.'),
  imap_capability: string('', 'Replaces the CAPABILITY list; with a leading + adds to it.'),
  imap_client_workarounds: list('', 'delay-newmail, tb-extra-mailbox-sep, tb-lsub-flags.'),
  imap_logout_format: string(
    'in=%i out=%o deleted=%{deleted} expunged=%{expunged} trashed=%{trashed} hdr_count=%{fetch_hdr_count} hdr_bytes=%{fetch_hdr_bytes} body_count=%{fetch_body_count} body_bytes=%{fetch_body_bytes}',
    'What the log line at the end of a session says. %i and %o are octets received and sent.',
  ),
  imap_id_send: string('name *', 'ID fields sent to clients: names and values; * gives the default value.'),
  imap_id_log: string('', 'ID fields of clients to log: names, or * for all.'),
  imap_id_retain: boolean('no', 'Give the ID fields that the client sent before login to the authentication, as %{client_id}.'),
  imap_fetch_failure: choice(
    ['disconnect-immediately', 'disconnect-after', 'no-after'],
    'disconnect-immediately',
    'When a message cannot be read: end the connection at once, after the other messages, or only answer NO.',
  ),
  imap_metadata: boolean('no', 'Offer METADATA.'),
  imap_acl: boolean('no', 'Offer ACL: the owner of a mailbox may limit what is done with it.'),
  imap_literal_minus: boolean('no', 'Offer LITERAL- instead of LITERAL+: literals without waiting only up to 4 KB.'),
  imap_hibernate_timeout: time('0', 'Move idling connections to the imap-hibernate process after this time; 0 never.'),
  imap_fold_timeout: time(
    '5s',
    'Give up the memory of sessions that idle for this long, all but a socket and a few hundred octets, in processes that serve several clients; 0 never. Nobody notices.',
  ),
  imap_urlauth_host: string('', 'Host name in URLAUTH URLs; * accepts any.'),
  imap_urlauth_port: uint('143', 'Port in URLAUTH URLs.'),
  imap_urlauth_submit_user: string('', 'User of the mail submission server, who may fetch submit+ URLs.'),
  imap_append_limit: size('0', 'Largest message that APPEND takes, announced as APPENDLIMIT; 0 for no limit of its own.'),
  imap_message_limit: uint(
    '0',
    'Most messages that one SEARCH, FETCH, STORE, COPY, MOVE, UID EXPUNGE or APPEND works on, announced as MESSAGELIMIT (not below 1000 for clients in the field); 0 for no limit.',
  ),
  imap_save_limit: uint('0', 'The same for COPY and APPEND alone, announced as SAVELIMIT; used where imap_message_limit is 0.'),
  imap_compress: boolean('yes', 'Offer COMPRESS=DEFLATE.'),
  imap_rev2: boolean('yes', 'Offer IMAP4rev2 (RFC 9051), which clients turn on by ENABLE.'),
  imap_unauthenticate: boolean('yes', 'Offer UNAUTHENTICATE: a client may leave its user and log in again on the same connection.'),
  rawlog_dir: string('', 'Write the traffic of each session into files in this folder when it exists.'),
});

export type ImapSettings = SettingsOf<typeof imapSettings>;

/** ACL is also offered as in Dovecot, by `mail_plugins = acl imap_acl`. The same object for the same settings. */
export function imapSettingsOf(source: SettingsSource): ImapSettings {
  const settings = source.get(imapSettings);
  if (settings.imap_acl) return settings;
  const known = withAcl.get(settings);
  if (known !== undefined) return known;
  const wanted = source.get(mailSettings).mail_plugins.includes('imap_acl') ? { ...settings, imap_acl: true } : settings;
  withAcl.set(settings, wanted);
  return wanted;
}

const withAcl = new WeakMap<ImapSettings, ImapSettings>();
