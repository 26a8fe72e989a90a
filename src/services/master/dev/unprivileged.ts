// `npm start` as root: the instance runs as somebody who may do no harm, the owner of the checkout or nobody.
//
// A checkout often lies where others may not go (below /root, in a private temporary folder). Then the code is copied into ./var, and
// everything is named from /proc/self/cwd: a process may always name things from the folder it is in, wherever that lies.
import { spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Identity } from '../plan.js';

/** Names of the environment variables that tell the inner process how it was started. */
export const innerFolderVariable = 'ROOST_DEV_FOLDER';
export const innerRealFolderVariable = 'ROOST_DEV_REAL_FOLDER';
const here = '/proc/self/cwd';
const packages = ['argon2', 'koffi', 'mailparser', 'iconv-lite'];
const nobody: Identity = { uid: 65_534, gid: 65_534 };

export function pickUser(checkout: string): Identity {
  const { uid, gid } = statSync(checkout);
  return uid === 0 ? nobody : { uid, gid };
}

/**
 * Gives `folder` to the user, starts the instance again as that user, and waits for its end.
 * @param checkout absolute; `folder` is inside it
 */
export async function runAs(user: Identity, checkout: string, folder: string, args: readonly string[]): Promise<number> {
  const isReachable = canRead(user, [
    join(checkout, 'dist', 'roles', 'imap.cjs'),
    join(checkout, 'dist', 'bin', 'roost.cjs'),
    join(checkout, 'node_modules', 'koffi', 'package.json'),
    folder,
  ]);
  if (!isReachable) copyCode(checkout, join(folder, 'app'));
  giveTo(user, folder);
  const base = isReachable ? checkout : join(here, 'app');
  const symlinkOptions = isReachable ? [] : ['--preserve-symlinks', '--preserve-symlinks-main'];
  const child = spawn(process.execPath, [...symlinkOptions, join(base, 'dist', 'bin', 'roost.cjs'), 'dev', ...args], {
    cwd: isReachable ? checkout : folder,
    stdio: 'inherit',
    uid: user.uid,
    gid: user.gid,
    env: {
      ...process.env,
      [innerFolderVariable]: isReachable ? folder : here,
      [innerRealFolderVariable]: folder,
    },
  });
  // The waiting process has no use for root either.
  process.setgroups?.([]);
  process.setgid?.(user.gid);
  process.setuid?.(user.uid);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  return await new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('exit', (code) => resolve(code ?? 1));
  });
}

/** Tried out rather than worked out: access depends on every folder above. */
function canRead(user: Identity, paths: readonly string[]): boolean {
  process.setegid?.(user.gid);
  process.seteuid?.(user.uid);
  try {
    for (const path of paths) closeSync(openSync(path, 'r'));
    return true;
  } catch {
    return false;
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}

function giveTo({ uid, gid }: Identity, path: string): void {
  const stats = lstatSync(path);
  if (stats.isSymbolicLink()) return;
  if (stats.uid !== uid || stats.gid !== gid) chownSync(path, uid, gid);
  if (!stats.isDirectory()) return;
  chmodSync(path, stats.mode | 0o700);
  for (const name of readdirSync(path)) giveTo({ uid, gid }, join(path, name));
}

/** The bundles, and the packages that are not in them. */
function copyCode(checkout: string, target: string): void {
  rmSync(target, { recursive: true, force: true });
  for (const name of ['bin', 'roles']) {
    const from = join(checkout, 'dist', name);
    if (existsSync(from)) cpSync(from, join(target, 'dist', name), { recursive: true });
  }
  cpSync(join(checkout, 'package.json'), join(target, 'package.json'));
  const copied = new Set<string>();
  const copyPackage = (name: string): void => {
    const from = join(checkout, 'node_modules', name);
    if (copied.has(name) || !existsSync(join(from, 'package.json'))) return;
    copied.add(name);
    mkdirSync(join(target, 'node_modules', name, '..'), { recursive: true });
    cpSync(from, join(target, 'node_modules', name), { recursive: true });
    for (const dependency of dependenciesOf(join(from, 'package.json'))) copyPackage(dependency);
  };
  for (const name of packages) copyPackage(name);
}

function dependenciesOf(path: string): string[] {
  const manifest: unknown = JSON.parse(readFileSync(path, 'utf8'));
  if (typeof manifest !== 'object' || manifest === null) return [];
  const names = (value: unknown): string[] => (typeof value === 'object' && value !== null ? Object.keys(value) : []);
  return [
    ...names('dependencies' in manifest ? manifest.dependencies : undefined),
    ...names('optionalDependencies' in manifest ? manifest.optionalDependencies : undefined),
  ];
}
