// The configuration as a plan: effective limits, sockets with numeric owners, who runs as whom.
import { isIP } from 'node:net';
import { resolve } from 'node:path';
import type { SettingsGroup, SettingsOf } from '#config/define.js';
import type { generalSettings } from '#config/groups/general.js';
import { packSettings } from '#config/pack.js';
import type { ResolvedConfig } from '#config/resolve.js';
import {
  generalOf,
  globalText,
  type InetListener,
  type ServiceSettings,
  serviceSettings,
  type UnixListener,
} from '#config/service-settings.js';
import { syslogTarget } from '#log/files.js';
import { facilityCode } from '#log/syslog.js';
import type { Accounts } from './identity.js';
import { keyOf } from './identity-key.js';
import type { Identity, ListenerPlan, LogPlan, RefusalProtocol, ServerPlan, ServicePlan } from './plan.js';

export interface PlanOptions {
  readonly accounts: Accounts;
  readonly isRoot: boolean;
  /** Every settings group there is (services/registry.ts). */
  readonly groups: readonly SettingsGroup[];
  /** Is there a UNIX socket with this path? */
  readonly hasSocket: (path: string) => boolean;
  /** Roles that have a bundle. */
  readonly hasRole: (role: string) => boolean;
  /** There is no standard error to log to: without a log_path lines go to base_dir/roost.log. */
  readonly isBackground: boolean;
}

/** Blocks with passwords in them: never for processes that talk to clients who have not logged in. */
const secretSections: ReadonlySet<string> = new Set(['passdb', 'userdb']);

/** Roles that logged-in connections are handed to. */
const mailRoles: ReadonlySet<string> = new Set(['imap', 'pop3']);
/** They, and those that sessions are passed on to; all run as the user they serve. */
const sessionRoles: ReadonlySet<string> = new Set([...mailRoles, 'imap-hibernate', 'deliver']);
/** Roles that take messages for many users; what is not their own user's they pass on to the service `deliver`. */
const deliveryRoles: ReadonlySet<string> = new Set(['lmtp', 'smtp']);
/** Roles whose state or half-finished work other processes depend on: kept over a reload while nothing of theirs changes. */
const keptRoles: ReadonlySet<string> = new Set(['anvil', 'auth']);
const refusals: Readonly<Record<string, RefusalProtocol>> = { imap: 'imap', pop3: 'pop3', smtp: 'smtp', lmtp: 'smtp' };

type General = SettingsOf<typeof generalSettings>;

/** Only for a configuration without errors. */
export function planServer(config: ResolvedConfig, options: PlanOptions): ServerPlan {
  const planner = new Planner(config, options);
  return planner.plan();
}

class Planner {
  readonly #config: ResolvedConfig;
  readonly #options: PlanOptions;
  readonly #general: General;
  readonly #notices: string[] = [];
  readonly #problems: string[] = [];
  readonly #missingUsers = new Set<string>();

  constructor(config: ResolvedConfig, options: PlanOptions) {
    this.#config = config;
    this.#options = options;
    this.#general = generalOf(config);
  }

