// What a process role is to the kit that runs it, and what the kit offers to a role.
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { SettingsGroup } from '#config/define.js';
import type { SettingsSource } from '#config/settings-source.js';
import type { ClaimKeys } from '#ipc/claim-keys.js';
import type { CountName, Counts } from '#ipc/counts.js';
import type { HandoffRequest, Peer } from '#ipc/peer.js';
import type { Logger } from '#log/logger.js';
import type { ClientSocket } from './open-socket.js';

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
  readonly socket: ClientSocket;
  readonly peer: Peer;
  readonly listener: ListenerFacts;
  /** Tell the kit that this client is gone. Idempotent. Until then it occupies one of client_limit. */
  release(): void;
}

/** Called by the kit to end sessions politely or at once. */
export interface ClientHandle {
  /**
   * `shutdown`: say goodbye in the protocol and end; `kicked`: administrator; `queue-full`: pushed out by newer connections. May come more
   * than once, and after `release`.
   */
  stop(reason: 'shutdown' | 'kicked' | 'queue-full'): void;
  /** For process titles and `queue-full`: still before login, since when. */
  readonly isPreAuth: boolean;
  readonly startedAtMs: number;
  /** What ps shows while this is the only client (verbose_proctitle): user, address, state. */
  readonly title?: string;
}

/** While a session waits for a process that takes it, which may take 10 s, the stream is its owner's: it may write, and listen for `readable`. */
export interface PassWait {
  /** Ends the wait. Once a process was found, only its answer does. */
  readonly signal: AbortSignal;
  /** A process was found: until the outcome is there, the stream must be left alone. */
  readonly onFound: () => void;
}

/** A logged-in connection as the mail process gets it. `buffered` octets the client sent ahead were already unshifted into the stream. */
export interface HandedConnection {
  readonly stream: Duplex;
  readonly request: HandoffRequest;
  /** Without `this`: kept on its own it keeps nothing of the request. */
  readonly release: () => void;
  /** Not passed yet, octets waiting for the peer. */
  readonly writableLength: number;
}

export type HandoffOutcome =
  | { readonly kind: 'passed'; readonly pid: number }
  /** All processes full for 10 s (or at once when told so): refuse with the protocol's temporary error. */
  | { readonly kind: 'full'; readonly reason: string }
  | { readonly kind: 'failed'; readonly reason: string };

export type OpenedSession =
  | { readonly kind: 'open'; readonly stream: Socket }
  | { readonly kind: 'full' | 'failed'; readonly reason: string };

/** A logged-in session as anvil counts it. */
export interface AnvilSession {
  readonly user: string;
  readonly remoteIp: string;
  /** Protocol: `imap`, `pop3`. */
  readonly service: string;
  readonly sessionId: string;
}

/** Penalty of a client address: value 0 to 4 in Dovecot's use, and when it was last set. */
export interface AnvilPenalty {
  readonly value: number;
  /** UNIX time in seconds, 0 when there is none. */
  readonly lastSeconds: number;
}

/** Who is connected, over all processes. Nothing here throws or waits longer than 2 s: without anvil, logins are allowed (fail open). */
export interface AnvilClient {
  /**
   * Counts a session until the returned function is called. It is announced again when anvil was restarted.
   * @param onKick an administrator ends this session
   * @param mayWait no limit counts it, and it goes to no other process soon: it is announced when it has lasted for a moment, or when anvil asks
   */
  connect(session: AnvilSession, onKick: () => void, mayWait?: boolean): () => void;
  /**
   * While the connection to anvil is being made: resolves when the sessions given to `connect` are counted, or cannot be; never rejects. Undefined: what is
   * given is counted before a client that is told of its login can come again.
   */
  readonly counting: Promise<void> | undefined;
  /** Sessions of this user from this address in this service; 0 when anvil does not answer. */
  lookup(user: string, remoteIp: string, service: string): Promise<number>;
  penalty(address: string): Promise<AnvilPenalty>;
  /**
   * Sets the penalty, unless `checksum` is among the last ones of this address (a client that repeats one wrong password).
   * @param checksum CRC-32 of what was tried; 0 when there is none
   */
  setPenalty(address: string, checksum: number, value: number): void;
}

