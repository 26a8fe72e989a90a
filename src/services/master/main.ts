// What `roost` does after its options are read: run the server, or act on the one that runs.
import { resolve } from 'node:path';
import { loadConfig } from '#config/load.js';
import { problemText } from '#config/problem.js';
import { generalOf } from '#config/service-settings.js';
import { askMaster, MasterClientError } from '#ipc/master-client.js';
import { settingsGroups } from '#services/registry.js';
import { runInBackground } from './background.js';
import { runDevelopmentInstance } from './dev/instance.js';
import { complain, exitCodes, say } from './messages.js';
import { runServer } from './server.js';

/**
 * Runs the server.
 * @param options.configFile absolute or relative; for `dev` '' is ./var/roost.conf
 * @returns exit code: at the end of the server in the foreground, after its start otherwise
 */
export async function runMaster(options: {
  readonly configFile: string;
  readonly foreground: boolean;
  readonly dev?: boolean;
}): Promise<number> {
  if (options.dev === true) return await runDevelopmentInstance(options.configFile);
  const configPath = resolve(options.configFile);
  if (options.foreground) return await runServer({ configPath });
  return await runInBackground(configPath);
}

/**
 * `roost reload` and `roost stop`: prints what is wrong on standard error.
 * @returns the exit code: 0 when done
 */
export async function controlMaster(configPath: string, command: 'reload' | 'stop'): Promise<number> {
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
