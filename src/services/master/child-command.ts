// How a role is started: Node's options, a small environment, and who it runs as.
import { lstatSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ChildCommand } from './child.js';
import type { Identity, ServerPlan, ServicePlan } from './plan.js';

/** 0 to 2 are the standard streams, 3 the control channel. */
export const firstInheritedFd = 4;

const megabyte = 1024 * 1024;
/** A role that is just started has this much in its heap and around it. */
const smallestHeapMb = 32;

/** Never passed on: meant for the master, or slow (extra certificates cost Node 20 100 ms a start). */
const masterOnly = new Set(['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES', 'NOTIFY_SOCKET', 'NODE_OPTIONS', 'NODE_EXTRA_CA_CERTS']);

export interface CommandOptions {
  readonly plan: ServicePlan;
  readonly server: Pick<ServerPlan, 'importEnvironment'>;
  readonly rolesFolder: string;
  readonly identity: Identity | undefined;
  readonly inheritedFds: readonly number[];
}

export function childCommand({ plan, server, rolesFolder, identity, inheritedFds }: CommandOptions): ChildCommand {
  return {
    script: join(rolesFolder, `${plan.role}.cjs`),
    arguments: [],
    nodeOptions: [
      ...memoryOptions(plan.vszLimitBytes),
      // Node would look up the real path, which may lead through folders that the process may not enter.
      ...(rolesFolder.startsWith('/proc/self/') ? ['--preserve-symlinks', '--preserve-symlinks-main'] : []),
      ...(plan.isConfined ? confinementOptions(rolesFolder) : []),
    ],
    environment: {
      ...importedEnvironment(server.importEnvironment, process.env),
      ...(plan.threadPoolSize === undefined ? {} : { UV_THREADPOOL_SIZE: String(plan.threadPoolSize) }),
    },
    identity,
    inheritedFds,
  };
}

/** Names, or NAME=VALUE, as in import_environment. */
export function importedEnvironment(
  wanted: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const imported: Record<string, string> = {};
  for (const item of wanted) {
    const at = item.indexOf('=');
    const name = at < 0 ? item : item.slice(0, at);
    const value = at < 0 ? environment[name] : item.slice(at + 1);
    if (value !== undefined && !masterOnly.has(name)) imported[name] = value;
  }
  return imported;
}

/** The heap gets three quarters of vsz_limit; buffers, code and threads the rest. The whole is watched from outside. */
function memoryOptions(vszLimitBytes: number): string[] {
  if (vszLimitBytes === 0) return [];
  return [`--max-old-space-size=${Math.max(smallestHeapMb, Math.floor((vszLimitBytes / megabyte) * 0.75))}`];
}

/** What load-monitor.ts reads: how many descriptors may be open, and which are. */
const ownFacts = ['/proc/self/limits', '/proc/self/fd'] as const;

/**
 * Node's permission model: reads of the code and of what the process itself holds, no file writes, no child processes, no worker threads.
 * Addons must be allowed for the system calls that pass descriptors.
 */
function confinementOptions(rolesFolder: string): string[] {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const isStable = major > 23 || (major === 23 && minor >= 5);
  // Once each: at the second time Node 20 ends with a failed assertion.
  const readable = new Set([join(rolesFolder, '*'), ...addonPaths(rolesFolder), ...ownFacts]);
  return [
    isStable ? '--permission' : '--experimental-permission',
    '--disable-warning=ExperimentalWarning',
    '--disable-warning=SecurityWarning',
    '--allow-addons',
    ...(major >= 25 ? ['--allow-net'] : []),
    ...[...readable].map((path) => `--allow-fs-read=${path}`),
  ];
}

/**
 * Where koffi and its prebuilt addon are, for roles installed beside a node_modules folder above them. Package managers make links of such
 * folders: the permission model wants the link itself, and the folder it leads to; it must not be told of anything below the link.
 */
function addonPaths(rolesFolder: string): string[] {
  const paths: string[] = [];
  for (let folder = rolesFolder; ; ) {
    const modules = followLink(join(folder, 'node_modules'), paths);
    for (const name of ['koffi', '@koromix']) paths.push(join(followLink(join(modules, name), paths), '*'));
    const parent = join(folder, '..');
    if (parent === folder) return paths;
    folder = parent;
  }
}

/** @returns where a link leads, the path itself otherwise */
function followLink(path: string, links: string[]): string {
  try {
    if (!lstatSync(path).isSymbolicLink()) return path;
    links.push(path);
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** The roles beside the bundle that runs (dist/bin), or beside the compiled sources (dist/src/services/master). */
export function defaultRolesFolder(moduleUrl: string): string {
  const path = fileURLToPath(moduleUrl);
  const marker = path.lastIndexOf(`${join('/', 'dist', '/')}`);
  return marker < 0 ? join(path, '..', '..', 'roles') : join(path.slice(0, marker), 'dist', 'roles');
}
