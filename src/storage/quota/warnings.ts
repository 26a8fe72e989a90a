// `quota_warning = storage=95%% quota-warning 95 %u`: a command is run when usage crosses a threshold.
import { spawn } from 'node:child_process';
import type { Logger } from '#log/logger.js';
import { type NumericLimits, parseThreshold, type QuotaThreshold } from './rules.js';
import type { UsageCount } from './usage.js';

export interface QuotaWarning {
  readonly threshold: QuotaThreshold;
  /** Program and arguments. */
  readonly command: readonly string[];
}

/** A command that takes longer is ended. */
const commandTimeoutMs = 60_000;

/** @returns a text that says what is wrong, instead of a warning. Variables are already replaced. */
export function parseQuotaWarning(text: string): QuotaWarning | string {
  const [first = '', ...command] = text.trim().split(/\s+/);
  const threshold = parseThreshold(first);
  if (threshold === undefined) return `Invalid quota_warning: ${text} (storage=PERCENT% or messages=NUMBER, then a command)`;
  if (command.length === 0) return `quota_warning missing command: ${text}`;
  return { threshold, command };
}

/** The first warning whose threshold lies between the two, in the order written. */
export function findCrossed(
  warnings: readonly QuotaWarning[],
  limits: NumericLimits,
  before: UsageCount,
  after: UsageCount,
): QuotaWarning | undefined {
  return warnings.find(({ threshold }) => {
    const value = threshold.valueFor(limits);
    const [from, to] = threshold.resource === 'storage' ? [before.bytes, after.bytes] : [before.messages, after.messages];
    return threshold.isBelow ? from >= value && to < value : from < value && to >= value;
  });
}

/**
 * Runs a warning's command without a shell, its output discarded.
 * @param scripts programs by the name of a `service` with `executable = script PROGRAM ARGUMENTS`
 * @returns when it has ended; never fails
 */
export function runWarning(
  { command }: QuotaWarning,
  scripts: ReadonlyMap<string, readonly string[]>,
  user: { readonly name: string; readonly home: string | undefined },
  log: Logger,
): Promise<void> {
  const [name = '', ...argumentsGiven] = command;
  const program = name.startsWith('/') ? [name] : scripts.get(name);
  if (program === undefined) {
    log.error('quota.warning-failed', `quota_warning: ${name} is neither a path nor a service with executable = script`);
    return Promise.resolve();
  }
  const [path = '', ...argumentsBefore] = program;
  return new Promise((resolve) => {
    const child = spawn(path, [...argumentsBefore, ...argumentsGiven], {
      stdio: 'ignore',
      // Unlike `timeout`, this leaves no timer behind when the program cannot be started.
      signal: AbortSignal.timeout(commandTimeoutMs),
      env: {
        PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        USER: user.name,
        ...(user.home === undefined ? {} : { HOME: user.home }),
      },
    });
    child.on('error', (error) => {
      log.error('quota.warning-failed', `quota_warning: ${path}: ${error.message}`, { error });
      resolve();
    });
    child.on('exit', (code, signal) => {
      if (code !== 0) log.warning('quota.warning-failed', `quota_warning: ${path} ended with ${signal ?? `status ${code}`}`);
      resolve();
    });
  });
}
