// Running the server in this process, from reading its configuration to its end.
import { existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { loadConfig } from '#config/load.js';
import { problemText } from '#config/problem.js';
import { ListenError, ListeningSockets } from '#ipc/listening-socket.js';
import { LogFiles } from '#log/files.js';
import { createLogger } from '#log/logger.js';
import { Syslog } from '#log/syslog.js';
import { allocateYoung } from '#service-kit/allocate-young.js';
import { compileSooner } from '#service-kit/compile-sooner.js';
import { settingsGroups } from '#services/registry.js';
import { isBackground, tellStarter } from './background.js';
import { defaultRolesFolder } from './child-command.js';
import { SystemAccounts } from './identity.js';
import { BindError } from './listeners.js';
import { type LoadedPlan, Master } from './master.js';
import { complain, exitCodes, say } from './messages.js';
import { findRunning, pidFilePath } from './pid-file.js';
import type { ServerPlan } from './plan.js';
import { planServer } from './plan-from-config.js';
import { serviceManager } from './systemd.js';

export interface ServerOptions {
  readonly configPath: string;
  /** Folder of the role bundles; beside the running bundle when left out. */
  readonly rolesFolder?: string;
  /** Text lines on standard error even where it is no terminal. */
  readonly isTextLog?: boolean;
  /** Replaces the grace time that the configuration gives sessions at the end, ms. */
  readonly stopGraceMs?: number;
  /** Called before each reading of the configuration. */
  readonly beforeLoad?: () => void;
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
    mkdirSync(plan.baseDir, { recursive: true, mode: 0o755 });
    sockets = new ListeningSockets();
    const { facility, socket } = plan.log.syslog;
    const syslog = new Syslog({ facility, ident: plan.instanceName, send: (text) => sockets.sendDatagram(socket, text) });
    logFiles = new LogFiles(plan.log, options.isTextLog === true || process.stderr.isTTY === true, syslog);
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
  compileSooner('master');
  allocateYoung();
  options.onReady?.(plan);
  tellStarter();
  await master.stopped;
  removeHandlers();
  logFiles.close();
  return exitCodes.ok;
}

/** Reads the configuration into a plan. */
export function loadPlan(options: Pick<ServerOptions, 'configPath' | 'beforeLoad' | 'stopGraceMs'>, rolesFolder: string): LoadedPlan {
  options.beforeLoad?.();
  const config = loadConfig(options.configPath, { groups: settingsGroups });
  const errors = config.problems.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) return { kind: 'broken', problems: errors.map(problemText) };
  const plan = planServer(config, {
    accounts: new SystemAccounts(),
    isRoot: process.getuid?.() === 0,
    groups: settingsGroups,
    hasRole: (role) => existsSync(join(rolesFolder, `${role}.cjs`)),
    isBackground: isBackground(),
    hasSocket: (path) => statSync(path, { throwIfNoEntry: false })?.isSocket() === true,
  });
  if (plan.problems.length > 0) return { kind: 'broken', problems: plan.problems };
  const { stopGraceMs = plan.stopGraceMs } = options;
  return { kind: 'plan', plan: { ...plan, stopGraceMs }, warnings: config.problems.map(problemText) };
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
