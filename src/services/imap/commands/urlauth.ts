// URLAUTH (RFC 4467): GENURLAUTH, RESETKEY, URLFETCH. Keys are attributes of the mailboxes, tokens are HMAC-SHA1 of the rump URL.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { parseGenUrlAuth, parseResetKey, parseUrlFetch } from '#protocol/imap/commands/urlauth.js';
import { encodeAstring } from '#protocol/imap/encoder.js';
import { type ImapUrl, parseImapUrl } from '#protocol/imap/imap-url.js';
import { StorageError } from '#storage/errors.js';
import { type CommandCall, row } from '../command-spec.js';
import { BrokenLiteralError } from '../fetch-content.js';
import { bad, no, type Outcome, ok } from '../outcome.js';
import type { Session } from '../session.js';
import { openUrl, type UrlContent } from '../url-content.js';

const keyAttribute = 'urlauth-key';
const keyBytes = 32;
/** First octet of a token: how it was made. */
const tokenVersion = '01';
const off = bad('URLAUTH disabled.');

const isOn = (session: Session): boolean => session.settings.imap_urlauth_host !== '';

function tokenOf(key: Buffer, rump: string): string {
  return tokenVersion + createHmac('sha1', key).update(rump, 'latin1').digest('hex');
}

/** A full URL of this server with an access part. */
function isForUs({ settings }: Session, { server, access }: ImapUrl): boolean {
  if (server === undefined || access === undefined) return false;
  const host = settings.imap_urlauth_host;
  return (host === '*' || host.toLowerCase() === server.host) && server.port === settings.imap_urlauth_port;
}

async function keyOf(session: Session, mailbox: string, signal: AbortSignal): Promise<Buffer | undefined> {
  return (await session.user.readAttributes(mailbox, signal)).get(keyAttribute);
}

export const genUrlAuthRow = row({
  name: 'GENURLAUTH',
  state: 'authenticated',
  flags: [],
  parse: parseGenUrlAuth,
  async run(session, { urls }, { signal }) {
    if (!isOn(session)) return off;
    const made: string[] = [];
    for (const { url, mechanism } of urls) {
      if (mechanism !== 'INTERNAL') return bad('Unsupported URLAUTH mechanism.');
      const parsed = parseImapUrl(url);
      if (parsed?.mailbox === undefined || !isForUs(session, parsed) || parsed.access?.token !== undefined)
        return bad('Invalid URL.', `BADURL ${encodeAstring(url)}`);
      if (parsed.server?.user !== session.user.name) return no('This URL is not of your account.', `BADURL ${encodeAstring(url)}`);
      let key = await keyOf(session, parsed.mailbox, signal);
      if (key === undefined) {
        key = randomBytes(keyBytes);
        await session.user.changeAttributes(parsed.mailbox, new Map([[keyAttribute, key]]), signal);
      }
      made.push(encodeAstring(`${url}:INTERNAL:${tokenOf(key, url)}`));
    }
    session.text(`* GENURLAUTH ${made.join(' ')}\r\n`);
    return ok('Genurlauth completed.');
  },
});

async function resetAll(session: Session, signal: AbortSignal): Promise<void> {
  for (const entry of await session.user.list(['*'], { subscribedOnly: false }, signal)) {
    if (!entry.exists || !entry.isSelectable) continue;
    if ((await keyOf(session, entry.name, signal)) !== undefined)
      await session.user.changeAttributes(entry.name, new Map([[keyAttribute, undefined]]), signal);
  }
}

export const resetKeyRow = row({
  name: 'RESETKEY',
  state: 'authenticated',
  flags: [],
  parse: parseResetKey,
  async run(session, { mailbox, mechanisms }, { signal }) {
    if (!isOn(session)) return off;
    if (mechanisms.some((mechanism) => mechanism !== 'INTERNAL')) return bad('Unsupported URLAUTH mechanism.');
    if (mailbox === undefined) await resetAll(session, signal);
    else await session.user.changeAttributes(mailbox, new Map([[keyAttribute, randomBytes(keyBytes)]]), signal);
    return ok('Key removed.', 'URLMECH INTERNAL');
  },
});

/** True when the token is right, the URL has not expired and this user may use it. */
async function isAllowed(session: Session, url: ImapUrl, signal: AbortSignal): Promise<boolean> {
  const { access, mailbox } = url;
  if (!isForUs(session, url) || access?.token?.mechanism !== 'INTERNAL' || mailbox === undefined) return false;
  if (url.server?.user !== session.user.name) return false;
  if (access.expiresMs !== undefined && access.expiresMs <= session.now()) return false;
  // submit+ is for submission servers, whose sessions this process does not have.
  if (access.kind === 'submit' || (access.kind === 'user' && access.user !== session.user.name)) return false;
  let key: Buffer | undefined;
  try {
    key = await keyOf(session, mailbox, signal);
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
  }
  if (key === undefined) return false;
  const expected = Buffer.from(tokenOf(key, access.rump));
  const given = Buffer.from(access.token.value);
  return expected.length === given.length && timingSafeEqual(expected, given);
}

async function writeUrl(session: Session, url: string, content: UrlContent): Promise<void> {
  session.text(`* URLFETCH ${encodeAstring(url)} {${content.size}}\r\n`);
  try {
    for await (const chunk of content.chunks()) {
      session.output.octets(chunk);
      if (session.output.isFull) await session.output.drain();
    }
  } catch (error) {
    throw new BrokenLiteralError(`message cannot be read: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  session.text('\r\n');
}

async function fetchUrls(session: Session, urls: readonly string[], { signal }: CommandCall): Promise<Outcome> {
  if (!isOn(session)) return off;
  for (const text of urls) {
    const url = parseImapUrl(text);
    if (url === undefined) return bad('Invalid URL.', `BADURL ${encodeAstring(text)}`);
    const isFine = await isAllowed(session, url, signal);
    await using content = isFine ? await openUrl(session, url, signal) : undefined;
    if (content === undefined) session.text(`* URLFETCH ${encodeAstring(text)} NIL\r\n`);
    else await writeUrl(session, text, content);
  }
  return ok('Urlfetch completed.');
}

export const urlFetchRow = row({
  name: 'URLFETCH',
  state: 'authenticated',
  flags: [],
  parse: parseUrlFetch,
  run: (session, { urls }, call) => fetchUrls(session, urls, call),
});
