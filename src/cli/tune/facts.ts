// What `roostadm tune` looks at. Everything is only read.
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { reportLimits } from '#config/limits.js';
import type { ResolvedConfig } from '#config/resolve.js';
import { serviceSettings } from '#config/service-settings.js';

export interface MachineFacts {
  /** A kernel setting by its dotted name, blanks for tabs; undefined where it cannot be read. */
  sysctl(name: string): string | undefined;
  /** A limit of this process as in /proc/self/limits, `Max open files`. Infinity when there is none. */
  limit(name: string): { readonly soft: number; readonly hard: number } | undefined;
  environment(name: string): string | undefined;
  /** `always`, `madvise`, `never`. */
  readonly hugePages: string | undefined;
  readonly cpuCount: number;
  /** That this process may use: affinity and control group taken into account. */
  readonly usableCpus: number;
  /** Octets; of the control group when it has less than the machine. */
  readonly memoryBytes: number;
  readonly nodeVersion: string;
  readonly uvVersion: string;
}

/** What the configuration may come to need when all its limits are reached. */
export interface ServerNeeds {
  readonly processes: number;
  readonly connections: number;
  /** Open files of the fullest process. */
  readonly filesPerProcess: number;
  /** Open files of all processes. */
  readonly files: number;
  /** Processes that watch mailboxes, which all may run as one user. */
  readonly watchingProcesses: number;
  /** Sessions that may each watch a mailbox. */
  readonly watchingSessions: number;
  /** Connections that may wait in the longest queue of a listener. */
  readonly backlog: number;
  /** Octets; Infinity without vsz_limit. */
  readonly memoryBytes: number;
}

export function readMachine(): MachineFacts {
  const limits = readText('/proc/self/limits') ?? '';
  return {
    sysctl: (name) =>
      readText(`/proc/sys/${name.replaceAll('.', '/')}`)
        ?.trim()
        .replace(/\s+/g, ' '),
    limit: (name) => {
      const [, soft, hard] = new RegExp(`^${name}\\s+(\\S+)\\s+(\\S+)`, 'm').exec(limits) ?? [];
      return soft === undefined || hard === undefined ? undefined : { soft: limitOf(soft), hard: limitOf(hard) };
    },
    environment: (name) => process.env[name],
    hugePages: /\[(\w+)\]/.exec(readText('/sys/kernel/mm/transparent_hugepage/enabled') ?? '')?.[1],
    cpuCount: cpus().length,
    usableCpus: availableParallelism(),
    memoryBytes: Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY),
    nodeVersion: process.versions.node,
    uvVersion: process.versions.uv,
  };
}

export function needsOf(config: ResolvedConfig): ServerNeeds {
  const services = serviceSettings(config).filter(({ isEnabled }) => isEnabled);
  const reports = reportLimits(services, undefined);
  const watching = reports.filter(({ service }) => service === 'imap' || service === 'imap-hibernate');
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  return {
    processes: sum(reports.map(({ maxProcesses }) => maxProcesses)),
    connections: sum(reports.map(({ maxConnections }) => maxConnections)),
    filesPerProcess: Math.max(0, ...reports.map(({ filesPerProcess }) => filesPerProcess)),
    files: sum(reports.map(({ filesPerProcess, maxProcesses }) => filesPerProcess * maxProcesses)),
    watchingProcesses: sum(watching.map(({ maxProcesses }) => maxProcesses)),
    watchingSessions: sum(watching.map(({ maxConnections }) => maxConnections)),
    backlog: Math.max(0, ...services.map(listenQueue)),
    memoryBytes: sum(reports.map(({ memoryBound }) => memoryBound)),
  };
}

function listenQueue({ inetListeners, listenBacklog, processLimit, clientLimit }: ReturnType<typeof serviceSettings>[number]): number {
  if (inetListeners.length === 0) return 0;
  return listenBacklog === 0 ? processLimit * clientLimit : listenBacklog;
}

function limitOf(text: string): number {
  return text === 'unlimited' ? Number.POSITIVE_INFINITY : Number(text);
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
