// base_dir/master.pid: who runs, so that nobody starts a second server on the same sockets.
import { existsSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { masterSocketPath } from '#ipc/master-client.js';

export function pidFilePath(baseDir: string): string {
  return join(baseDir, 'master.pid');
}

/**
 * The pid of the server that runs on this base_dir, undefined when there is none.
 *
 * A pid alone proves nothing after a crash: another program may have got the number. The control socket does: the kernel answers connects to
 * it as long as the process lives, however busy it is.
 */
export async function findRunning(baseDir: string): Promise<number | undefined> {
  const path = pidFilePath(baseDir);
  if (!existsSync(path)) return undefined;
  const pid = Number.parseInt(readFileSync(path, 'utf8'), 10);
  if (!Number.isSafeInteger(pid) || pid <= 1 || pid === process.pid) return undefined;
  return (await isListening(masterSocketPath(baseDir))) ? pid : undefined;
}

export function writePidFile(baseDir: string): void {
  writeFileSync(pidFilePath(baseDir), `${process.pid}\n`, { mode: 0o644 });
}

/** Removes it if it is still ours. */
export function removePidFile(baseDir: string): void {
  const path = pidFilePath(baseDir);
  if (existsSync(path) && readFileSync(path, 'utf8').trim() === String(process.pid)) unlinkSync(path);
}

async function isListening(path: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(path);
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}