  plan(): ServerPlan {
    const general = this.#general;
    const baseDir = resolve(general.base_dir);
    const mailIdentity = this.#mailIdentity();
    const enabled = serviceSettings(this.#config).filter(({ isEnabled }) => isEnabled);
    // Where one user owns all processes there is nobody else to deliver for, unless somebody wants to see one.
    const isNeeded = ({ role, processMinAvail }: ServiceSettings): boolean =>
      role !== 'deliver' || this.#options.isRoot || processMinAvail > 0;
    const services = enabled
      .filter((service) => this.#options.hasRole(service.role) && isNeeded(service))
      .map((service) => this.#planService(service, mailIdentity));
    if (!this.#options.isRoot) {
      this.#notices.push('not started as root: all processes run as the same user, user and group settings are not applied');
    }
    return {
      configPath: this.#config.path,
      baseDir,
      instanceName: general.instance_name,
      protocols: general.protocols,
      services,
      log: this.#planLog(),
      ticketKeyIntervalMs: general.ssl_ticket_key_interval,
      shutdownClients: general.shutdown_clients,
      stopGraceMs: general.shutdown_clients ? 5_000 : 30_000,
      isVerboseTitle: general.verbose_proctitle,
      hasTemplates: general.process_templates,
      hasPractice: general.process_practice,
      isDebug: this.#text('mail_debug') === 'yes' || this.#text('auth_debug') === 'yes' || this.#text('log_debug') !== '',
      importEnvironment: general.import_environment.split(/\s+/).filter((item) => item !== ''),
      loginIdentity: this.#options.isRoot ? this.#userOr(general.default_login_user) : undefined,
      mailIdentity,
      validIds: {
        firstUid: this.#number('first_valid_uid'),
        lastUid: this.#number('last_valid_uid'),
        firstGid: this.#number('first_valid_gid'),
        lastGid: this.#number('last_valid_gid'),
      },
      explanations: this.#explainChroot(enabled),
      notices: this.#notices,
      problems: this.#problems,
    };
  }

  /** There is no chroot(2) in Node; what a login process may reach is bounded in another way, and nothing else is. */
  #explainChroot(services: readonly ServiceSettings[]): string[] {
    const jailed = services.filter(({ chroot, role }) => chroot !== '' && this.#options.hasRole(role));
    const isLogin = ({ type, role }: ServiceSettings): boolean => type === 'login' || role.endsWith('-login');
    for (const { name, written } of jailed.filter((service) => !isLogin(service) && service.written.has('chroot'))) {
      const place = written.get('chroot');
      this.#notices.push(`${place === undefined ? '' : `${place.file}:${place.line}: `}service(${name}): chroot has no effect`);
    }
    const names = jailed.filter(isLogin).map(({ name }) => name);
    if (names.length === 0) return [];
    const user = this.#options.isRoot ? `, and they run as ${this.#general.default_login_user}` : '';
    return [
      `service(${names.join(', ')}): chroot: in its place Node's permission model keeps these processes from all files but their code${user}`,
    ];
  }

  #planService(service: ServiceSettings, mailIdentity: Identity | undefined): ServicePlan {
    const { name, role } = service;
    this.#noticePrivilegedGroup(service);
    const listensItself = mailRoles.has(role) && service.inetListeners.length > 0;
    const target = { name, protocol: role === 'deliver' ? 'lmtp' : service.protocol };
    const isLogin = service.type === 'login' || role.endsWith('-login');
    // Private keys go where TLS ends. Mail processes behind a login process declare the settings, too, for what they offer in direct mode.
    const speaksTls = isLogin || service.inetListeners.length > 0;
    const servesSessions = sessionRoles.has(role);
    // Connections come back to it after UNAUTHENTICATE.
    const takesHandoffs = servesSessions || role === 'imap-login';
    const isPerUser = this.#options.isRoot && servesSessions && (service.user === '' || service.user === 'root');
    const identity = this.#identityOf(service, mailIdentity);
    const defaultKey = isPerUser ? keyOf(mailIdentity) : '';
    const serviceCount = finiteOr(service.serviceCount, 0);
    let processMinAvail = service.processMinAvail;
    if (isPerUser && mailIdentity === undefined && processMinAvail > 0) {
      this.#notices.push(
        `service(${name}): process_min_avail has no effect while neither mail_uid nor a static userdb says whom to run as`,
      );
      processMinAvail = 0;
    }
    const backlog =
      service.listenBacklog > 0 ? service.listenBacklog : Math.max(4, Math.min(65_535, service.processLimit * service.clientLimit));
    return {
      name,
      role,
      isLogin,
      takesHandoffs,
      isPerUser,
      identity,
      serves: !this.#options.isRoot ? 'all' : this.#hasNoMailUser(service, mailIdentity) ? 'named' : 'own',
      senders: this.#options.isRoot && (role === 'deliver' || isLogin) ? this.#internalIdentity() : undefined,
      extraGroups: this.#options.isRoot ? service.extraGroups.map((group) => this.#groupOr(group)) : [],
      isConfined: isLogin || role === 'stats',
      limits: {
        processLimit: service.processLimit,
        clientLimit: service.clientLimit,
        serviceCount,
        processMinAvail,
        // Dovecot writes the largest unsigned number of seconds for "never".
        idleKillMs: service.idleKillMs >= 4_294_967_295_000 ? Number.POSITIVE_INFINITY : service.idleKillMs,
        // In direct mode the clients that have not logged in are here.
        isLogin: isLogin || listensItself,
        defaultKey,
      },
      vszLimitBytes: finiteOr(service.vszLimit, 0),
      threadPoolSize: service.threadPoolSize > 0 ? service.threadPoolSize : undefined,
      listeners: this.#listenersOf(service, backlog, isPerUser && mailIdentity === undefined),
      refusal: refusals[service.protocol],
      settingsFor: (needs, accepts) => {
        const groups = this.#options.groups.filter((group) => needs.settings.includes(group.name));
        const sections = needs.sections.filter((kind) => !isLogin || !secretSections.has(kind));
        return packSettings(this.#config, target, groups, sections, { withSecrets: isLogin || (speaksTls && accepts) });
      },
      survivesReload: keptRoles.has(role),
    };
  }

  /** A group that Dovecot's processes take on for single calls, for lock files beside mailbox files. All threads of a Node process have the same groups. */
  #noticePrivilegedGroup({ name, privilegedGroup, written }: ServiceSettings): void {
    const place = written.get('privileged_group');
    if (privilegedGroup === '' || place === undefined) return;
    this.#notices.push(
      `${place.file}:${place.line}: service(${name}): privileged_group has no effect, Maildir needs none; extra_groups gives processes a group for good`,
    );
  }

