// URLAUTH (RFC 4467): GENURLAUTH, RESETKEY, URLFETCH. Keys are attributes of the mailboxes, tokens are HMAC-SHA1 of the rump URL.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { parseGenUrlAuth, parseResetKey, parseUrlFetch } from '#protocol/imap/commands/urlauth.js';
import { encodeAstring } from '#protocol/imap/encoder.js';
import { encodeBadUrl, type ImapUrl, parseImapUrl, type UrlAccess } from '#protocol/imap/imap-url.js';
import { StorageError } from '#storage/errors.js';
import type { MailUser } from '#storage/user.js';
import { type CommandCall, row } from '../command-spec.js';
import { BrokenLiteralError } from '../fetch-content.js';
import { bad, type Outcome, ok } from '../outcome.js';
import { demandRights, demandRightsOf } from '../rights.js';
import type { Session } from '../session.js';
import { hasUrlAuth, isThisServer, openUrlOf, type UrlContent } from '../url-content.js';

const keyAttribute = 'urlauth-key';
const keyBytes = 32;
/** First octet of a token: how it was made. */
const tokenVersion = '01';
const off = bad('URLAUTH disabled.');

function tokenOf(key: Buffer, rump: string): string {
  return tokenVersion + createHmac('sha1', key).update(rump, 'latin1').digest('hex');
}

/** A full URL of this server with an access part. */
function isForUs(session: Session, { server, access }: ImapUrl): boolean {
  return server !== undefined && access !== undefined && isThisServer(session, server);
}

/** Each user has a key of its own for each mailbox (RFC 4467 2). */
async function keyOf(user: MailUser, mailbox: string, signal: AbortSignal): Promise<Buffer | undefined> {
  return (await user.readAttributes(mailbox, signal)).get(keyAttribute);
}

/** The key of a mailbox, made when there is none. @returns undefined for a mailbox that is not there, which is BAD (RFC 4467 7 GENURLAUTH) */
async function keyFor(session: Session, mailbox: string, signal: AbortSignal): Promise<Buffer | undefined> {
  try {
    await demandRights(session, mailbox, 'r', signal);
    const known = await keyOf(session.user, mailbox, signal);
    if (known !== undefined) return known;
    // Of several sessions that make one at the same time all have the first: the URLs of the others could never be followed.
    return await session.user.keepAttribute(mailbox, keyAttribute, randomBytes(keyBytes), signal);
  } catch (error) {
    if (error instanceof StorageError && ['not-found', 'not-selectable', 'invalid-name'].includes(error.code)) return undefined;
    throw error;
  }
}

export const genUrlAuthRow = row({
  name: 'GENURLAUTH',
  state: 'authenticated',
  flags: [],
  parse: parseGenUrlAuth,
  async run(session, { urls }, { signal }) {
    if (!hasUrlAuth(session)) return off;
    const made: string[] = [];
    for (const { url, mechanism } of urls) {
      if (mechanism !== 'INTERNAL') return bad('Unsupported URLAUTH mechanism.');
      const parsed = parseImapUrl(url);
      if (parsed?.mailbox === undefined || !isForUs(session, parsed) || parsed.access?.token !== undefined)
        return bad('Invalid URL.', encodeBadUrl(url));
      if (parsed.server?.user !== session.user.name) return bad('This URL is not of your account.', encodeBadUrl(url));
      const key = await keyFor(session, parsed.mailbox, signal);
      if (key === undefined) return bad('Invalid URL: there is no such mailbox.', encodeBadUrl(url));
      made.push(encodeAstring(`${url}:INTERNAL:${tokenOf(key, url)}`));
    }
    session.text(`* GENURLAUTH ${made.join(' ')}\r\n`);
    return ok('Genurlauth completed.');
  },
});

async function resetAll(session: Session, signal: AbortSignal): Promise<void> {
  for (const entry of await session.user.list(['*'], { subscribedOnly: false }, signal)) {
    if (!entry.exists || !entry.isSelectable) continue;
    if ((await keyOf(session.user, entry.name, signal)) !== undefined)
      await session.user.changeAttributes(entry.name, new Map([[keyAttribute, undefined]]), signal);
  }
}

