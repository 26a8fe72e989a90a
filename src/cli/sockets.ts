// Finding out whether anybody listens before a client is made that would try again and again.
import { connect } from 'node:net';
import { errnoOf } from '#util/coded-error.js';
import { AdminError } from './exit-codes.js';

const timeoutMs = 5_000;

/** The first path that takes a connection. @throws AdminError `temporary` (no server runs) or `permission` */
export async function findSocket(paths: readonly string[]): Promise<string> {
  const failures: unknown[] = [];
  for (const path of paths) {
    try {
      await tryConnecting(path);
      return path;
    } catch (error) {
      failures.push(error);
    }
  }
  const denied = failures.find((error) => errnoOf(error) === 'EACCES' || errnoOf(error) === 'EPERM');
  const failure = denied ?? failures[0];
  const text = failure instanceof Error ? failure.message : String(failure);
  if (denied !== undefined) throw new AdminError('permission', text, { cause: denied });
  throw new AdminError('temporary', `${text} (is Roost running?)`, { cause: failure });
}

function tryConnecting(path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`connect ${path}: no answer`)));
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
    socket.once('error', reject);
  });
}
