// A server under measurement: started from a private configuration below a temporary directory, on loopback, ended with everything it started.
import { type ChildProcess, spawn } from 'node:child_process';
import { chownSync, mkdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import type { Endpoint } from '../load/line-connection.js';

export type PeerName = 'roost' | 'dovecot' | 'postfix' | 'haraka' | 'stub';
export type Protocol = 'imap' | 'imaps' | 'pop3' | 'lmtp' | 'smtp';

/** How the login and mail pools are set up: what administrators call high-performance, and one process for each connection. */
export type PoolMode = 'performance' | 'security' | 'direct';

export interface PeerOptions {
  /** Empty folder, removed by the caller. */
  readonly folder: string;
  readonly mode: PoolMode;
  /** bench0, bench1, ...; password `secret`. */
  readonly users: number;
  readonly fsync: 'optimized' | 'always' | 'never';
  /** imap_hibernate_timeout; undefined: off. */
  readonly hibernateAfter?: string;
  /** More lines of configuration, in the dialect both read. */
  readonly extra?: string;
}

export interface Peer {
  readonly name: PeerName;
  readonly version: string;
  /** Root of the process tree. */
  readonly pid: number;
  endpoint(protocol: Protocol): Endpoint;
  /** Ends it and starts it anew, on the same ports. */
  restart?(): Promise<void>;
  /** Folder that is the Maildir of a user. */
  maildir(user: string): string;
  stop(): Promise<void>;
}

export function userName(index: number): string {
  return `bench${index}`;
}

export const password = 'secret';

/** Waits until something accepts on all ports. */
export async function waitForPorts(ports: readonly number[], child: ChildProcess, log: () => string, timeoutMs = 30_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (const port of ports) {
    while (!(await accepts(port))) {
      if (child.exitCode !== null || Date.now() > deadline) throw new Error(`server does not listen on ${port}:\n${log()}`);
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

/** Starts a server in its own process group. */
export function spawnServer(
  command: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv },
): { readonly child: ChildProcess; readonly output: () => string } {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let text = '';
  const keep = (chunk: Buffer): void => {
    text = (text + chunk.toString('utf8')).slice(-20_000);
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  child.on('error', (error) => keep(Buffer.from(String(error))));
  return { child, output: () => text };
}

/** SIGTERM to the server, then SIGKILL to its whole group. */
export async function stopServer(child: ChildProcess, patienceMs = 8_000): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs);
  await ended;
  clearTimeout(timer);
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // The group is empty: everything has ended by itself.
  }
}

/** Who the mail belongs to: as root the `mail` user, else the user who runs the benchmark. */
export function mailOwner(): { readonly uid: number; readonly gid: number; readonly user: string; readonly group: string } {
  const uid = process.getuid?.() ?? 0;
  const wanted = uid === 0 ? 'mail' : undefined;
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [name, , uidText, gidText] = line.split(':');
    if (name === undefined || uidText === undefined || gidText === undefined) continue;
    if (wanted === undefined ? Number(uidText) === uid : name === wanted)
      return { uid: Number(uidText), gid: Number(gidText), user: name, group: groupName(Number(gidText)) };
  }
  throw new Error('no user for mail found in /etc/passwd');
}

function groupName(gid: number): string {
  for (const line of readFileSync('/etc/group', 'utf8').split('\n')) {
    const [name, , gidText] = line.split(':');
    if (name !== undefined && Number(gidText) === gid) return name;
  }
  return String(gid);
}

export function makeFolder(path: string, owner?: { readonly uid: number; readonly gid: number }): void {
  mkdirSync(path, { recursive: true, mode: 0o755 });
  if (owner !== undefined && process.getuid?.() === 0) chownSync(path, owner.uid, owner.gid);
}
