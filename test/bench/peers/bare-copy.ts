// A program that copies files to a socket and does nothing else: what a server in Node could reach at most.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Endpoint } from '../load/line-connection.js';
import { stopServer } from './peer.js';

export interface BareCopy {
  readonly pid: number;
  readonly endpoint: Endpoint;
  stop(): Promise<void>;
}

/** @param folder whose files it sends, one for each line that a client sends */
export async function startBareCopy(folder: string): Promise<BareCopy> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('bare-copy-server.js', import.meta.url)), folder], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  const port = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => reject(new Error('the copying program ended')));
    createInterface({ input: child.stdout }).once('line', (line) => resolve(Number(line)));
  });
  return { pid: child.pid ?? 0, endpoint: { host: '127.0.0.1', port, tls: false }, stop: () => stopServer(child) };
}