export const resetKeyRow = row({
  name: 'RESETKEY',
  state: 'authenticated',
  flags: [],
  parse: parseResetKey,
  async run(session, { mailbox, mechanisms }, { signal }) {
    if (!hasUrlAuth(session)) return off;
    if (mechanisms.some((mechanism) => mechanism !== 'INTERNAL')) return bad('Unsupported URLAUTH mechanism.');
    if (mailbox === undefined) await resetAll(session, signal);
    else await session.user.changeAttributes(mailbox, new Map([[keyAttribute, randomBytes(keyBytes)]]), signal);
    return ok('Key removed.', 'URLMECH INTERNAL');
  },
});

/** What can be said without looking at any mail: the URL is complete, of this server, has not expired, and this session may use it (RFC 4467 3, 9). */
function mayUse(session: Session, url: ImapUrl): boolean {
  const { access } = url;
  if (!isForUs(session, url) || access?.token?.mechanism !== 'INTERNAL' || url.mailbox === undefined || url.server?.user === undefined)
    return false;
  if (access.expiresMs !== undefined && access.expiresMs <= session.now()) return false;
  const { name } = session.user;
  switch (access.kind) {
    case 'user':
      return access.user === name;
    case 'submit':
      return name === session.settings.imap_urlauth_submit_user;
    case 'authuser':
    case 'anonymous':
      return true;
  }
}

/** The token is one that the URL's user was given. */
async function isGenuine(user: MailUser, mailbox: string, access: UrlAccess, signal: AbortSignal): Promise<boolean> {
  const key = await keyOf(user, mailbox, signal);
  if (key === undefined || access.token === undefined) return false;
  const expected = Buffer.from(tokenOf(key, access.rump));
  const given = Buffer.from(access.token.value);
  return expected.length === given.length && timingSafeEqual(expected, given);
}

/** What the user who made the URL may read now; nothing else tells whether there is such a user, mailbox or message. */
async function openAuthorized(session: Session, url: ImapUrl, accounts: Accounts, signal: AbortSignal): Promise<UrlContent | undefined> {
  const { access, mailbox, server } = url;
  if (!mayUse(session, url) || access === undefined || mailbox === undefined || server?.user === undefined) return undefined;
  try {
    const user = await accounts.open(server.user, signal);
    if (user === undefined || !(await isGenuine(user, mailbox, access, signal))) return undefined;
    const isGuarded = session.settings.imap_acl || user.enforcesAcl || user.ownerOf(mailbox) !== user.name;
    return await openUrlOf(
      user,
      mailbox,
      url,
      async (name) => {
        if (isGuarded) await demandRightsOf(user, name, 'r', signal);
      },
      signal,
    );
  } catch (error) {
    if (!(error instanceof StorageError)) throw error;
    session.log.debug('imap.urlfetch', `URL of ${server.user} cannot be followed: ${error.message}`, { error });
    return undefined;
  }
}

/** The accounts that the URLs of one command are of. */
class Accounts implements AsyncDisposable {
  readonly #own: MailUser;
  readonly #others = new Map<string, MailUser | undefined>();

  constructor(own: MailUser) {
    this.#own = own;
  }

  async open(name: string, signal: AbortSignal): Promise<MailUser | undefined> {
    if (name === this.#own.name) return this.#own;
    if (this.#others.has(name)) return this.#others.get(name);
    const other = await this.#own.openOther(name, signal);
    this.#others.set(name, other);
    return other;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const other of this.#others.values()) await other?.[Symbol.asyncDispose]();
  }
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
  if (!hasUrlAuth(session)) return off;
  await using accounts = new Accounts(session.user);
  for (const text of urls) {
    const url = parseImapUrl(text);
    // RFC 4467 7: NIL for whatever is no part of a message, too.
    await using content = url === undefined ? undefined : await openAuthorized(session, url, accounts, signal);
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
