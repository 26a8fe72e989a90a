// `roost` without -F: the server runs in a process of its own, and the command ends when it accepts connections or has failed.
import { spawn } from 'node:child_process';
import { closeSync, writeSync } from 'node:fs';

const marker = 'ROOST_BACKGROUND';
const readyFd = 3;
const startTimeoutMs = 60_000;

/** Was this process started by `runInBackground`? */
export function isBackground(): boolean {
  return process.env[marker] === '1';
}

/** @returns 0 when the server has started, else its exit code; its messages until then appear on standard error */
export async function runInBackground(configPath: string): Promise<number> {
  const program = process.argv[1];
  if (program === undefined) throw new Error('the path of the running program is not known');
  const server = spawn(process.execPath, [...process.execArgv, program, '-F', '-c', configPath], {
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    env: { ...process.env, [marker]: '1' },
  });
  return await new Promise((resolve, reject) => {
    const timer = setTimeout(() => finish(1), startTimeoutMs);
    const finish = (code: number): void => {
      clearTimeout(timer);
      for (const stream of server.stdio) stream?.destroy();
      server.unref();
      resolve(code);
    };
    server.stderr?.on('data', (chunk: Buffer) => process.stderr.write(chunk));
    server.stdio[readyFd]?.on('data', () => finish(0));
    server.on('error', reject);
    server.on('exit', (code) => finish(code ?? 1));
  });
}

/** In the background process: the server accepts connections. */
export function tellStarter(): void {
  if (!isBackground()) return;
  writeSync(readyFd, 'ready\n');
  closeSync(readyFd);
}
