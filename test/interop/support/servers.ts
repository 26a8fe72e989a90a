// Starting and stopping the two servers on a world.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { patienceMs } from '../../support/patience.js';
import { cleanEnvironment, killGroup, type ProgramResult, requireProgram, runProgram } from './programs.js';
import type { World } from './world.js';

export const checkout = fileURLToPath(new URL('../../../', import.meta.url));
export const roostProgram = join(checkout, 'dist/bin/roost.cjs');

export type ServerName = 'dovecot' | 'roost';

export interface RunningServer extends AsyncDisposable {
  readonly name: ServerName;
  readonly pid: number;
  /** Its log file and what it printed. */
  log(): string;
  /** SIGTERM, and the end of everything it has started; idempotent. @returns its exit code */
  stop(): Promise<number>;
}

/** @throws Error with the server's log when it does not come up */
export async function startServer(name: ServerName, world: World): Promise<RunningServer> {
  if (name === 'dovecot') requireProgram('dovecot');
  const command = name === 'dovecot' ? 'dovecot' : process.execPath;
  const args = name === 'dovecot' ? ['-F', '-c', world.configFile] : [roostProgram, '-F', '-c', world.configFile];
  const child = spawn(command, args, {
    cwd: world.folder,
    env: cleanEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    ...(world.runAs ?? {}),
  });
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (printed += text));
  const killWithTests = (): void => killGroup(child, 'SIGKILL');
  process.on('exit', killWithTests);
  const ended = once(child, 'close').then(([code]: (number | null)[]) => {
    process.off('exit', killWithTests);
    return code ?? -1;
  });
  const logFile = join(world.folder, 'server.log');
  const log = (): string => `${printed}\n${existsSync(logFile) ? readFileSync(logFile, 'utf8') : ''}`;
  let stopping: Promise<number> | undefined;
  const stop = (): Promise<number> => {
    stopping ??= endServer(child, ended);
    return stopping;
  };
  try {
    await waitUntilServing(world, child);
  } catch (error) {
    await stop();
    throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}:\n${log().slice(-6_000)}`);
  }
  return { name, pid: child.pid ?? 0, log, stop, [Symbol.asyncDispose]: async () => void (await stop()) };
}

async function waitUntilServing(world: World, child: ChildProcess): Promise<void> {
  const deadline = Date.now() + patienceMs;
  while (!(await greets(world.ports.imap))) {
    if (child.exitCode !== null) throw new Error(`ended with exit code ${child.exitCode}`);
    if (Date.now() > deadline) throw new Error(`no greeting within ${patienceMs} ms`);
    await sleep(25);
  }
}

/** A connection that is not served yet is closed or refused; this returns false then. */
function greets(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const finish = (isServing: boolean): void => {
      socket.destroy();
      resolve(isServing);
    };
    socket.setTimeout(patienceMs / 4, () => finish(false));
    socket.once('data', () => finish(true));
    socket.once('error', () => finish(false));
    socket.once('end', () => finish(false));
  });
}

async function endServer(child: ChildProcess, ended: Promise<number>): Promise<number> {
  child.kill('SIGTERM');
  const timer = setTimeout(() => killGroup(child, 'SIGKILL'), patienceMs);
  try {
    return await ended;
  } finally {
    clearTimeout(timer);
    killGroup(child, 'SIGKILL');
  }
}

/** The `roost` command as a process of its own. */
export function runRoost(world: World, args: readonly string[]): Promise<ProgramResult> {
  return runProgram(process.execPath, [roostProgram, ...args], { cwd: world.folder, ...(world.runAs ?? {}) });
}

/** Polls until `check` returns something; @throws Error naming what did not happen */
export async function until<T>(what: string, check: () => T | undefined | Promise<T | undefined>, timeoutMs = patienceMs): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const value = await check();
    if (value !== undefined) return value;
    if (Date.now() > deadline) throw new Error(`did not happen within ${timeoutMs} ms: ${what}`);
    await sleep(20);
  }
}
