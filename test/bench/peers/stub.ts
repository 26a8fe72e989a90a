// A server that answers constants without doing anything: how fast the load client itself is.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { certificate } from './certificate.js';
import { type Peer, stopServer } from './peer.js';

interface StubPorts {
  readonly plain: number;
  readonly tls: number;
  readonly lmtp: number;
}

function portsOf(line: string): StubPorts {
  const [plain, tls, lmtp] = line.split(' ').map(Number);
  return { plain: plain ?? 0, tls: tls ?? 0, lmtp: lmtp ?? 0 };
}

export async function startStub(): Promise<Peer> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('stub-server.js', import.meta.url))], {
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true,
  });
  child.stdin.end(JSON.stringify(certificate()));
  const ports = await new Promise<StubPorts>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => reject(new Error('stub server ended')));
    createInterface({ input: child.stdout }).once('line', (line) => resolve(portsOf(line)));
  });
  return {
    name: 'stub',
    version: 'stub',
    pid: child.pid ?? 0,
    endpoint: (protocol) => {
      const tls = protocol === 'imaps';
      return { host: '127.0.0.1', port: tls ? ports.tls : protocol === 'lmtp' ? ports.lmtp : ports.plain, tls };
    },
    maildir: () => '',
    stop: () => stopServer(child),
  };
}
