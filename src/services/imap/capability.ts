// The CAPABILITY list after login.
import type { Session } from './session.js';

/** In Dovecot's order where it has them, then ours. Each is listed only when it works. */
const always = [
  'IMAP4rev1',
  'SASL-IR',
  'LOGIN-REFERRALS',
  'ID',
  'ENABLE',
  'IDLE',
  'SORT',
  'SORT=DISPLAY',
  'THREAD=REFERENCES',
  'THREAD=REFS',
  'THREAD=ORDEREDSUBJECT',
  'MULTIAPPEND',
  'CATENATE',
  'URL-PARTIAL',
  'UNSELECT',
  'CHILDREN',
  'NAMESPACE',
  'UIDPLUS',
  'LIST-EXTENDED',
  'I18NLEVEL=1',
  'CONDSTORE',
  'QRESYNC',
  'ESEARCH',
  'ESORT',
  'MULTISEARCH',
  'SEARCHRES',
  'WITHIN',
  'PARTIAL',
  'CONTEXT=SEARCH',
  'CONTEXT=SORT',
  'INPROGRESS',
  'NOTIFY',
  'LIST-STATUS',
  'BINARY',
  'MOVE',
  'PREVIEW',
  'STATUS=SIZE',
  'SAVEDATE',
  'OBJECTID',
  'SPECIAL-USE',
  'CREATE-SPECIAL-USE',
  'QUOTA',
  'QUOTA=RES-STORAGE',
  'QUOTA=RES-MESSAGE',
  'QUOTA=RES-MAILBOX',
  'REPLACE',
  'UTF8=ACCEPT',
  'UIDONLY',
] as const;

/** The settings that decide about capabilities; the login process advertises the same after login. */
export interface CapabilityFacts {
  readonly imap_capability: string;
  readonly imap_literal_minus: boolean;
  readonly imap_append_limit: number;
  readonly imap_message_limit: number;
  readonly imap_save_limit: number;
  readonly imap_compress: boolean;
  readonly imap_rev2: boolean;
  readonly imap_metadata: boolean;
  readonly imap_acl: boolean;
  readonly imap_urlauth_host: string;
}

/** What differs between sessions with the same settings. */
export interface SessionFacts {
  readonly isCompressed: boolean;
  readonly canUnauthenticate: boolean;
  readonly canSetQuota: boolean;
}

const greetings = [0, 1, 2, 3].map(() => new WeakMap<CapabilityFacts, string>());

/** For the reply to a login. Settings are one object for all sessions that they hold for. */
export function capabilitiesAtLogin(settings: CapabilityFacts, facts: Omit<SessionFacts, 'isCompressed'>): string {
  const known = greetings[(facts.canUnauthenticate ? 1 : 0) + (facts.canSetQuota ? 2 : 0)];
  let list = known?.get(settings);
  if (list === undefined) {
    list = capabilities(settings, { ...facts, isCompressed: false });
    known?.set(settings, list);
  }
  return list;
}

export function capabilities(settings: CapabilityFacts, { isCompressed, canUnauthenticate, canSetQuota }: SessionFacts): string {
  const custom = settings.imap_capability.trim();
  if (custom !== '' && !custom.startsWith('+')) return custom;
  const list: string[] = [...always];
  if (settings.imap_rev2) list.splice(1, 0, 'IMAP4rev2');
  list.push(settings.imap_literal_minus ? 'LITERAL-' : 'LITERAL+');
  list.push(settings.imap_append_limit > 0 ? `APPENDLIMIT=${settings.imap_append_limit}` : 'APPENDLIMIT');
  if (settings.imap_message_limit > 0) list.push(`MESSAGELIMIT=${settings.imap_message_limit}`);
  else if (settings.imap_save_limit > 0) list.push(`SAVELIMIT=${settings.imap_save_limit}`);
  if (settings.imap_compress && !isCompressed) list.push('COMPRESS=DEFLATE');
  if (canSetQuota) list.push('QUOTASET');
  if (canUnauthenticate) list.push('UNAUTHENTICATE');
  if (settings.imap_metadata) list.push('METADATA', 'LIST-METADATA');
  if (settings.imap_urlauth_host !== '') list.push('URLAUTH');
  if (settings.imap_acl) list.push('ACL', 'RIGHTS=texk', 'LIST-MYRIGHTS');
  for (const extra of custom.slice(1).split(/\s+/)) if (extra !== '' && !list.includes(extra)) list.push(extra);
  return list.join(' ');
}

export function capabilitiesOf(session: Session): string {
  const { settings, input, canUnauthenticate, user } = session;
  return capabilities(settings, { isCompressed: input.isCompressed, canUnauthenticate, canSetQuota: user.canSetQuota });
}