  #listenersOf(service: ServiceSettings, backlog: number, isIdentityUnknown: boolean): ListenerPlan[] {
    const inet = service.inetListeners.flatMap((listener) => this.#inetPlans(service, listener, backlog));
    // stats-reader and stats-writer are Dovecot's own; login/imap and imap-master carry its own hand-off; ours has a socket for each process.
    if (service.role === 'stats') return inet;
    if (!sessionRoles.has(service.role))
      return [...inet, ...service.unixListeners.map((listener) => this.#unixPlan(service, listener, backlog))];
    if (inet.length > 0 && isIdentityUnknown) {
      const [listener] = service.inetListeners;
      const place = listener?.place === undefined ? '' : `${listener.place.file}:${listener.place.line}: `;
      this.#problems.push(
        `${place}service ${service.name} { inet_listener ${listener?.name ?? ''} }: mail processes that accept clients themselves cannot change to the ` +
          `user who logs in; set mail_uid and mail_gid (or service ${service.name} { user }) to the one user who owns all mail, or remove the listener`,
      );
      return [];
    }
    return inet;
  }

  #inetPlans(service: ServiceSettings, listener: InetListener, backlog: number): ListenerPlan[] {
    return listener.addresses.map((written) => {
      const address = written === '*' ? '0.0.0.0' : written.replace(/^\[(.*)\]$/, '$1');
      const setting = `service ${service.name} { inet_listener ${listener.name} { port } }`;
      return {
        key: `inet:${address}:${listener.port}`,
        kind: 'inet',
        name: listener.name,
        isTls: listener.isTls,
        isHaproxy: listener.haproxy,
        isReusePort: listener.reusePort,
        address: isIP(address) === 0 ? resolveHost(address) : address,
        port: listener.port,
        backlog,
        keepAliveMs: listener.keepAliveMs,
        mode: 0,
        uid: undefined,
        gid: undefined,
        setting: listener.place === undefined ? setting : `${setting}, ${listener.place.file}:${listener.place.line}`,
      };
    });
  }

