// `roost -n`, `-a`, `roost NAME`: the configuration as it was understood.
import { readFileSync } from 'node:fs';
import { arch, hostname, release, type } from 'node:os';
import { loadConfig } from '#config/load.js';
import { findItems, type PrintedItem, printedItems, printItems } from '#config/print.js';
import { problemText } from '#config/problem.js';
import type { ResolvedConfig } from '#config/resolve.js';
import { didYouMean } from '#config/suggest.js';
import { version } from '#config/version.js';
import { settingsGroups } from '#services/registry.js';
import type { ServerCommand } from './options.js';

/** Where a command writes. */
export interface Output {
  readonly out: (text: string) => void;
  readonly error: (text: string) => void;
}

/** Exit code for a configuration that cannot be used, the same as Dovecot's. */
export const badConfigExitCode = 89;

/** `Debian 12.11`, or ''. */
function distribution(): string {
  try {
    const release = readFileSync('/etc/os-release', 'utf8');
    const name = /^ID="?([^"\n]*)/m.exec(release)?.[1] ?? '';
    let number = /^VERSION_ID="?([^"\n]*)/m.exec(release)?.[1] ?? '';
    if (name === 'debian') number = readFileSync('/etc/debian_version', 'utf8').trim() || number;
    return `${name.charAt(0).toUpperCase()}${name.slice(1)} ${number}`.trim();
  } catch {
    return '';
  }
}

export function headerLines(configFile: string): string {
  const os = `${type()} ${release()} ${arch() === 'x64' ? 'x86_64' : arch()} ${distribution()}`.trimEnd();
  return `# ${version}: ${configFile}\n# OS: ${os}\n# Hostname: ${hostname()}\n`;
}

/** Writes all problems; true when one of them is an error. */
export function reportProblems(config: ResolvedConfig, { error }: Output): boolean {
  for (const problem of config.problems) error(`roost: ${problemText(problem)}\n`);
  const errors = config.problems.filter(({ severity }) => severity === 'error').length;
  if (errors > 0) error(`roost: Fatal: ${errors} ${errors === 1 ? 'error' : 'errors'} in configuration file ${config.path}\n`);
  return errors > 0;
}

export function printConfig(command: Extract<ServerCommand, { kind: 'print' }>, output: Output): number {
  const config = loadConfig(command.configFile, {
    groups: settingsGroups,
    readsValueFiles: command.expandsFiles,
    checksMachine: false,
  });
  const { mode, showsSecrets, expandsFiles } = command;
  const items = printedItems(config, { mode, showsSecrets: showsSecrets || command.names.length > 0, expandsFiles });
  if (command.names.length === 0) {
    const note = mode === 'all' ? '# NOTE: roost -n prints only what differs from the defaults.\n' : '';
    output.out(headerLines(command.configFile) + note + (command.showsNames ? printItems(items) : valuesOnly(items)));
    return reportProblems(config, output) ? badConfigExitCode : 0;
  }
  // Single settings are printed for scripts, also from a configuration that has problems elsewhere.
  let exitCode = 0;
  for (const name of command.names) {
    const found = findItems(items, name);
    if (found === undefined || found.length === 0) {
      const suggestion = didYouMean(name, new Set(items.map(({ key }) => key)));
      output.error(`roost: Fatal: Unknown setting: ${name}${suggestion === undefined ? '' : ` (${suggestion})`}\n`);
      exitCode = badConfigExitCode;
    } else output.out(command.showsNames ? printItems(found) : valuesOnly(found));
  }
  return exitCode;
}

function valuesOnly(items: readonly PrintedItem[]): string {
  return items.map((item) => (item.kind === 'setting' ? `${item.shown}\n` : valuesOnly(item.items))).join('');
}
