// The listening sockets of all services: opened before anything is started, kept over a reload when the address stays the same.
import { chmodSync, chownSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { ListenError, type ListeningSockets } from '#ipc/listening-socket.js';
import { errnoOf } from '#util/coded-error.js';
import type { ListenerPlan } from './plan.js';

interface OpenListener {
  readonly plan: ListenerPlan;
  readonly fd: number;
  /** Given by the service manager: not ours to unlink. */
  readonly isAdopted: boolean;
}

/** All addresses that could not be opened, each with the setting to change. */
export class BindError extends Error {
  override readonly name = 'BindError';
  readonly problems: readonly string[];
  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.problems = problems;
  }
}

export class Listeners {
  readonly #sockets: ListeningSockets;
  #open = new Map<string, OpenListener>();

  constructor(sockets: ListeningSockets) {
    this.#sockets = sockets;
  }

  /** Takes over sockets that were opened before us, by key. */
  adopt(found: ReadonlyMap<string, { readonly plan: ListenerPlan; readonly fd: number }>): void {
    for (const [key, { plan, fd }] of found) {
      this.#sockets.adopt(fd);
      this.#open.set(key, { plan, fd, isAdopted: true });
    }
  }

  /**
   * Opens what is missing. Either all of it or, when something fails, nothing.
   * @throws BindError
   */
  open(plans: readonly ListenerPlan[]): void {
    const added: OpenListener[] = [];
    const problems: string[] = [];
    for (const plan of plans) {
      if (this.#open.has(plan.key) || added.some((listener) => listener.plan.key === plan.key)) continue;
      try {
        added.push({ plan, fd: this.#openOne(plan), isAdopted: false });
      } catch (error) {
        problems.push(bindProblem(plan, error));
      }
    }
    if (problems.length > 0) {
      for (const listener of added) this.#close(listener);
      throw new BindError(problems);
    }
    for (const listener of added) this.#open.set(listener.plan.key, listener);
  }

  /** Closes what these plans do not name. */
  keepOnly(plans: readonly ListenerPlan[]): void {
    const wanted = new Set(plans.map(({ key }) => key));
    for (const [key, listener] of this.#open) {
      if (wanted.has(key)) continue;
      this.#open.delete(key);
      this.#close(listener);
    }
  }

  closeAll(): void {
    this.keepOnly([]);
  }

  fdOf(plan: ListenerPlan): number {
    const listener = this.#open.get(plan.key);
    if (listener === undefined) throw new Error(`listener ${plan.key} is not open`);
    return listener.fd;
  }

  #openOne(plan: ListenerPlan): number {
    const { backlog, isReusePort } = plan;
    if (plan.kind === 'inet') return this.#sockets.listenInet(plan.address, plan.port, { backlog, isReusePort });
    return listenUnixAs(this.#sockets, plan.address, plan);
  }

  #close({ plan, fd, isAdopted }: OpenListener): void {
    this.#sockets.close(fd);
    if (plan.kind === 'unix' && !isAdopted) unlinkIfSocket(plan.address);
  }
}

/** A UNIX listener with its mode and owner, in place of a socket that an earlier run left. */
export function listenUnixAs(
  sockets: ListeningSockets,
  path: string,
  as: { readonly backlog: number; readonly mode: number; readonly uid: number | undefined; readonly gid: number | undefined },
): number {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  unlinkIfSocket(path);
  const fd = sockets.listenUnix(path, as.backlog);
  applyOwner(path, as);
  return fd;
}

export function applyOwner(
  path: string,
  { mode, uid, gid }: { readonly mode: number; readonly uid: number | undefined; readonly gid: number | undefined },
): void {
  if (uid !== undefined || gid !== undefined) chownSync(path, uid ?? process.getuid?.() ?? 0, gid ?? process.getgid?.() ?? 0);
  chmodSync(path, mode);
}

/** Removes a socket; never a file of another kind that happens to have the name. */
export function unlinkIfSocket(path: string): void {
  try {
    if (lstatSync(path).isSocket()) unlinkSync(path);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}

function bindProblem(plan: ListenerPlan, error: unknown): string {
  const where = plan.kind === 'inet' ? `port ${plan.port} on ${plan.address}` : plan.address;
  const code = error instanceof ListenError ? error.code : undefined;
  switch (code) {
    case 'in-use':
      return `${where} is already in use by another program (setting: ${plan.setting})`;
    case 'denied':
      return `no permission to listen on ${where}${plan.kind === 'inet' && plan.port < 1024 ? '; ports below 1024 need root' : ''} (setting: ${plan.setting})`;
    case 'no-address':
      return `this machine has no address ${plan.address} (setting: ${plan.setting})`;
    default:
      return `cannot listen on ${where}: ${error instanceof Error ? error.message : String(error)} (setting: ${plan.setting})`;
  }
}