  #unixPlan(service: ServiceSettings, listener: UnixListener, backlog: number): ListenerPlan {
    const { mode, user, group } = this.#accessTo(listener);
    const owner = this.#options.isRoot && user !== '' ? this.#userOr(user) : undefined;
    const gid = this.#options.isRoot && group !== '' ? this.#groupOr(group) : owner?.gid;
    return {
      key: `unix:${listener.path}:${mode}:${owner?.uid ?? ''}:${gid ?? ''}`,
      kind: 'unix',
      name: listener.name,
      isTls: false,
      isHaproxy: false,
      isReusePort: false,
      address: listener.path,
      port: 0,
      backlog,
      keepAliveMs: 0,
      mode,
      uid: owner?.uid,
      gid,
      setting: `service ${service.name} { unix_listener ${listener.name} }`,
    };
  }

  /**
   * Dovecot's mail processes reach auth-master and anvil as root, before they change to their user. Ours are never root: they have the internal
   * group (extra_groups), and login processes their user. What an administrator wrote stays as it is.
   */
  #accessTo({ name, place, mode, user, group }: UnixListener): { readonly mode: number; readonly user: string; readonly group: string } {
    if (!this.#options.isRoot || place !== undefined) return { mode, user, group };
    const { default_internal_group: internalGroup, default_login_user: loginUser } = this.#general;
    if (name === 'auth-master') return { mode: 0o660, user, group: internalGroup };
    if (name === 'anvil' || name === 'anvil-auth-penalty') return { mode: 0o660, user: loginUser, group: internalGroup };
    return { mode, user, group };
  }

  /** Whom the processes of a service run as; undefined: as the master (not root), or as the user that each one serves. */
  #identityOf(service: ServiceSettings, mailIdentity: Identity | undefined): Identity | undefined {
    if (!this.#options.isRoot) return undefined;
    if (service.user !== '' && service.user !== 'root') {
      const user = this.#userOr(service.user);
      const gid = service.group === '' ? undefined : this.#groupOr(service.group);
      return gid === undefined ? user : { uid: user.uid, gid };
    }
    if (sessionRoles.has(service.role)) return undefined;
    if (!deliveryRoles.has(service.role)) return undefined;
    // Without one user for all mail these processes touch none: for each user there is a process of the service `deliver`.
    return mailIdentity ?? this.#internalIdentity();
  }

  /** A service that takes messages, and nobody says whom to run as. */
  #hasNoMailUser({ role, user }: ServiceSettings, mailIdentity: Identity | undefined): boolean {
    return deliveryRoles.has(role) && (user === '' || user === 'root') && mailIdentity === undefined;
  }

  #internalIdentity(): Identity {
    const { default_internal_user: user, default_internal_group: group } = this.#general;
    return { uid: this.#userOr(user).uid, gid: this.#groupOr(group) };
  }

  /** mail_uid and mail_gid; or what the only static userdb gives to every user. */
  #mailIdentity(): Identity | undefined {
    if (!this.#options.isRoot) return undefined;
    const fields = { ...this.#staticUserdbFields(), ...nonEmpty({ uid: this.#text('mail_uid'), gid: this.#text('mail_gid') }) };
    if (fields['uid'] === undefined) return undefined;
    const user = this.#options.accounts.findUser(fields['uid']);
    if (user === undefined) {
      this.#notices.push(`user ${fields['uid']} of mail_uid or of the static userdb does not exist`);
      return undefined;
    }
    const gid = fields['gid'] === undefined ? undefined : this.#options.accounts.findGroup(fields['gid']);
    return { uid: user.uid, gid: gid ?? user.gid };
  }

  #staticUserdbFields(): Readonly<Record<string, string>> {
    const blocks = (this.#config.layers[0]?.blocks ?? []).filter(({ kind }) => kind === 'userdb');
    const [only] = blocks;
    if (only === undefined || blocks.length > 1) return {};
    const text = (key: string): string => only.values.get(key)?.text ?? '';
    const isStatic = text('driver') === 'static';
    const words = `${text('default_fields')} ${isStatic ? text('args') : ''} ${text('override_fields')}`.split(/\s+/);
    const fields: Record<string, string> = {};
    for (const word of words) {
      const at = word.indexOf('=');
      const name = word.slice(0, Math.max(0, at));
      const value = word.slice(at + 1);
      // A value with variables differs from user to user.
      if ((name === 'uid' || name === 'gid') && value !== '' && !value.includes('%')) fields[name] = value;
    }
    return fields;
  }

  #userOr(name: string): Identity {
    const user = this.#options.accounts.findUser(name);
    if (user !== undefined) return user;
    const nobody = this.#options.accounts.findUser('nobody') ?? { uid: 65_534, gid: 65_534 };
    if (!this.#missingUsers.has(name)) {
      this.#missingUsers.add(name);
      this.#notices.push(`user ${name} does not exist on this machine, nobody takes its place`);
    }
    return nobody;
  }

  #groupOr(name: string): number {
    const gid = this.#options.accounts.findGroup(name);
    if (gid !== undefined) return gid;
    const nobody = this.#userOr('nobody');
    if (!this.#missingUsers.has(`group ${name}`)) {
      this.#missingUsers.add(`group ${name}`);
      this.#notices.push(`group ${name} does not exist on this machine, the group of nobody takes its place`);
    }
    return nobody.gid;
  }

  #planLog(): LogPlan {
    const fallback = this.#options.isBackground ? resolve(this.#general.base_dir, 'roost.log') : undefined;
    const syslog = { facility: this.#text('syslog_facility'), socket: this.#text('syslog_socket') };
    if (facilityCode(syslog.facility) === undefined)
      this.#notices.push(`syslog_facility: unknown facility ${syslog.facility}, mail takes its place`);
    const path = (key: string, otherwise: string | undefined): string | undefined => {
      const text = this.#text(key);
      if (text === '') return otherwise;
      if (text === 'syslog') {
        if (this.#options.hasSocket(syslog.socket)) return syslogTarget;
        const notice = `there is no system logger at ${syslog.socket}, ${fallback ?? 'standard error'} takes its place`;
        if (!this.#notices.includes(notice)) this.#notices.push(notice);
        return fallback;
      }
      return text === '/dev/stderr' ? fallback : resolve(this.#general.base_dir, text);
    };
    const errorPath = path('log_path', fallback);
    const infoPath = path('info_log_path', errorPath);
    const format = this.#text('log_format');
    return {
      errorPath,
      infoPath,
      debugPath: path('debug_log_path', infoPath),
      format: format === 'text' || format === 'json' ? format : 'auto',
      timestamp: this.#text('log_timestamp'),
      syslog,
    };
  }

  #text(key: string): string {
    return globalText(this.#config, key) ?? '';
  }

  #number(key: string): number {
    const value = Number(this.#text(key));
    return Number.isFinite(value) ? value : 0;
  }
}

function finiteOr(value: number, otherwise: number): number {
  return Number.isFinite(value) ? value : otherwise;
}

function nonEmpty(values: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== ''));
}

/** Host names are looked up in the hosts file only by what they commonly are: a listener must not depend on a name server at the start. */
function resolveHost(name: string): string {
  return name === 'localhost' ? '127.0.0.1' : name;
}
