// Direct mode: a mail process that has listeners of its own takes clients from accept to the end of their session. What a login process would
// do before the hand-off happens here, by the same code, and the session starts as if the client had been handed over.
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { connectAuth } from '#auth/auth-connection.js';
import type { ClaimOpener } from '#auth/claim-token.js';
import type { AuthClient, UserFields } from '#auth/client.js';
import type { HandoffRequest, Peer } from '#ipc/peer.js';
import { Handed } from '#service-kit/handed.js';
import { forgetPause } from '#service-kit/reading.js';
import type { AcceptedConnection, ClientHandle, HandedConnection, ServiceContext } from '#service-kit/role.js';
import { type LoginResult, PreAuthClocks } from './options.js';
import { RememberedLogins, type SuccessStep } from './remembered-logins.js';
import { startPreAuth } from './start.js';
import { refusalText, refuseOverUserLimit } from './user-limit.js';

/** The client is logged in no more (IMAP's UNAUTHENTICATE), and may log in again: the stream is paused, with all that was read ahead in it. */
export type GoBack = (stream: Duplex) => void;

export interface DirectOptions {
  readonly protocol: 'imap' | 'pop3';
  readonly context: ServiceContext;
  /** What opens sealed logins. */
  readonly claims: ClaimOpener | undefined;
  /** The handler of `onHandoff`; the user is known already when it was not auth that was asked. */
  readonly startSession: (connection: HandedConnection, user: UserFields | undefined, goBack: GoBack) => ClientHandle;
}

/**
 * Serves the clients of the service's inet_listeners; without any there is nothing to do.
 * @returns what ends it
 */
export function serveDirectly(options: DirectOptions): () => void {
  const { protocol, context } = options;
  if (!context.hasInetListeners) return () => undefined;
  const authClient = connectAuth({ path: join(context.baseDir, 'login', 'login'), log: context.log, takesClaims: true });
  const logins = new RememberedLogins(Date.now);
  const parts: Parts = { ...options, logins, authClient: logins.wrap(authClient), clocks: new PreAuthClocks() };
  context.onConnection((connection) => new DirectClient(parts, connection), {
    refusal: (_listener, reason) => refusalText(protocol, reason),
  });
  return () => authClient.close();
}

/** What all clients of a process share. */
interface Parts extends DirectOptions {
  readonly logins: RememberedLogins;
  readonly authClient: AuthClient;
  readonly clocks: PreAuthClocks;
}

/** One client: before login the handle is that of the login part, afterwards that of the session. */
class DirectClient implements ClientHandle {
  readonly #parts: Parts;
  readonly #connection: AcceptedConnection;
  #preAuth: ClientHandle;
  #session: ClientHandle | undefined;
  /** The process ends: also for a session that began, or came back, while somebody was being asked. */
  #isStopping = false;

  constructor(parts: Parts, connection: AcceptedConnection) {
    this.#parts = parts;
    this.#connection = connection;
    this.#preAuth = this.#startPreAuth();
  }

  get title(): string {
    return (this.#session ?? this.#preAuth).title ?? '';
  }

  get isPreAuth(): boolean {
    return this.#session === undefined && this.#preAuth.isPreAuth;
  }

  get startedAtMs(): number {
    return this.#preAuth.startedAtMs;
  }

  stop(reason: 'shutdown' | 'kicked' | 'queue-full'): void {
    this.#isStopping ||= reason === 'shutdown';
    (this.#session ?? this.#preAuth).stop(reason);
  }

  #startPreAuth(returned?: { readonly stream: Duplex; readonly peer: Peer }): ClientHandle {
    const { protocol, context, authClient, clocks } = this.#parts;
    return startPreAuth({
      protocol,
      connection: this.#connection,
      ...(returned === undefined ? {} : { returned }),
      context,
      authClient,
      clocks,
      onLogin: (stream, buffered, request, login) => this.#logIn(stream, buffered, request, login),
    });
  }

  async #goBack(stream: Duplex, peer: Peer): Promise<void> {
    await forgetPause(stream);
    this.#session = undefined;
    this.#preAuth = this.#startPreAuth({ stream, peer });
    if (this.#isStopping) this.#preAuth.stop('shutdown');
  }

  async #logIn(stream: Duplex, buffered: Buffer, request: HandoffRequest, login: SuccessStep): Promise<LoginResult> {
    const { context, claims, logins, startSession } = this.#parts;
    const stranger = refuseForeignUid(context, request);
    if (stranger !== undefined) return stranger;
    const refusal = await refuseOverUserLimit(context, request);
    if (refusal !== undefined) {
      context.count('user-limit-refusals');
      return refusal;
    }
    context.count('logins');
    await forgetPause(stream);
    if (buffered.length > 0 && !stream.destroyed) stream.unshift(buffered);
    const connection = this.#connection;
    // From here on the client is one of those who have logged in: it is not pushed out, and kicked by its session id.
    context.loggedIn(connection, request.sessionId);
    const user = logins.userOf(login) ?? claims?.openHandoff(request);
    if (user !== undefined) logins.keep(login, user);
    const handed = new Handed(stream, request, () => connection.release());
    this.#session = startSession(handed, user, (back) => void this.#goBack(back, request.peer));
    if (this.#isStopping) this.#session.stop('shutdown');
    return { kind: 'taken', mailPid: process.pid };
  }
}

/** A process that listens cannot become who has logged in, and has no key to a login that is sealed for others. */
function refuseForeignUid(context: Pick<ServiceContext, 'log' | 'mayServe'>, { user, fields }: HandoffRequest): LoginResult | undefined {
  const written = fields['roost_uid'];
  const uid = written === undefined || written === '' ? undefined : Number(written);
  if (uid === undefined || context.mayServe(uid)) return undefined;
  context.log.error(
    'login.foreign-uid',
    `Internal login failure: user ${user} has uid ${uid}, and processes in direct mode serve only the user that they run as; such users log in behind login processes`,
    { user, uid },
  );
  return {
    kind: 'refused',
    refusal: 'internal',
    clientText: 'Internal login failure. Refer to server log for more information.',
    logText: 'Disconnected: Internal login failure',
  };
}
