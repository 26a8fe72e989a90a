// The imap role: sessions after login.
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { type ClaimOpener, createClaimOpener } from '#auth/claim-token.js';
import type { AuthMasterClient, UserFields } from '#auth/client.js';
import { findUserBy } from '#auth/find-user.js';
import { connectAuthMaster } from '#auth/master-connection.js';
import { userUid } from '#auth/user-uid.js';
import type { HandoffRequest } from '#ipc/peer.js';
import type { Logger } from '#log/logger.js';
import { type GoBack, serveDirectly } from '#pre-auth/direct.js';
import { loginSettings } from '#pre-auth/settings.js';
import { encodeResponseText } from '#protocol/imap/encoder.js';
import type { ClientHandle, HandedConnection, Role, ServiceContext } from '#service-kit/role.js';
import { tlsSettings } from '#service-kit/settings.js';
import { createMailStore, mailStoreSections, mailStoreSettings } from '#storage/mail-store.js';
import { type UserLease, UserPool } from '#storage/user-pool.js';
import { LazyAbort } from '#util/lazy-abort.js';
import { capabilitiesAtLogin } from './capability.js';
import { formatIdLog } from './commands/id.js';
import { ImapConnection, type StopReason } from './connection.js';
import { passToHibernation, readMovedSession } from './moved-session.js';
import { imapRehearsal } from './rehearsal.js';
import type { SessionState } from './session-state.js';
import { type ImapSettings, imapSettings, imapSettingsOf } from './settings.js';

/** How long auth may take to tell who has logged in. */
const loginTimeoutMs = 60_000;
/** Made once: an error takes down where it was made, which costs more than the rest of a login's timers. */
const tooLate = new Error(`the login took longer than ${loginTimeoutMs} ms`);
const gone = new Error('the client is gone');
/** Of a connection that nobody is logged in on. */
const noLogin = { authPid: 0, authId: 0, cookie: '', fields: {} } as const;
const failureText = '[UNAVAILABLE] Internal login failure. Refer to server log for more information.';

interface Parts {
  readonly context: ServiceContext;
  readonly auth: AuthMasterClient;
  readonly claims: ClaimOpener | undefined;
  readonly users: UserPool;
  /** Opening an account waits for nothing, so it need not be given up. */
  readonly never: AbortSignal;
}

export const role: Role = {
  name: 'imap',
  settings: [...mailStoreSettings, imapSettings, loginSettings, tlsSettings],
  sections: mailStoreSections,
  rehearsal: imapRehearsal,
  async start(context) {
    const auth = connectAuthMaster({ path: join(context.baseDir, 'auth-master'), log: context.log });
    const store = createMailStore({ settings: context.settings, log: context.log, findUser: findUserBy(auth, 'imap') });
    const claims = createClaimOpener(context.claimKeys);
    const parts: Parts = { context, auth, claims, users: new UserPool(store, 'imap'), never: new AbortController().signal };
    const startSession = (handed: HandedConnection, known?: UserFields, goBack?: GoBack): ClientHandle =>
      new HandedSession(parts, handed, { known, goBack });
    context.onHandoff((handed) => startSession(handed));
    const stopDirect = serveDirectly({ protocol: 'imap', context, claims, startSession });
    return async () => {
      stopDirect();
      auth.close();
      await store.close();
    };
  },
};

/** One client from its hand-off on: first without, then with a session. */
class HandedSession implements ClientHandle {
  readonly isPreAuth = false;
  readonly startedAtMs = Date.now();
  readonly #parts: Parts;
  #handed: HandedConnection;
  readonly #log: Logger;
  readonly #startUp = new LazyAbort();
  #connection: ImapConnection | undefined;
  #serving: Promise<void> | undefined;
  #stopReason: StopReason | undefined;
  /** The client is, so that nobody is there to be told of a failure. */
  #isGone = false;
  /** The stream belongs to the login part of this process. */
  #isBack = false;

