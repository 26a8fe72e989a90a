// What the driver of a connection before login (start.ts) is given, and what it gets back.
import type { Duplex } from 'node:stream';
import type { AuthClient } from '#auth/client.js';
import type { HandoffRequest, Peer } from '#ipc/peer.js';
import type { AcceptedConnection, ServiceContext } from '#service-kit/role.js';
import { Deadlines } from '#util/deadlines.js';
import type { RefusalKind } from './machine.js';
import type { SuccessStep } from './remembered-logins.js';

/** Time a client has for its next command. */
export const idleTimeoutMs = 180_000;
/** After this long without an answer from auth, IMAP clients are told that it goes on. */
const authNoticeMs = 30_000;

export type LoginResult =
  /** @param mailPid process that serves the client now */
  | { readonly kind: 'taken'; readonly mailPid: number }
  | {
      readonly kind: 'refused';
      readonly refusal: RefusalKind;
      readonly clientText: string /** Whole message of the log line. */;
      readonly logText: string;
    };

export interface PreAuthOptions {
  readonly protocol: 'imap' | 'pop3';
  readonly connection: AcceptedConnection;
  /** The client was logged in before on this connection, and has heard that it is no more: there is no greeting and no handshake. */
  readonly returned?: { readonly stream: Duplex; readonly peer: Peer };
  readonly context: Pick<ServiceContext, 'log' | 'settings' | 'startTls'>;
  readonly authClient: AuthClient;
  /** The client goes to another process after its login, with its TLS if that can be. */
  readonly movesTls?: boolean;
  /** Made once by each process. */
  readonly clocks: PreAuthClocks;
  /**
   * The client has logged in. Nothing reads the stream any more until the promise settles; with `taken` the stream belongs to somebody else, and
   * so does `connection.release`.
   * @param buffered octets read but not consumed
   * @param login what auth said
   */
  readonly onLogin: (stream: Duplex, buffered: Buffer, request: HandoffRequest, login: SuccessStep) => Promise<LoginResult>;
}

/** What the clients of a process wait for, and are waited for. */
export class PreAuthClocks {
  /** Nobody waits longer for a client's next command. */
  readonly idle = new Deadlines<{ timeOut(): void }>(idleTimeoutMs, (session) => session.timeOut());
  /** Whoever waits longer for auth is told that it goes on. */
  readonly notice = new Deadlines<{ tellWaiting(): void }>(authNoticeMs, (session) => session.tellWaiting());
}
