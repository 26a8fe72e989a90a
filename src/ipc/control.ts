// The control channel between the master and each of its children: a stream socket on the child's file descriptor 3, carrying the
// length-prefixed JSON frames of frame.ts, one message each. The channel's end is a signal by itself: a child that reads EOF knows that the
// master is gone and finishes its clients; a master that reads EOF waits for the child's exit status.
// Receivers ignore messages of a kind they do not know (a reload may mix versions for a while); a frame that does not decode ends the peer.

import type { ClaimKeys } from './claim-keys.js';
import type { Counts } from './counts.js';

/** File descriptor of the channel in the child. 0 is /dev/null, 1 and 2 the log pipe, inherited sockets follow from 4. */
export const controlFd = 3;

/** A child sends its first status within this, or is killed. */
export const startTimeoutMs = 30_000;
/** How long a logged-in user waits for a process with a free slot. */
export const fullWaitMs = 10_000;
/** A route is answered within this: a process that is started for it at the last moment may take its whole time. */
export const longestRouteMs = fullWaitMs + startTimeoutMs;

/** A listening socket that the child inherits; it accepts from it itself. */
export interface InheritedListener {
  readonly fd: number;
  readonly kind: 'inet' | 'unix';
  /** `imaps`, or the UNIX path relative to base_dir. */
  readonly name: string;
  /** TLS from the first octet. */
  readonly isTls: boolean;
  /** Listen backlog, to be repeated in the child's own listen(). */
  readonly backlog: number;
  /** TCP keep-alive of accepted connections, ms; 0: none. */
  readonly keepAliveMs: number;
  /** A PROXY protocol header is required from clients in haproxy_trusted_networks. */
  readonly isHaproxy: boolean;
  /** Absolute path for `unix`; address for `inet`. */
  readonly address: string;
  /** 0 for `unix`. */
  readonly port: number;
}

/** Where a mail process receives connections: a stream listener, and a datagram socket that takes the descriptors. */
export interface PrivateSockets {
  readonly fd: number;
  readonly path: string;
  readonly descriptorFd: number;
  readonly descriptorPath: string;
}

/** First message, once: everything the child is. */
export interface StartMessage {
  readonly kind: 'start';
  /** Name of the `service` block, and of the bundle that runs it. */
  readonly service: string;
  readonly role: string;
  /** Counts the configurations the master has loaded, from 1. */
  readonly generation: number;
  readonly baseDir: string;
  /** Effective limits: 0 of serviceCount is unlimited, otherwise clientLimit is not above it. */
  readonly clientLimit: number;
  readonly serviceCount: number;
  readonly processLimit: number;
  readonly listeners: readonly InheritedListener[];
  /** For processes that logged-in connections are handed to. */
  readonly privateSockets: PrivateSockets | undefined;
  /** Plain JSON as made by config/; read by the settings source of the kit. */
  readonly settings: unknown;
  /** Keys of TLS session tickets, 48 octets each, newest first, in base64; the same for all processes of all services. */
  readonly tlsTicketKeys?: string | undefined;
  /**
   * False: the certificate is read when a client speaks TLS, and its faults are told then. A process for one client would spend as much on it as on
   * its login, and the first process of the service has told them already.
   */
  readonly checksTls?: boolean;
  /**
   * For processes that logged-in connections are handed to: 32 octets in base64, the same for all of them with one identity. A session that leaves
   * such a process is sealed with it, so that only what one of them has written is taken for a session.
   */
  readonly sessionKey?: string | undefined;
  /** For auth, which seals logins, and for the processes that open them. Never for login processes. */
  readonly claimKeys?: ClaimKeys | undefined;
  /**
   * Whose mail the process may open: `all` where the server was not started as root; `own`: users with the uid that the process runs as, and those
   * of whom userdb says no uid; `named`: only users whose uid userdb names.
   */
  readonly serves: 'all' | 'own' | 'named';
  /** The child was started as root and changes to this identity before it does anything else; undefined: it has its identity already. */
  readonly becomes?: { readonly uid: number; readonly gid: number; readonly groups: readonly number[] } | undefined;
  /** While nobody is connected it may play sessions with itself, so that V8 compiles what clients will need. */
  readonly practises?: boolean;
  readonly isDebug: boolean;
  /** Process title without a state: `roost/imap`. */
  readonly title: string;
  readonly isVerboseTitle: boolean;
  /** Longest time clients may take after `stop` with `clients: 'end'`, ms. */
  readonly stopGraceMs: number;
}