/** What a role answers to clients that the kit turns away itself. */
export interface ConnectionPolicy {
  /**
   * The protocol's temporary refusal with its line end, `* BYE [UNAVAILABLE] ...`. Without one the connection is closed.
   * @param reason text for the client, without protocol
   */
  refusal?(listener: ListenerFacts, reason: string): string;
}

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
  /** The service has listeners for clients of its own: a mail service then is in direct mode. */
  readonly hasInetListeners: boolean;
  /** For the figures of the service. */
  count(name: CountName): void;
  /** @param read counts since the start of the process that a part of the role keeps itself; they go along with what `count` counts */
  addTotals(read: () => Counts): void;
  /** stats role: the figures of all services. @throws Error when the master does not answer in 5 s */
  metrics(format: 'text' | 'openmetrics'): Promise<string>;
  /** The administrator has reloaded the server and this process stays, with the settings it has: time to drop what it has cached. */
  onReload(handler: () => void): void;
  /** Starts taking clients from the service's listeners. The handler returns at once; the client lives until `release`. */
  onConnection(handler: (connection: AcceptedConnection) => ClientHandle, policy?: ConnectionPolicy): void;
  /** Direct mode: an accepted client has logged in and is served here. The kit then finds it by its session id. */
  loggedIn(connection: AcceptedConnection, sessionId: string): void;
  /**
   * May this process open the mail of a user with this uid? Where the server was started as root, each process opens the mail of the user it runs
   * as only, whatever a login process or a userdb says.
   * @param uid as userdb says; undefined when it says nothing
   */
  mayServe(uid: number | undefined): boolean;
  /**
   * Opens a connection to a process of a service that takes hand-offs, in place of a client. Never throws.
   * @param signal ends the wait for a free process
   */
  openSession(request: Pick<HandoffRequest, 'service' | 'user' | 'fields'>, signal: AbortSignal): Promise<OpenedSession>;
  /** Mail roles: starts taking handed-off connections. */
  onHandoff(handler: (connection: HandedConnection) => ClientHandle): void;
  /**
   * Login roles: passes a logged-in client to a mail process. The descriptor of a plain socket, or of one with TLS 1.3, moves, and `socket` must not be used
   * afterwards; for an older TLS the kit relays until either side ends, then calls `release` of the connection itself. From the call on the kit owns the reading
   * side: it takes the role's `data` and `readable` listeners off and reads no further. Unless the outcome is `passed`, the role may still
   * write its refusal and end the stream.
   * @param stream the socket itself, or what startTls gave
   * @param buffered octets read but not consumed
   */
  handOff(connection: AcceptedConnection, stream: Duplex, buffered: Buffer, request: HandoffRequest): Promise<HandoffOutcome>;
  /**
   * Login roles: takes connections that this service has handed off before and whose clients have logged out without leaving. They have the peer
   * of then; an older TLS than 1.3, where there is any, ends in another process.
   * @param handler gets the stream as well: the socket itself, or the TLS over it
   */
  onReturn(handler: (connection: AcceptedConnection, stream: Duplex) => ClientHandle): void;
  /** Can this connection move on to another process of ours? Not where Node has its TLS in this one. */
  canPassOn(connection: HandedConnection): boolean;
  /**
   * Passes a session on to a process of another service, with its descriptor; nothing is relayed. The session must have taken its listeners off
   * and must have nothing left to write. When the outcome is `passed` the stream is destroyed here and lives on there; `release` is still the
   * caller's. Else the stream is as it was before, waiting for a reader, with everything that came in between; readers are taken off.
   * @param wait for a caller that has something to do with the stream while no process is free
   */
  passOn(connection: HandedConnection, request: HandoffRequest, wait?: PassWait): Promise<HandoffOutcome>;
  /** Seals the text of a session that leaves this process, and tells whether a text was sealed by a process with the same identity. */
  seal(text: string): string;
  isSealed(text: string, seal: string): boolean;
  /**
   * Upgrades an accepted socket (implicit TLS or STARTTLS). Resolves after the handshake; rejects, with the socket destroyed, when it fails or
   * takes longer than 30 s.
   * @param buffered octets read after STARTTLS's line end in the same read. They came before the handshake and may be an attacker's
   *   (CVE-2011-0411), so anything but the start of a TLS record ends the connection.
   * @param mayMove TLS 1.3 shall be able to go to another process, also where Node does its handshake, which costs more then
   */
  startTls(connection: AcceptedConnection, buffered: Buffer, mayMove?: boolean): Promise<{ readonly stream: Duplex; readonly peer: Peer }>;
  readonly anvil: AnvilClient;
  /** What sealed logins are made and opened with (auth/claim-token.ts); in auth and mail roles only. */
  readonly claimKeys?: ClaimKeys | undefined;
  /** The `title` of a client is another one. */
  titleChanged(): void;
}

/** Sessions that a process plays with itself: one of a template before it is copied (rehearsal.ts), many of one that lives long (practice.ts). */
export interface Rehearsal {
  /** How the client comes: through a listener of the process, or logged in already. */
  readonly from: 'listener' | 'handoff';
  /** The protocol's service, which is handed over to. */
  readonly service: string;
  /** What the client waits for before it says anything. */
  readonly greeting: RegExp;
  /** What the client sends, without line ends, and what it then waits for. The server is to close the connection after the last one. */
  readonly lines: readonly RehearsalLine[];
  /** Settings that differ from the defaults, where mail is needed. @param folder empty, and removed afterwards */
  readonly settings?: (folder: string) => Readonly<Record<string, string>>;
  /** For processes that live long (practice.ts). */
  readonly practice?: Practice;
}

export interface RehearsalLine {
  /** Without line end; one character for each octet. */
  readonly send: string;
  /** Is looked for in the last 4,096 octets that came after it. */
  readonly until: RegExp;
}

/** Many sessions, one after the other, that do what clients do, often enough for V8 to compile what they run. */
export interface Practice {
  readonly sessions: number;
  /** @param index from 0 on */
  readonly session: (index: number) => readonly RehearsalLine[];
  /** Makes what the sessions need. @param folder that of the settings */
  readonly prepare?: (folder: string, signal: AbortSignal) => Promise<void>;
}

export interface Role {
  /** Role name: the bundle's and folder's name, `imap-login`. */
  readonly name: string;
  /** Settings groups the process needs; nothing else is sent to it. */
  readonly settings: readonly SettingsGroup[];
  /** Kinds of blocks the process needs (`passdb`, `namespace`, `plugin`). */
  readonly sections?: readonly string[];
  readonly rehearsal?: Rehearsal;
  /** Resolves when ready to serve; the kit then reports the first status. The returned function runs after the last client has gone. */
  start(context: ServiceContext): Promise<() => Promise<void>>;
}
