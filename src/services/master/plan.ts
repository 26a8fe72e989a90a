// What the master runs, worked out completely before anything is started: no setting is looked up later.
import type { PoolLimits } from './schedule/decisions.js';

/** A socket to listen on. Two with the same `key` are the same socket: a reload keeps it. */
export interface ListenerPlan {
  readonly key: string;
  readonly kind: 'inet' | 'unix';
  /** `imaps`, or the UNIX path relative to base_dir. */
  readonly name: string;
  readonly isTls: boolean;
  readonly isHaproxy: boolean;
  readonly isReusePort: boolean;
  /** IP address (`0.0.0.0` and `::` for all), or the absolute path. */
  readonly address: string;
  readonly port: number;
  readonly backlog: number;
  /** TCP keep-alive of accepted connections, ms; 0: none. */
  readonly keepAliveMs: number;
  /** UNIX sockets: permission bits, and numeric owner; undefined leaves it to the process. */
  readonly mode: number;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  /** The setting that an administrator would change: `service imap-login { inet_listener imap { port } }`. */
  readonly setting: string;
}

/** Text with which connections are refused when nobody has room; undefined closes without one. */
export type RefusalProtocol = 'imap' | 'pop3' | 'smtp' | undefined;

/** Numeric identity a process runs with; undefined keeps the master's own. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
}

export interface SettingsNeeds {
  /** Names of settings groups. */
  readonly settings: readonly string[];
  /** Kinds of blocks. */
  readonly sections: readonly string[];
}

export interface ServicePlan {
  readonly name: string;
  /** Bundle that runs it. */
  readonly role: string;
  readonly limits: PoolLimits;
  readonly isLogin: boolean;
  /** Connections are handed to its processes: logged-in ones, or to a login service those that come back. */
  readonly takesHandoffs: boolean;
  /** Runs with the identity of the user it serves (only when the master is root). */
  readonly isPerUser: boolean;
  readonly identity: Identity | undefined;
  /** Whose mail its processes may open (ipc/control.ts). */
  readonly serves: 'all' | 'own' | 'named';
  /** Who may connect to the private sockets of its processes; undefined: login processes. */
  readonly senders: Identity | undefined;
  /** Supplementary groups; only with an identity. */
  readonly extraGroups: readonly number[];
  /** Node's permission model: no file writes, no processes, reads limited to the code. */
  readonly isConfined: boolean;
  /** 0 is unlimited. */
  readonly vszLimitBytes: number;
  /** libuv's threads; undefined is Node's own choice. */
  readonly threadPoolSize: number | undefined;
  readonly listeners: readonly ListenerPlan[];
  readonly refusal: RefusalProtocol;
  /** What the child gets of the configuration: the groups and blocks that its role declares. */
  /** @param accepts the process has listeners of its own: where TLS ends in mail processes, only those get private keys */
  readonly settingsFor: (needs: SettingsNeeds, accepts: boolean) => unknown;
  /** Survives a reload: its state is worth more than new settings. */
  readonly survivesReload: boolean;
}

export interface LogPlan {
  /** Absolute paths, `syslog`, or undefined: the standard error of the master. */
  readonly errorPath: string | undefined;
  readonly infoPath: string | undefined;
  readonly debugPath: string | undefined;
  /** `auto`: text on a terminal, JSON in files. */
  readonly format: 'auto' | 'text' | 'json';
  /** strftime pattern in front of text lines. */
  readonly timestamp: string;
  readonly syslog: { readonly facility: string; readonly socket: string };
}

export interface ServerPlan {
  readonly configPath: string;
  readonly baseDir: string;
  readonly instanceName: string;
  readonly protocols: readonly string[];
  readonly services: readonly ServicePlan[];
  readonly log: LogPlan;
  /** End sessions on reload and stop, or let them finish. */
  /** How often the keys of TLS session tickets change; 0 or Infinity: never. */
  readonly ticketKeyIntervalMs: number;
  readonly shutdownClients: boolean;
  /** How long clients may take to end when told to, ms. */
  readonly stopGraceMs: number;
  readonly isVerboseTitle: boolean;
  /** Processes that serve few clients are copies of a template. */
  readonly hasTemplates: boolean;
  /** Processes that serve any number of clients play sessions with themselves while they have none. */
  readonly hasPractice: boolean;
  readonly isDebug: boolean;
  /** Names, or NAME=VALUE, that children get from the environment. */
  readonly importEnvironment: readonly string[];
  /** Who may connect to the private sockets of mail processes; undefined: the master's own user. */
  readonly loginIdentity: Identity | undefined;
  /** For users whose auth reply names no uid (root only). */
  readonly mailIdentity: Identity | undefined;
  /** Bounds that the uid and gid of a mail process must respect; 0 for `last` is no bound. */
  readonly validIds: { readonly firstUid: number; readonly lastUid: number; readonly firstGid: number; readonly lastGid: number };
  /** What an administrator may wonder about, told once after the start. */
  readonly explanations: readonly string[];
  /** What is not as the configuration says, told once after the start. */
  readonly notices: readonly string[];
  /** What keeps the server from running like this, found only with the accounts of the machine at hand. */
  readonly problems: readonly string[];
}