export type MasterMessage =
  | StartMessage
  /** Answer to `route` with the same id. */
  | RoutedMessage
  /** Login roles: all processes of the service are full; end the oldest client that has not logged in (`stop('queue-full')`). */
  | { readonly kind: 'queue-full' }
  /**
   * Close the listeners, then exit when the last client has gone. `finish`: clients stay as long as they like (service retired, reload with
   * shutdown_clients = no); `end`: clients are told goodbye now. `reason` is for the log.
   */
  | { readonly kind: 'stop'; readonly clients: 'finish' | 'end'; readonly reason: string }
  /** The process is surplus: exit if no client is there, else answer with a status that has `isIdleRefused`. */
  | { readonly kind: 'idle-exit' }
  /** The configuration was read again and nothing in it concerns this process, which stays. */
  | { readonly kind: 'reloaded' }
  /** The keys of TLS session tickets have changed; as in `start`. */
  | { readonly kind: 'ticket-keys'; readonly tlsTicketKeys: string }
  /** Answer to `metrics` with the same id: Prometheus's text format. */
  | { readonly kind: 'metrics'; readonly id: number; readonly text: string }
  /** End these sessions (`stop('kicked')`). */
  | { readonly kind: 'kick'; readonly sessionIds: readonly string[] };

export type RoutedMessage =
  | {
      readonly kind: 'routed';
      readonly id: number;
      readonly outcome: 'ok';
      readonly path: string;
      readonly descriptorPath: string;
      readonly pid: number;
      /** Names the reserved client slot. Goes along with the hand-off; the mail process reports it in `arrived` and `left`. */
      readonly ticket: number;
      /**
       * The answer, ticket included, holds for further connections of the same user for so long after it was asked for, ms. No slot is reserved for those:
       * the mail process may refuse them. Left out: it holds once.
       */
      readonly leaseMs?: number | undefined;
    }
  /** `full`: no process has room and none may be started, for 10 s. `failed`: no such service, it cannot be started (or not in 30 s), or it is stopping. */
  | { readonly kind: 'routed'; readonly id: number; readonly outcome: 'full' | 'failed'; readonly reason: string };

/** Login process, or a mail process that passes a session on: where shall this logged-in user go? */
export interface RouteMessage {
  readonly kind: 'route';
  /** Chosen by the sender, unique among its open requests. */
  readonly id: number;
  /** `imap`. */
  readonly service: string;
  readonly user: string;
  /** As auth says (`roost_uid`, `roost_gid`), undefined when it says nothing: then mail_uid and mail_gid hold. Checked against first_valid_uid and so on. */
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  /** The sender can use an answer several times (`leaseMs`). */
  readonly takesLease?: boolean | undefined;
}

/**
 * How busy the child is. The first one (sent when the role is ready) ends the start, at most 30 s after it. Later ones follow each change,
 * together for changes within 20 ms, at once when the last free slot is taken or the first one freed.
 */
export interface StatusMessage {
  readonly kind: 'status';
  /** Clients now, handed-off ones included. */
  readonly clients: number;
  /** Clients taken since the start: the process stops accepting by itself when this reaches serviceCount. */
  readonly served: number;
  /** It takes no new clients any more (service_count reached, or told to stop). */
  readonly isDraining: boolean;
  /** Tickets whose connection arrived, and whose client has gone, since the last status; as often as that happened. */
  readonly arrived: readonly number[];
  readonly left: readonly number[];
  /** Clients that the process has turned away since the last status, for lack of room or because of load. */
  readonly refused?: number;
  /** What happened since the last status. Without changes of other kinds it is sent once a second. */
  readonly counts?: Counts;
  /** The process is too busy for new clients; left out when it is not. */
  readonly load?: 'wait' | 'refuse';
  readonly isIdleRefused?: boolean;
  /** Login roles: when the oldest client that has not logged in came, ms since the epoch. At the limit the master pushes out the oldest of all. */
  readonly oldestPreAuthAtMs?: number | undefined;
}

/**
 * First message of the child, before it has met any client: the settings that its role declares. `start` is the answer. The master gives
 * passdb and userdb blocks to no login process, whatever it asks for.
 */
export interface NeedsMessage {
  readonly kind: 'needs';
  /** Names of settings groups. */
  readonly settings: readonly string[];
  /** Kinds of blocks. */
  readonly sections: readonly string[];
}

export type ChildMessage =
  | NeedsMessage
  | StatusMessage
  | RouteMessage
  /** The figures of all services are wanted. Answered to processes of the stats role only. */
  | { readonly kind: 'metrics'; readonly id: number; readonly format: 'text' | 'openmetrics' }
  /** Login process: the hand-off for this ticket failed; the slot is free again. */
  | { readonly kind: 'route-failed'; readonly ticket: number; readonly reason: string };
