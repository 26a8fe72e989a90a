// A session that is served: from its hand-off, or from where it was folded or left another process, to its end or until it is folded.
import type { Duplex } from 'node:stream';
import type { ClaimOpener } from '#auth/claim-token.js';
import type { AuthMasterClient, UserFields } from '#auth/client.js';
import { userUid } from '#auth/user-uid.js';
import type { HandoffRequest } from '#ipc/peer.js';
import type { Logger } from '#log/logger.js';
import type { GoBack } from '#pre-auth/direct.js';
import { encodeResponseText } from '#protocol/imap/encoder.js';
import { Handed } from '#service-kit/handed.js';
import type { HandedConnection, ServiceContext } from '#service-kit/role.js';
import type { Mailbox } from '#storage/mailbox.js';
import type { MailUser } from '#storage/user.js';
import type { UserLease, UserPool } from '#storage/user-pool.js';
import { LazyAbort } from '#util/lazy-abort.js';
import { capabilitiesAtLogin } from './capability.js';
import { formatIdLog } from './commands/id.js';
import { defaultIdleTimeoutMs, ImapConnection, type StopReason } from './connection.js';
import type { FoldedSession, FoldedSessions, FoldOrder } from './folded-sessions.js';
import { passToHibernation, readMovedSession } from './moved-session.js';
import type { SessionState } from './session-state.js';
import { type ImapSettings, imapSettingsOf } from './settings.js';

/** How long auth may take to tell who has logged in. */
const loginTimeoutMs = 60_000;
/** Made once: an error takes down where it was made, which costs more than the rest of a login's timers. */
const tooLate = new Error(`the login took longer than ${loginTimeoutMs} ms`);
const gone = new Error('the client is gone');
/** Of a connection that nobody is logged in on. */
const noLogin = { authPid: 0, authId: 0, cookie: '', fields: {} } as const;
const failureText = '[UNAVAILABLE] Internal login failure. Refer to server log for more information.';

/** What all sessions of a process share. */
export interface SessionParts {
  readonly context: ServiceContext;
  readonly auth: AuthMasterClient;
  readonly claims: ClaimOpener | undefined;
  readonly users: UserPool;
  /** Undefined where sessions are not folded. */
  readonly folded: FoldedSessions | undefined;
  /** Opening an account waits for nothing, so it need not be given up. */
  readonly never: AbortSignal;
}

export interface ServedOptions {
  /** Who has logged in, where nobody needs to be asked. */
  readonly known: UserFields | undefined;
  /** Where the client can log in again, when that is in this process. */
  readonly goBack: GoBack | undefined;
  /** It was folded, and this is it. */
  readonly unfolded?: { readonly from: FoldedSession; readonly state: SessionState } | undefined;
  /** Before anything else happens with the stream. */
  readonly fold: (order: FoldOrder) => void;
  /** The session is no user's any more: no limit should count it. */
  readonly disconnected: () => void;
}

/** How the serving of a session ended. `back`: the stream belongs to the login part of this process. */
export type ServedEnd = 'ended' | 'back' | 'folded';

export class ServedSession {
  readonly #parts: SessionParts;
  readonly #options: ServedOptions;
  #handed: HandedConnection;
  readonly #log: Logger;
  readonly #startUp = new LazyAbort();
  #connection: ImapConnection | undefined;
  #serving: Promise<void> | undefined;
  #stopReason: StopReason | undefined;
  /** The client is, so that nobody is there to be told of a failure. */
  #isGone = false;
  #isBack = false;
  #isFolded = false;

