// IMAP URLs (RFC 5092, RFC 5593) as CATENATE and URLAUTH use them: absolute (`imap://anna@host/INBOX/;UID=20/;SECTION=1.2`), of this server
// (`/INBOX;UIDVALIDITY=7/;UID=20`) or of the selected mailbox (`/;UID=20`, `;UID=20`).
import { encodeAstring } from './encoder.js';
import { parseUrlSection, type Section } from './fetch-item.js';

export interface ImapUrl {
  /** Undefined in a relative URL. */
  readonly server: { readonly user: string | undefined; readonly host: string; readonly port: number } | undefined;
  /** Undefined: the selected one. UTF-8. */
  readonly mailbox: string | undefined;
  readonly uidValidity: number | undefined;
  readonly uid: number;
  readonly section: Section;
  /** RFC 5550 URL-PARTIAL: `;PARTIAL=offset.length`. */
  readonly partial: { readonly offset: number; readonly length: number } | undefined;
  readonly access: UrlAccess | undefined;
}

/** RFC 4467 2. */
export interface UrlAccess {
  /** ms since the epoch. */
  readonly expiresMs: number | undefined;
  readonly kind: 'anonymous' | 'authuser' | 'user' | 'submit';
  /** Of `user+` and `submit+`. */
  readonly user: string | undefined;
  /** The URL without mechanism and token: what the token stands for. */
  readonly rump: string;
  /** Undefined: a rump URL as GENURLAUTH takes it. */
  readonly token: { readonly mechanism: string; readonly value: string } | undefined;
}

const maxUrlChars = 8192;
/** Of a URL in a response code. */
const maxShownChars = 1000;
const wholeMessage: Section = { path: [], part: { kind: 'all' } };

/** @param url one char per octet @returns undefined when it is not a URL of a message */
export function parseImapUrl(url: string): ImapUrl | undefined {
  if (url.length > maxUrlChars || !/^[\x21-\x7e]*$/.test(url)) return undefined;
  const absolute = /^imap:\/\/([^/]*)(\/.*)$/is.exec(url);
  const server = absolute === null ? undefined : parseServer(absolute[1] ?? '');
  if ((absolute === null && /^[a-z][a-z0-9+.-]*:/i.test(url)) || (absolute !== null && server === undefined)) return undefined;
  const path = absolute?.[2] ?? url;
  const access = parseAccess(path, url);
  if (access === 'bad' || (access !== undefined && server === undefined)) return undefined;
  const location = access === undefined ? path : path.slice(0, access.start);
  const match =
    /^(?:\/(?:([^;]+?)(?:;UIDVALIDITY=([1-9]\d{0,9}))?\/)?)?;UID=(\d{1,10})(?:\/;SECTION=([^;]+?))?(?:\/;PARTIAL=(\d{1,10})(?:\.([1-9]\d{0,9}))?)?$/i.exec(
      location,
    );
  if (match === null) return undefined;
  const [, rawMailbox, uidValidity, uid, rawSection, offset, length] = match;
  const mailbox = rawMailbox === undefined ? undefined : decodePercent(rawMailbox.replace(/\/$/, ''));
  const section = rawSection === undefined ? wholeMessage : sectionOf(decodePercent(rawSection));
  if ((rawMailbox !== undefined && (mailbox === undefined || mailbox === '')) || section === undefined) return undefined;
  if (Number(uid) === 0 || Number(uid) > 4294967295) return undefined;
  return {
    server,
    mailbox,
    uidValidity: uidValidity === undefined ? undefined : Number(uidValidity),
    uid: Number(uid),
    section,
    partial:
      offset === undefined
        ? undefined
        : { offset: Number(offset), length: length === undefined ? Number.MAX_SAFE_INTEGER : Number(length) },
    access: access?.access,
  };
}

/**
 * The response code that tells which URL was wrong (RFC 4469 4.1). What could end the code or the line is percent-encoded, and a long URL is cut.
 * @param url any octets, as the client sent them
 */
export function encodeBadUrl(url: string): string {
  const text = url.slice(0, maxShownChars).replace(/[^\x20-\x7e]|["\\\]]/g, (octet) => {
    return `%${octet.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
  });
  return `BADURL ${encodeAstring(text)}`;
}

function sectionOf(text: string | undefined): Section | undefined {
  return text === undefined ? undefined : parseUrlSection(text);
}

/** `anna;AUTH=*@host:143` */
function parseServer(text: string): ImapUrl['server'] {
  const match = /^(?:([^@;]*)(?:;AUTH=[^@]*)?@)?(\[[0-9a-f:.]+\]|[^@:[\]]+)(?::(\d{1,5}))?$/i.exec(text);
  if (match === null) return undefined;
  const [, rawUser, host = '', port = '143'] = match;
  const user = rawUser === undefined || rawUser === '' ? undefined : decodePercent(rawUser);
  if ((rawUser !== undefined && rawUser !== '' && user === undefined) || Number(port) > 65_535) return undefined;
  return { user, host: host.toLowerCase(), port: Number(port) };
}

function parseAccess(path: string, url: string): { readonly start: number; readonly access: UrlAccess } | 'bad' | undefined {
  const match = /(?:;EXPIRE=([^;]*))?;URLAUTH=([^:;]*)(?::([A-Z0-9.-]+):([0-9a-f]{32,}))?$/i.exec(path);
  if (match === null) return /;(?:URLAUTH|EXPIRE)=/i.test(path) ? 'bad' : undefined;
  const [, expire, rawAccess = '', mechanism, value] = match;
  const expiresMs = expire === undefined ? undefined : Date.parse(expire);
  const access = /^(anonymous|authuser|(user|submit)\+(.+))$/i.exec(rawAccess);
  const isDate = expire === undefined || /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/i.test(expire);
  if (access === null || !isDate || Number.isNaN(expiresMs)) return 'bad';
  const user = access[3] === undefined ? undefined : decodePercent(access[3]);
  if (access[3] !== undefined && user === undefined) return 'bad';
  const kind = (access[2] ?? access[1] ?? '').toLowerCase() as UrlAccess['kind'];
  const token =
    mechanism === undefined || value === undefined ? undefined : { mechanism: mechanism.toUpperCase(), value: value.toLowerCase() };
  const rump = token === undefined ? url : url.slice(0, url.length - `:${mechanism}:${value}`.length);
  return { start: match.index, access: { expiresMs, kind, user, rump, token } };
}

/** %XX of UTF-8; undefined when it is none. */
function decodePercent(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
