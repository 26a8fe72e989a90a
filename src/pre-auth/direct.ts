// Direct mode: a mail process that has listeners of its own takes clients from accept to the end of their session. What a login process would
// do before the hand-off happens here, by the same code, and the session starts as if the client had been handed over.
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { connectAuth } from '#auth/auth-connection.js';
import type { AuthClient } from '#auth/client.js';
import type { HandoffRequest } from '#ipc/peer.js';
import { forgetPause } from '#service-kit/reading.js';
import type { AcceptedConnection, ClientHandle, HandedConnection, ServiceContext } from '#service-kit/role.js';
import { type LoginResult, startPreAuth } from './start.js';
import { refusalText, refuseOverUserLimit } from './user-limit.js';

export interface DirectOptions {
  readonly protocol: 'imap' | 'pop3';
  readonly context: ServiceContext;
  /** The handler of `onHandoff`. */
  readonly startSession: (connection: HandedConnection) => ClientHandle;
}

/**
 * Serves the clients of the service's inet_listeners; without any there is nothing to do.
 * @returns what ends it
 */
export function serveDirectly({ protocol, context, startSession }: DirectOptions): () => void {
  if (!context.hasInetListeners) return () => undefined;
  const authClient = connectAuth({ path: join(context.baseDir, 'login', 'login'), log: context.log, takesClaims: true });
  context.onConnection((connection) => new DirectClient({ protocol, context, startSession }, authClient, connection), {
    refusal: (_listener, reason) => refusalText(protocol, reason),
  });
  return () => authClient.close();
}

/** One client: before login the handle is that of the login part, afterwards that of the session. */
class DirectClient implements ClientHandle {
  readonly #options: DirectOptions;
  readonly #connection: AcceptedConnection;
  readonly #preAuth: ClientHandle;
  #session: ClientHandle | undefined;

  constructor(options: DirectOptions, authClient: AuthClient, connection: AcceptedConnection) {
    const { protocol, context } = options;
    this.#options = options;
    this.#connection = connection;
    this.#preAuth = startPreAuth({
      protocol,
      connection,
      context,
      authClient,
      onLogin: (stream, buffered, request) => this.#logIn(stream, buffered, request),
    });
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
    (this.#session ?? this.#preAuth).stop(reason);
  }

  async #logIn(stream: Duplex, buffered: Buffer, request: HandoffRequest): Promise<LoginResult> {
    const { context, startSession } = this.#options;
    const refusal = await refuseOverUserLimit(context, request);
    if (refusal !== undefined) return refusal;
    await forgetPause(stream);
    if (buffered.length > 0 && !stream.destroyed) stream.unshift(buffered);
    const connection = this.#connection;
    // From here on the client is one of those who have logged in: it is not pushed out, and kicked by its session id.
    context.loggedIn(connection, request.sessionId);
    this.#session = startSession({
      stream,
      request,
      release: () => connection.release(),
      get writableLength() {
        return stream.writableLength;
      },
    });
    return { kind: 'taken', mailPid: process.pid };
  }
}
