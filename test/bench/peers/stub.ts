// A server that answers constants without doing anything: how fast the load client itself is.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Peer, stopServer } from './peer.js';

export async function startStub(): Promise<Peer> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('stub-server.js', import.meta.url))], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  const port = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => reject(new Error('stub server ended')));
    createInterface({ input: child.stdout }).once('line', (line) => resolve(Number(line)));
  });
  return {
    name: 'stub',
    version: 'stub',
    pid: child.pid ?? 0,
    endpoint: () => ({ host: '127.0.0.1', port, tls: false }),
    maildir: () => '',
    stop: () => stopServer(child),
  };
}
