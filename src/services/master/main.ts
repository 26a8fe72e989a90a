// What `roost` does after its options are read: run the server, or act on the one that runs.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig } from '#config/load.js';
import { problemText } from '#config/problem.js';
import { generalOf } from '#config/service-settings.js';
import { ListenError, ListeningSockets } from '#ipc/listening-socket.js';
import { askMaster, MasterClientError } from '#ipc/master-client.js';
import { LogFiles } from '#log/files.js';
import { createLogger } from '#log/logger.js';
import { settingsGroups } from '#services/registry.js';
import { defaultRolesFolder } from './child-command.js';
import { SystemAccounts } from './identity.js';
import { BindError } from './listeners.js';
import { type LoadedPlan, Master } from './master.js';
import { findRunning, pidFilePath } from './pid-file.js';
import type { ServerPlan } from './plan.js';
import { planServer } from './plan-from-config.js';
import { serviceManager } from './systemd.js';

/** Exit codes of `roost`: fatal (wrong configuration, cannot start) as Dovecot's. */
export const exitCodes = { ok: 0, failed: 1, fatal: 89 } as const;

export interface ServerOptions {
  readonly configPath: string;
  /** Folder of the role bundles; beside the running bundle when left out. */
  readonly rolesFolder?: string;
  /** Where lines go when log_path names no file; standard error when left out. */
  readonly fallbackLogPath?: string;
  /** Called when the server accepts connections. */
  readonly onReady?: (plan: ServerPlan) => void;
}

/**
 * Runs the server in the foreground until it is told to end.
 * @returns the exit code
 */
export async function runServer(options: ServerOptions): Promise<number> {
  const rolesFolder = options.rolesFolder ?? defaultRolesFolder(import.meta.url);
  const loaded = loadPlan(options, rolesFolder);
  if (loaded.kind === 'broken') return complain(loaded.problems);
  for (const warning of loaded.warnings) say(warning);
  const { plan } = loaded;
  const running = await findRunning(plan.baseDir);
  if (running !== undefined) return complain([`Roost is already running with PID ${running} (read from ${pidFilePath(plan.baseDir)})`]);
  let sockets: ListeningSockets;
  let logFiles: LogFiles;
  try {
    sockets = new ListeningSockets();
    logFiles = new LogFiles(plan.log, process.stderr.isTTY === true || process.env['ROOST_LOG_TEXT'] === '1');
  } catch (error) {
    return complain([error instanceof Error ? error.message : String(error)]);
  }
  const lines = logFiles.streamFor('master: ', process.pid);
  const log = createLogger({
    prefix: 'master: ',
    debug: plan.isDebug,
    destination: { write: (line: string) => lines.push(Buffer.from(line)) },
  });
  const manager = serviceManager(process.env, sockets);
  const master = new Master({
    plan,
    load: async () => loadPlan(options, rolesFolder),
    rolesFolder,
    sockets,
    log,
    logFiles,
    isRoot: process.getuid?.() === 0,
    notify: manager.notify,
  });
  master.listeners.adopt(manager.findSockets(plan.services.flatMap((service) => service.listeners)));
  const removeHandlers = handleSignals(master);
  try {
    await master.start();
  } catch (error) {
    removeHandlers();
    if (error instanceof BindError) return complain(error.problems);
    if (error instanceof ListenError) return complain([error.message]);
    throw error;
  }
  process.title = plan.instanceName;
  options.onReady?.(plan);
  await master.stopped;
  removeHandlers();
  logFiles.close();
  return exitCodes.ok;
}

/** Reads the configuration into a plan. */
export function loadPlan(options: Pick<ServerOptions, 'configPath' | 'fallbackLogPath'>, rolesFolder: string): LoadedPlan {
  const config = loadConfig(options.configPath, { groups: settingsGroups });
  const errors = config.problems.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) return { kind: 'broken', problems: errors.map(problemText) };
  const plan = planServer(config, {
    accounts: new SystemAccounts(),
    isRoot: process.getuid?.() === 0,
    groups: settingsGroups,
    hasRole: (role) => existsSync(join(rolesFolder, `${role}.cjs`)),
    fallbackLogPath: options.fallbackLogPath,
  });
  return { kind: 'plan', plan, warnings: config.problems.map(problemText) };
}

/**
 * `roost reload` and `roost stop`: prints what is wrong on standard error.
 * @returns the exit code: 0 when done
 */
export async function controlMaster(command: 'reload' | 'stop', configPath: string): Promise<number> {
  // Reload must reach the server even when the new configuration is broken: it is the server that says so.
  const config = loadConfig(configPath, { groups: settingsGroups, checksMachine: false, readsValueFiles: false });
  let baseDir: string;
  try {
    baseDir = generalOf(config).base_dir;
  } catch {
    return complain(config.problems.filter(({ severity }) => severity === 'error').map(problemText));
  }
  try {
    const reply = await askMaster(baseDir, { command }, { timeoutMs: 60_000, untilEnd: command === 'stop' });
    if (!reply.ok) return complain(reply.problems);
    for (const warning of reply.warnings ?? []) say(warning);
    return exitCodes.ok;
  } catch (error) {
    if (!(error instanceof MasterClientError)) throw error;
    return complain([error.code === 'not-running' ? `Roost is not running (${error.message})` : error.message]);
  }
}

function handleSignals(master: Master): () => void {
  const stop = (signal: NodeJS.Signals): void => void master.stop(`Killed with signal ${signal === 'SIGINT' ? 2 : 15} (${signal})`);
  const reload = (): void => void master.reload();
  const reopen = (): void => master.reopenLogs();
  process.on('SIGTERM', stop).on('SIGINT', stop).on('SIGHUP', reload).on('SIGUSR1', reopen);
  return () => {
    process.off('SIGTERM', stop).off('SIGINT', stop).off('SIGHUP', reload).off('SIGUSR1', reopen);
  };
}

function complain(problems: readonly string[]): number {
  for (const problem of problems) process.stderr.write(`roost: Fatal: ${problem}\n`);
  return exitCodes.fatal;
}

function say(text: string): void {
  process.stderr.write(`roost: ${text}\n`);
}
