// The sockets on which one mail process receives logged-in connections: base_dir/srv/<service>.<number>, a stream listener, and the same
// with `.fd`, a datagram socket for descriptors. Made before the process, so that they are there for whoever is sent to it. Login processes may
// connect, by their group, and processes that run as the same user, which pass sessions on.
import { closeSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { PrivateSockets } from '#ipc/control.js';
import { bindDescriptorSocket } from '#ipc/handle-pass.js';
import type { ListeningSockets } from '#ipc/listening-socket.js';
import { applyOwner, listenUnixAs, unlinkIfSocket } from './listeners.js';
import type { Identity } from './plan.js';

const folderName = 'srv';
const backlog = 512;

export interface OpenPrivateSockets {
  readonly fd: number;
  readonly path: string;
  readonly descriptorFd: number;
  readonly descriptorPath: string;
}

/** @throws ListenError or HandlePassError when a path is too long or the folder is not writable */
export function openPrivateSockets(
  sockets: ListeningSockets,
  baseDir: string,
  name: string,
  access: { readonly owner: Identity | undefined; readonly login: Identity | undefined },
): OpenPrivateSockets {
  const path = join(baseDir, folderName, name);
  const descriptorPath = `${path}.fd`;
  const owner = { mode: access.login === undefined ? 0o600 : 0o660, uid: access.owner?.uid ?? access.login?.uid, gid: access.login?.gid };
  const fd = listenUnixAs(sockets, path, { backlog, ...owner });
  try {
    unlinkIfSocket(descriptorPath);
    const descriptorFd = bindDescriptorSocket(descriptorPath);
    applyOwner(descriptorPath, owner);
    return { fd, path, descriptorFd, descriptorPath };
  } catch (error) {
    closeSync(fd);
    unlinkIfSocket(path);
    throw error;
  }
}

/** The process has its copies. */
export function closeOwnCopies(open: OpenPrivateSockets): void {
  closeSync(open.fd);
  closeSync(open.descriptorFd);
}

/** The process is gone. */
export function removePrivateSockets(open: Pick<PrivateSockets, 'path' | 'descriptorPath'>): void {
  unlinkIfSocket(open.path);
  unlinkIfSocket(open.descriptorPath);
}

/** At the start: makes the folder, and removes what a master that was killed left. */
export function preparePrivateFolder(baseDir: string): void {
  const folder = join(baseDir, folderName);
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  for (const name of readdirSync(folder)) unlinkIfSocket(join(folder, name));
}

/** At the end: an empty folder goes. */
export function privateFolderOf(baseDir: string): string {
  return join(baseDir, folderName);
}