  readonly #onGoneEarly = (): void => {
    this.#isGone = true;
    this.#startUp.abort(gone);
  };

  readonly #goBackHere: GoBack | undefined;
  readonly #disconnected: () => void;

  /**
   * @param known who has logged in, where nobody needs to be asked
   * @param goBack where the client can log in again, when that is in this process
   */
  constructor(
    parts: Parts,
    handed: HandedConnection,
    { known, goBack }: { readonly known: UserFields | undefined; readonly goBack: GoBack | undefined },
  ) {
    this.#parts = parts;
    this.#goBackHere = goBack;
    this.#handed = handed;
    const { user, sessionId, peer } = handed.request;
    this.#log = parts.context.log.child(
      { user, sessionId, remoteIp: peer.remoteIp },
      ['imap(', user, ')<', process.pid, '><', sessionId, '>: '].join(''),
    );
    // Until the session listens itself, a client that goes away must not bring the process down.
    handed.stream.on('error', this.#onGoneEarly);
    this.#disconnected = parts.context.anvil.connect({ user, remoteIp: peer.remoteIp, service: 'imap', sessionId }, () =>
      this.stop('kicked'),
    );
    this.#run(known)
      .then(() => this.#serving)
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#disconnected();
        if (this.#isBack) return;
        this.#handed.stream.destroy();
        this.#handed.release();
      })
      .catch((error: unknown) => this.#log.error('session.release', 'Releasing a connection failed', { error }));
  }

  get title(): string {
    const { user, peer } = this.#handed.request;
    const command = this.#connection?.runningCommand;
    return `${user} ${peer.remoteIp}${command === undefined ? '' : ` ${command}`}`;
  }

  stop(reason: 'shutdown' | 'kicked' | 'queue-full'): void {
    this.#stopReason ??= reason;
    this.#connection?.stop(reason);
  }

  async #run(known: UserFields | undefined): Promise<void> {
    const { context, claims, users, never } = this.#parts;
    const { request } = this.#handed;
    const moved = readMovedSession(context, request);
    const fields = moved?.user ?? known ?? claims?.openHandoff(request) ?? (await this.#claim());
    if (!context.mayServe(userUid(fields)))
      throw new Error(`uid ${fields.fields['uid']} of userdb is not the one that this process runs as`);
    const lease = await users.lease(fields, never);
    this.#handed = new CheckedConnection(this.#handed);
    // Not awaited: each async function that is on the way to an idle client costs it half a KB for as long as it waits.
    this.#serving = this.#serve(lease, fields, moved?.state).finally(() => lease[Symbol.asyncDispose]());
  }

  /** Never throws synchronously. */
  #serve({ user }: UserLease, fields: UserFields, resumed: SessionState | undefined): Promise<void> {
    try {
      const { context } = this.#parts;
      const { stream, request } = this.#handed;
      const settings = imapSettingsOf(context.settings.forConnection({ remoteIp: request.peer.remoteIp, localIp: request.peer.localIp }));
      stream.off('error', this.#onGoneEarly);
      const connection = new ImapConnection({
        stream,
        user,
        settings,
        log: this.#log,
        isTrusted: request.peer.isTrusted,
        passOn: context.canPassOn(this.#handed)
          ? (state, hold, wait) => passToHibernation(context, this.#handed, { user: fields, state }, hold, wait)
          : undefined,
        resumed,
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

  #canGoBack(settings: ImapSettings): boolean {
    if (!settings.imap_unauthenticate) return false;
    const { origin } = this.#handed.request;
    return this.#goBackHere !== undefined || (origin !== undefined && this.#parts.context.canPassOn(this.#handed));
  }

  /** RFC 8437: the next user logs in where this one did, in a login process. */
  async #goBack(stream: Duplex): Promise<boolean> {
    const { context } = this.#parts;
    const { request } = this.#handed;
    // The user may come again at once, and this session is none any more that a limit should count.
    this.#disconnected();
    if (this.#goBackHere !== undefined) {
      this.#isBack = true;
      this.#goBackHere(stream);
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
    if (this.#isGone) return;
    const text = error instanceof Error ? error.message : String(error);
    this.#log.error('session.failed', `Internal login failure: ${text}`, { error });
    this.#handed.stream.write(
      Buffer.from(`${this.#tag} NO ${encodeResponseText(failureText)}\r\n* BYE ${encodeResponseText(failureText)}\r\n`, 'latin1'),
    );
  }
}

/** The connection of somebody whose login was checked: what auth had sealed, the longest text of the request, is not kept. */
class CheckedConnection implements HandedConnection {
  readonly stream: Duplex;
  readonly request: HandoffRequest;
  readonly release: () => void;

  constructor({ stream, release, request: { claim: _, ...request } }: HandedConnection) {
    this.stream = stream;
    this.request = request;
    this.release = release;
  }
  get writableLength(): number {
    return this.stream.writableLength;
  }
}