  readonly #onGoneEarly = (): void => {
    this.#isGone = true;
    this.#startUp.abort(gone);
  };

  constructor(parts: SessionParts, handed: HandedConnection, options: ServedOptions) {
    this.#parts = parts;
    this.#options = options;
    this.#handed = handed;
    const { user, sessionId, peer } = handed.request;
    this.#log = parts.context.log.child(
      { user, sessionId, remoteIp: peer.remoteIp },
      ['imap(', user, ')<', process.pid, '><', sessionId, '>: '].join(''),
    );
    // Until the session listens itself, a client that goes away must not bring the process down.
    handed.stream.on('error', this.#onGoneEarly);
  }

  /** Never rejects. */
  run(): Promise<ServedEnd> {
    return this.#open()
      .then(() => this.#serving)
      .catch((error: unknown) => this.#fail(error))
      .then(() => (this.#isFolded ? 'folded' : this.#isBack ? 'back' : 'ended'));
  }

  get request(): HandoffRequest {
    return this.#handed.request;
  }

  get runningCommand(): string | undefined {
    return this.#connection?.runningCommand;
  }

  stop(reason: 'shutdown' | 'kicked' | 'queue-full'): void {
    this.#stopReason ??= reason;
    this.#connection?.stop(reason);
  }

  async #open(): Promise<void> {
    const { context, claims, users, never } = this.#parts;
    const { known, unfolded } = this.#options;
    const { request } = this.#handed;
    const moved = unfolded === undefined ? readMovedSession(context, request) : undefined;
    const fields = moved?.user ?? known ?? claims?.openHandoff(request) ?? (await this.#claim());
    if (!context.mayServe(userUid(fields)))
      throw new Error(`uid ${fields.fields['uid']} of userdb is not the one that this process runs as`);
    const lease = await users.lease(fields, never);
    if (unfolded === undefined && moved === undefined && context.anvil.counting !== undefined) await context.anvil.counting;
    this.#handed = withoutClaim(this.#handed);
    // Not awaited: each async function that is on the way to an idle client costs it half a KB for as long as it waits.
    this.#serving = this.#serve(lease, fields, unfolded?.state ?? moved?.state).finally(() => lease[Symbol.asyncDispose]());
  }

  /** Never throws synchronously. */
  #serve({ user }: UserLease, fields: UserFields, resumed: SessionState | undefined): Promise<void> {
    try {
      const { context } = this.#parts;
      const { stream, request } = this.#handed;
      const settings = imapSettingsOf(context.settings.forConnection({ remoteIp: request.peer.remoteIp, localIp: request.peer.localIp }));
      stream.off('error', this.#onGoneEarly);
      const { unfolded } = this.#options;
      unfolded?.from.letGo();
      if (unfolded !== undefined) this.#log.debug('session.unfolded', 'Unfolded');
      const connection = new ImapConnection({
        stream,
        user,
        settings,
        log: this.#log,
        isTrusted: request.peer.isTrusted,
        passOn: context.canPassOn(this.#handed)
          ? (state, hold, wait) => passToHibernation(context, this.#handed, { user: fields, state }, hold, wait)
          : undefined,
        resumed: isEnding(unfolded?.from, this.#stopReason) && resumed !== undefined ? { ...resumed, selected: undefined } : resumed,
        unfolded: unfolded?.from,
        fold: this.#parts.folded !== undefined ? (state, mailbox) => this.#fold(user, fields, settings, state, mailbox) : undefined,
        onCommand: () => context.titleChanged(),
        goBack: this.#canGoBack(settings) ? (given) => this.#goBack(given) : undefined,
      });
      this.#connection = connection;
      if (resumed === undefined) this.#greet(connection, settings);
      if (this.#stopReason !== undefined) connection.stop(this.#stopReason);
      return connection.run();
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #fold(user: MailUser, fields: UserFields, settings: ImapSettings, state: SessionState, mailbox: Mailbox | undefined): void {
    const { stream, request } = this.#handed;
    const { imap_idle_notify_interval: interval } = settings;
    const keepAliveMs = Number.isFinite(interval) ? interval : 0;
    this.#options.fold({ stream, request, state, fields, user, mailbox, keepAliveMs, idleTimeoutMs: defaultIdleTimeoutMs });
    this.#isFolded = true;
    this.#log.debug('session.folded', 'Folded');
  }

  #canGoBack(settings: ImapSettings): boolean {
    if (!settings.imap_unauthenticate) return false;
    const { origin } = this.#handed.request;
    return this.#options.goBack !== undefined || (origin !== undefined && this.#parts.context.canPassOn(this.#handed));
  }

  /** RFC 8437: the next user logs in where this one did, in a login process. */
  async #goBack(stream: Duplex): Promise<boolean> {
    const { context } = this.#parts;
    const { request } = this.#handed;
    // The user may come again at once, and this session is none any more that a limit should count.
    this.#options.disconnected();
    if (this.#options.goBack !== undefined) {
      this.#isBack = true;
      this.#options.goBack(stream);
      return true;
    }
    const { origin, sessionId, peer } = request;
    if (origin === undefined) return false;
    // No user's any more: what the login process is told is where the connection comes from.
    const back: HandoffRequest = { ...noLogin, service: origin.service, user: sessionId, loginPid: process.pid, sessionId, peer, origin };
    const outcome = await context.passOn(this.#handed, back);
    if (outcome.kind === 'passed') return true;
    this.#log.error('imap.unauthenticate', `The connection cannot go back to ${origin.service}: ${outcome.reason}`);
    return false;
  }

  async #claim(): Promise<UserFields> {
    const deadline = setTimeout(() => this.#startUp.abort(tooLate), loginTimeoutMs);
    const claimed = await this.#parts.auth.claim(this.#handed.request, this.#startUp.signal).finally(() => clearTimeout(deadline));
    if (claimed.kind === 'found') return claimed.user;
    throw new Error(claimed.kind === 'temp_fail' ? claimed.reason : 'auth does not know this login');
  }

  #greet(connection: ImapConnection, settings: ImapSettings): void {
    this.#logClientId(settings.imap_id_log);
    const list = capabilitiesAtLogin(settings, {
      canUnauthenticate: this.#canGoBack(settings),
      canSetQuota: connection.session.user.canSetQuota,
    });
    // A client that has asked for CAPABILITY before login may not look into the tagged reply.
    if (this.#handed.request.fields['capability'] !== 'asked') connection.greet(`${this.#tag} OK [CAPABILITY ${list}] Logged in`);
    else connection.greet(`* CAPABILITY ${list}\r\n${this.#tag} OK Logged in`);
  }

  /** ID that the client sent before login. */
  #logClientId(setting: string): void {
    const text = this.#handed.request.fields['id'];
    if (text === undefined || setting === '') return;
    const fields: unknown = JSON.parse(text);
    if (typeof fields !== 'object' || fields === null) return;
    const line = formatIdLog(
      setting,
      Object.entries(fields).map(([name, value]) => [name, String(value)] as const),
    );
    if (line !== '') this.#log.info('imap.id', `ID sent: ${line}`, { client: fields });
  }

  get #tag(): string {
    return this.#handed.request.fields['tag'] ?? '*';
  }

  #fail(error: unknown): void {
    this.#options.unfolded?.from.letGo();
    this.#options.unfolded?.from.leave();
    if (this.#isGone) return;
    const text = error instanceof Error ? error.message : String(error);
    this.#log.error('session.failed', `Internal login failure: ${text}`, { error });
    this.#handed.stream.write(
      Buffer.from(
        `${this.#tag} NO ${encodeResponseText(failureText, false)}\r\n* BYE ${encodeResponseText(failureText, false)}\r\n`,
        'latin1',
      ),
    );
  }
}

/** What is left to do needs no mailbox. */
function isEnding(unfolded: FoldedSession | undefined, stopReason: StopReason | undefined): boolean {
  return unfolded !== undefined && (stopReason !== undefined || unfolded.isGone);
}

/** The connection of somebody whose login was checked: what auth had sealed, the longest text of the request, is not kept. */
function withoutClaim({ stream, release, request: { claim: _, ...request } }: HandedConnection): HandedConnection {
  return new Handed(stream, request, release);
}
