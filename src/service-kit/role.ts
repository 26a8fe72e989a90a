// What a process role is to the kit that runs it, and what the kit offers to a role.
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { SettingsGroup } from '#config/define.js';
import type { SettingsSource } from '#config/settings-source.js';
import type { HandoffRequest, Peer } from '#ipc/peer.js';
import type { Logger } from '#log/logger.js';

/** One `inet_listener` or `unix_listener` of the service. */
export interface ListenerFacts {
  readonly kind: 'inet' | 'unix';
  /** `imaps`, or the UNIX path relative to base_dir. */
  readonly name: string;
  /** TLS from the first octet. */
  readonly isTls: boolean;
}

/** A connection that the kit accepted from a listener. TLS listeners: the handshake is done by `startTls`, not by the kit. */
export interface AcceptedConnection {
  readonly socket: Socket;
  readonly peer: Peer;
  readonly listener: ListenerFacts;
  /** Tell the kit that this client is gone. Idempotent. Until then it occupies one of client_limit. */
  release(): void;
}

/** Called by the kit to end sessions politely or at once. */
export interface ClientHandle {
  /** `shutdown`: say goodbye in the protocol and end; `kicked`: administrator; `queue-full`: pushed out by newer connections. */
  stop(reason: 'shutdown' | 'kicked' | 'queue-full'): void;
  /** For process titles and `queue-full`: still before login, since when. */
  readonly isPreAuth: boolean;
  readonly startedAtMs: number;
}

/** A logged-in connection as the mail process gets it. `buffered` octets the client sent ahead were already unshifted into the stream. */
export interface HandedConnection {
  readonly stream: Duplex;
  readonly request: HandoffRequest;
  release(): void;
  /** Not passed yet, octets waiting for the peer. */
  readonly writableLength: number;
}

export type HandoffOutcome =
  | { readonly kind: 'passed'; readonly pid: number }
  /** All processes full for 10 s (or at once when told so): refuse with the protocol's temporary error. */
  | { readonly kind: 'full'; readonly reason: string }
  | { readonly kind: 'failed'; readonly reason: string };

/** What the kit gives a role. */
export interface ServiceContext {
  /** Name of the `service` block: `imap-login`. */
  readonly service: string;
  readonly log: Logger;
  readonly settings: SettingsSource;
  readonly baseDir: string;
  /** Effective limits (service_count > 0 caps clientLimit). */
  readonly clientLimit: number;
  readonly serviceCount: number;
  /** Aborted when the process shall end: stop taking clients, finish. */
  readonly stopping: AbortSignal;
  /** Starts taking clients from the service's listeners. The handler returns at once; the client lives until `release`. */
  onConnection(handler: (connection: AcceptedConnection) => ClientHandle): void;
  /** Mail roles: starts taking handed-off connections. */
  onHandoff(handler: (connection: HandedConnection) => ClientHandle): void;
  /**
   * Login roles: passes a logged-in client to a mail process. For a plain socket the descriptor moves and `socket` must not be used afterwards;
   * for TLS the kit relays until either side ends, then calls `release` of the connection itself.
   * @param buffered octets read but not consumed
   */
  handOff(connection: AcceptedConnection, stream: Duplex, buffered: Buffer, request: HandoffRequest): Promise<HandoffOutcome>;
  /** Upgrades an accepted socket (implicit TLS or STARTTLS). Resolves after the handshake. */
  startTls(connection: AcceptedConnection, buffered: Buffer): Promise<{ readonly stream: Duplex; readonly peer: Peer }>;
  /** Process title state (verbose_proctitle) and `roostadm who` facts. */
  setTitle(text: string): void;
}

export interface Role {
  /** Role name: the bundle's and folder's name, `imap-login`. */
  readonly name: string;
  /** Settings groups the process needs; nothing else is sent to it. */
  readonly settings: readonly SettingsGroup[];
  /** Kinds of blocks the process needs (`passdb`, `namespace`, `plugin`). */
  readonly sections?: readonly string[];
  /** Resolves when ready to serve; the kit then reports the first status. The returned function runs after the last client has gone. */
  start(context: ServiceContext): Promise<() => Promise<void>>;
}
