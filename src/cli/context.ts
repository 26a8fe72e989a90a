// What commands work with. Everything heavy is loaded when it is first asked for, so that `--help` and a mistyped option cost nothing.
import { join } from 'node:path';
import type { AuthClient, AuthMasterClient } from '#auth/client.js';
import type { AuthAdmin } from '#auth/master-connection.js';
import type { SettingsGroup, SettingsOf } from '#config/define.js';
import type { ResolvedConfig } from '#config/resolve.js';
import type { SettingsSource } from '#config/settings-source.js';
import type { MasterReply, MasterRequest } from '#ipc/master-client.js';
import type { Logger } from '#log/logger.js';
import { AdminError, type ExitReason, exitCodes } from './exit-codes.js';
import { createStderrLogger } from './log.js';
import type { Output } from './output.js';

export interface ContextOptions {
  readonly output: Output;
  /** Undefined for the usual place. */
  readonly configFile: string | undefined;
  readonly isVerbose: boolean;
  readonly isDebug: boolean;
  /** Aborted when the administrator has had enough (Ctrl-C) or nobody reads the output any more. */
  readonly signal: AbortSignal;
}

const controlTimeoutMs = 60_000;

export class Context {
  readonly output: Output;
  readonly isVerbose: boolean;
  readonly isDebug: boolean;
  readonly signal: AbortSignal;
  readonly #configFile: string | undefined;
  #config: Promise<ResolvedConfig> | undefined;
  #exitCode = 0;
  readonly #closers: (() => void)[] = [];

  constructor({ output, configFile, isVerbose, isDebug, signal }: ContextOptions) {
    this.output = output;
    this.#configFile = configFile;
    this.isVerbose = isVerbose;
    this.isDebug = isDebug;
    this.signal = signal;
  }

  /** Of the command so far. */
  get exitCode(): number {
    return this.#exitCode;
  }

  /** Says what failed; the command goes on, and ends with the code of the first failure. @param user whose mail it is about */
  fail(reason: ExitReason, message: string, user?: string): void {
    if (message !== '') this.output.error(`roostadm${user === undefined ? '' : `(${user})`}: Error: ${message}\n`);
    if (this.#exitCode === 0) this.#exitCode = exitCodes[reason];
  }

  /** The log of parts that do the work: standard error. */
  logFor(user: string | undefined): Logger {
    return createStderrLogger(this.output, `roostadm${user === undefined ? '' : `(${user})`}: `, {
      isVerbose: this.isVerbose,
      isDebug: this.isDebug,
    });
  }

  async configFile(): Promise<string> {
    return this.#configFile ?? (await import('#config/load.js')).defaultConfigFile;
  }

  /** @throws AdminError `config`, after its problems were written */
  config(): Promise<ResolvedConfig> {
    this.#config ??= this.#loadConfig();
    return this.#config;
  }

  async #loadConfig(): Promise<ResolvedConfig> {
    const [{ loadConfig }, { problemText }, { settingsGroups }] = await Promise.all([
      import('#config/load.js'),
      import('#config/problem.js'),
      import('#services/registry.js'),
    ]);
    // Files that only processes of the server may read, such as private keys, are nothing to this one.
    const config = loadConfig(await this.configFile(), {
      groups: settingsGroups,
      readsValueFiles: false,
      checksMachine: false,
    });
    const errors = config.problems.filter(({ severity }) => severity === 'error');
    for (const error of errors) this.output.error(`roostadm: ${problemText(error)}\n`);
    if (errors.length > 0) {
      throw new AdminError('config', `${errors.length} ${errors.length === 1 ? 'error' : 'errors'} in configuration file ${config.path}`);
    }
    return config;
  }

  /** Settings as a process of this command has them, `protocol doveadm { }` blocks included. */
  async settings(groups: readonly SettingsGroup[], sections: readonly string[] = []): Promise<SettingsSource> {
    const { packSettings, unpackSettings } = await import('#config/pack.js');
    return unpackSettings(packSettings(await this.config(), { name: 'doveadm', protocol: 'doveadm' }, groups, sections));
  }

  async settingsOf<Group extends SettingsGroup>(group: Group): Promise<SettingsOf<Group>> {
    return (await this.settings([group])).get(group);
  }

  async baseDir(): Promise<string> {
    const { generalSettings } = await import('#config/groups/general.js');
    return (await this.settingsOf(generalSettings)).base_dir;
  }

  /** @throws AdminError when there is no server to ask, or it refuses */
  async askMaster(request: MasterRequest): Promise<Extract<MasterReply, { ok: true }>> {
    const { askMaster, MasterClientError } = await import('#ipc/master-client.js');
    let reply: MasterReply;
    try {
      reply = await askMaster(await this.baseDir(), request, { timeoutMs: controlTimeoutMs, untilEnd: request.command === 'stop' });
    } catch (cause) {
      if (!(cause instanceof MasterClientError)) throw cause;
      if (cause.code === 'not-running') throw new AdminError('temporary', `Roost is not running (${cause.message})`, { cause });
      throw new AdminError(cause.code === 'denied' ? 'permission' : 'temporary', cause.message, { cause });
    }
    if (!reply.ok) {
      for (const problem of reply.problems.slice(0, -1)) this.output.error(`roostadm: Error: ${problem}\n`);
      throw new AdminError('config', reply.problems.at(-1) ?? `${request.command} failed`);
    }
    // They say themselves that they are warnings, after file and line.
    for (const warning of reply.warnings ?? []) this.output.error(`roostadm: ${warning}\n`);
    return reply;
  }

  /** Asks auth as a mail process does. @throws AdminError when nobody listens */
  async authMaster(): Promise<AuthMasterClient & AuthAdmin> {
    const [{ connectAuthMaster }, { findSocket }] = await Promise.all([import('#auth/master-connection.js'), import('./sockets.js')]);
    const baseDir = await this.baseDir();
    // Only root and the server's own user may use the first; the second tells everybody about himself.
    const path = await findSocket([join(baseDir, 'auth-master'), join(baseDir, 'auth-userdb')]);
    const client = connectAuthMaster({ path, log: this.logFor(undefined) });
    this.#closers.push(() => client.close());
    return client;
  }

  /**
   * Asks auth as a login process does.
   * @param socketPath as the administrator says; undefined: the first of `names` below base_dir that somebody listens on
   * @throws AdminError when nobody listens
   */
  async authClient(socketPath: string | undefined, names: readonly string[]): Promise<AuthClient> {
    const [{ connectAuth }, { findSocket }] = await Promise.all([import('#auth/auth-connection.js'), import('./sockets.js')]);
    const baseDir = await this.baseDir();
    const paths = socketPath === undefined ? names.map((name) => join(baseDir, name)) : [socketPath];
    const client = connectAuth({ path: await findSocket(paths), log: this.logFor(undefined) });
    this.#closers.push(() => client.close());
    return client;
  }

  close(): void {
    for (const close of this.#closers.splice(0)) close();
  }
}
