// A template process: has loaded its role, and waits for the master to ask for copies of itself. A copy costs a tenth of a start, and shares the
// memory that neither changes. It has met no client and holds no secret of the configuration; what a copy needs comes to it in its start message.
import { randomBytes, type randomUUID } from 'node:crypto';
import { writeSync } from 'node:fs';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { controlFd } from '#ipc/control.js';
import { ForkCalls, type ForkRequest } from '#ipc/fork-calls.js';
import { encodeFrame } from '#ipc/frame.js';
import { canPassDescriptors, forgetSender } from '#ipc/handle-pass.js';
import { type TemplateMessage, templateArgument, templateRequest } from '#ipc/template.js';
import { forgoKernelSyncs } from '#util/disk-syncs.js';
import { forgoPolling } from './polling.js';

const logFds = [1, 2] as const;
const firstListenerFd = 4;
const signalBits = 0x7f;
/** Between two looks for copies that ended unnoticed. */
const longestPatienceMs = 2_048;

const drawnBytes = 6;
const drawn = 2 ** 48;

/** Modules that a role loads at their first use, because a process of its own may never come to it. Here they are loaded for all copies. */
const lateModules = ['crypto', 'dns', 'fs/promises', 'perf_hooks', 'stream/promises', 'tls', 'zlib'];

/** Is this process to be a template? */
export function isTemplate(): boolean {
  return process.argv[2] === templateArgument;
}

/**
 * Returns in each copy, never in the template, which ends with its master. A copy then is as a process that has just been started.
 * @param rehearse does what a first client would be the first to need
 */
export async function becomeCopy(title: string, rehearse: () => Promise<void>): Promise<void> {
  const calls = new ForkCalls();
  loadLateModules();
  storeNoRandomness();
  canPassDescriptors();
  forgoPolling();
  forgoKernelSyncs();
  await rehearse();
  process.title = `${title} [template]`;
  forgetSender();
  collectGarbage();
  // The listeners are for the copies; what is in the places behind them each copy gets anew.
  const own = calls.listOpen(firstListenerFd + listenerCount());
  send({ kind: 'ready' });
  const request = waitForCopy(calls);
  takePlace(calls, request);
  calls.letGo(own);
}

/** @returns what the copy is for, in the copy */
function waitForCopy(calls: ForkCalls): ForkRequest {
  // SIGCHLD is no help: it may come to a thread that does not wait here. The master knows when a copy is about to end, or when it looks like it.
  let patienceMs = longestPatienceMs;
  for (;;) {
    const event = calls.wait(controlFd, patienceMs);
    if (event.kind === 'ended') return calls.exit(0);
    if (event.kind === 'timeout') patienceMs = Math.min(longestPatienceMs, patienceMs * 2);
    else if (event.request.kind === templateRequest.copy) {
      if (copy(calls, event.request)) return event.request;
    } else if (event.request.kind === templateRequest.retire) closeListeners(calls);
    else if (event.request.kind === templateRequest.reap) patienceMs = 1;
    reapAll(calls);
  }
}

/** @returns true in the copy */
function copy(calls: ForkCalls, { id, fds }: ForkRequest): boolean {
  try {
    const pid = calls.fork();
    if (pid === 0) return true;
    send({ kind: 'copied', id, pid });
  } catch (error) {
    send({ kind: 'failed', id, reason: error instanceof Error ? error.message : String(error) });
  }
  for (const fd of fds) calls.close(fd);
  return false;
}

function reapAll(calls: ForkCalls): void {
  for (let ended = calls.reap(); ended !== undefined; ended = calls.reap()) {
    const signal = ended.status & signalBits;
    const facts = signal === 0 ? { code: (ended.status >> 8) & 0xff, signal: undefined } : { code: undefined, signal };
    send({ kind: 'ended', pid: ended.pid, ...facts });
  }
}

function closeListeners(calls: ForkCalls): void {
  for (let index = 0; index < listenerCount(); index += 1) calls.close(firstListenerFd + index);
}

function listenerCount(): number {
  return Number(process.argv[3] ?? 0);
}

/** Descriptors where a started process has them, and nothing of the template's that must differ between two processes. */
function takePlace(calls: ForkCalls, { fds }: ForkRequest): void {
  const [control, log, ...others] = fds;
  if (control === undefined || log === undefined) throw new Error('a copy needs a control channel and a log');
  calls.move(control, controlFd);
  for (const fd of logFds) calls.duplicate(log, fd);
  calls.close(log);
  for (const [index, fd] of others.entries()) calls.move(fd, firstListenerFd + listenerCount() + index);
  Object.defineProperty(process, 'pid', { value: calls.getPid(), enumerable: true, configurable: true });
  // Node's own waits for the threads that this process does not have.
  Object.defineProperty(process, 'reallyExit', { value: (code?: number) => calls.exit(code ?? 0), configurable: true });
  Math.random = ownRandom();
}

/**
 * Node keeps random octets in store for these two, and what one copy took from the store another would take as well. So nothing is stored: not
 * here, nor in the copies.
 */
function storeNoRandomness(): void {
  const crypto: { randomUUID: typeof randomUUID; randomInt: unknown } = createRequire(import.meta.url)('node:crypto');
  const draw = crypto.randomUUID;
  crypto.randomUUID = () => draw({ disableEntropyCache: true });
  crypto.randomInt = unstoredInteger;
  syncBuiltinESMExports();
}

/** As crypto.randomInt, without a callback. */
function unstoredInteger(...bounds: readonly [max: number] | readonly [min: number, max: number]): number {
  const [min, max] = bounds.length === 1 ? [0, bounds[0]] : bounds;
  const count = max - min;
  if (!Number.isSafeInteger(min) || !Number.isSafeInteger(max) || count < 1 || count > drawn)
    throw new RangeError(`no integers from ${min} to ${max}`);
  // The last, incomplete round would favour its members.
  for (;;) {
    const number = randomBytes(drawnBytes).readUIntBE(0, drawnBytes);
    if (number < drawn - (drawn % count)) return min + (number % count);
  }
}

/** xorshift128+ as in V8, whose own state is the same in all copies. Like V8's it is not for secrets; crypto notices a fork by itself. */
function ownRandom(): () => number {
  const seed = randomBytes(16);
  let first = seed.readBigUInt64LE(0) | 1n;
  let second = seed.readBigUInt64LE(8);
  return () => {
    let next = first;
    first = second;
    next = BigInt.asUintN(64, next ^ (next << 23n));
    second = next ^ second ^ (next >> 17n) ^ (second >> 26n);
    return Number(BigInt.asUintN(64, second + first) >> 11n) / 2 ** 53;
  };
}

function loadLateModules(): void {
  const require = createRequire(import.meta.url);
  for (const name of lateModules) require(`node:${name}`);
}

/** What is left is old and stays where it is, so that copies share it. */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect === 'function') collect();
}

function send(message: TemplateMessage): void {
  writeSync(controlFd, encodeFrame(message));
}
