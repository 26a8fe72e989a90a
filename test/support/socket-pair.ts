import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

/** Two ends of a UNIX connection of the kernel's: what streams in memory do not have are its resets and failed writes. */
export async function socketPair(test: TestContext): Promise<[near: Socket, far: Socket]> {
  const folder = mkdtempSync(join(tmpdir(), 'roost-pair-'));
  const server = createServer().listen(join(folder, 's'));
  await once(server, 'listening');
  const near = connect(join(folder, 's'));
  const [far] = (await once(server, 'connection')) as [Socket];
  test.after(() => {
    near.destroy();
    far.destroy();
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return [near, far];
}

/** A client that is saying something while the last words are on their way: it has not read them when it writes. @returns what it hears, and what went wrong */
export async function talkOver(
  near: Socket,
  lastWords: () => void,
): Promise<{ readonly heard: string; readonly errors: readonly string[] }> {
  const errors: string[] = [];
  near.on('error', (error: NodeJS.ErrnoException) => errors.push(error.code ?? error.message));
  near.pause();
  lastWords();
  // Long enough for whoever says them to do all that it does at once.
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  await new Promise<void>((resolve) => near.write('a1 NOOP\r\n', () => resolve()));
  await new Promise((resolve) => setImmediate(resolve));
  await new Promise<void>((resolve) => near.write('a2 LOGOUT\r\n', () => resolve()));
  let heard = '';
  near.on('data', (chunk: Buffer | string) => {
    heard += chunk.toString();
  });
  const closed = once(near, 'close');
  near.resume();
  await closed;
  return { heard, errors };
}
