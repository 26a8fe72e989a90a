// One child process: its spawn, its control channel, its log, its end.
import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { type ChildMessage, controlFd, type MasterMessage } from '#ipc/control.js';
import { encodeFrame, FrameDecoder } from '#ipc/frame.js';
import type { LineCollector } from '#log/files.js';
import { writeTogether } from '#util/write-together.js';
import type { Identity } from './plan.js';

export interface ChildCommand {
  /** The bundle. */
  readonly script: string;
  /** Options of Node itself. */
  readonly nodeOptions: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly identity: Identity | undefined;
  /** Descriptors that become 4, 5, ... in the child. */
  readonly inheritedFds: readonly number[];
}

export interface ChildEnd {
  /** Undefined when it could not be started at all. */
  readonly code: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  readonly startError: Error | undefined;
}

export interface ChildEvents {
  onMessage(message: ChildMessage): void;
  /** The child broke the protocol of the channel; it is of no use any more. */
  onGarbage(error: unknown): void;
  /** Once, after its last log line. */
  onEnd(end: ChildEnd): void;
}

export class Child {
  /** 0 when it could not be started. */
  readonly pid: number;
  readonly #process: ChildProcess;
  readonly #channel: Socket | undefined;

  constructor(command: ChildCommand, events: ChildEvents, openLog: (pid: number) => LineCollector) {
    this.#process = spawn(process.execPath, [...command.nodeOptions, command.script], {
      env: { ...command.environment },
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', ...command.inheritedFds],
      ...(command.identity === undefined ? {} : { uid: command.identity.uid, gid: command.identity.gid }),
      // A group of its own, so that Ctrl-C in a terminal reaches the master alone, which then ends the children in order.
      detached: true,
    });
    this.pid = this.#process.pid ?? 0;
    const log = openLog(this.pid);
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.on('data', (chunk: Buffer) => log.push(chunk));
      stream?.on('error', () => undefined);
    }
    this.#channel = this.#openChannel(events);
    let startError: Error | undefined;
    let isOver = false;
    const end = (code: number | null, signal: NodeJS.Signals | null): void => {
      if (isOver) return;
      isOver = true;
      log.end();
      events.onEnd({ code: startError === undefined ? (code ?? undefined) : undefined, signal: signal ?? undefined, startError });
    };
    this.#process.on('error', (error) => {
      startError = error;
      if (this.#process.pid === undefined) end(null, null);
    });
    // `close` comes after the streams have ended, so last words are not lost; but a grandchild that holds them must not hold up the exit.
    this.#process.on('close', end);
    this.#process.on('exit', (code, signal) => setTimeout(end, 1_000, code, signal).unref());
  }

  send(message: MasterMessage): void {
    if (this.#channel?.writable !== true) return;
    writeTogether(this.#channel);
    this.#channel.write(encodeFrame(message));
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  #openChannel(events: ChildEvents): Socket | undefined {
    const channel = this.#process.stdio[controlFd];
    if (!isSocket(channel)) return undefined;
    const decoder = new FrameDecoder();
    channel.on('error', () => undefined);
    channel.on('data', (chunk: Buffer) => {
      try {
        decoder.push(chunk);
        for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
          const message = parseMessage(frame.value);
          if (message !== undefined) events.onMessage(message);
        }
      } catch (error) {
        channel.destroy();
        events.onGarbage(error);
      }
    });
    return channel;
  }
}

function isSocket(stream: unknown): stream is Socket {
  return typeof stream === 'object' && stream !== null && 'write' in stream && 'on' in stream;
}

/**
 * Children may be taken over by their clients, so their words are checked like any input.
 * @returns undefined for a kind that is not known
 * @throws TypeError when a known kind has wrong fields
 */
export function parseMessage(value: unknown): ChildMessage | undefined {
  const fields = record(value);
  switch (fields['kind']) {
    case 'needs':
      return { kind: 'needs', settings: texts(fields['settings']), sections: texts(fields['sections']) };
    case 'status': {
      const oldest = fields['oldestPreAuthAtMs'];
      return {
        kind: 'status',
        clients: count(fields['clients']),
        served: count(fields['served']),
        isDraining: fields['isDraining'] === true,
        arrived: counts(fields['arrived']),
        left: counts(fields['left']),
        ...(fields['refused'] === undefined ? {} : { refused: count(fields['refused']) }),
        isIdleRefused: fields['isIdleRefused'] === true,
        oldestPreAuthAtMs: typeof oldest === 'number' ? oldest : undefined,
      };
    }
    case 'route':
      return {
        kind: 'route',
        id: count(fields['id']),
        service: text(fields['service']),
        user: text(fields['user']),
        uid: fields['uid'] === undefined ? undefined : count(fields['uid']),
        gid: fields['gid'] === undefined ? undefined : count(fields['gid']),
      };
    case 'route-failed':
      return { kind: 'route-failed', ticket: count(fields['ticket']), reason: text(fields['reason']) };
    default:
      return undefined;
  }
}

function record(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw new TypeError('a message must be an object');
  return { ...value };
}

function count(value: unknown): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw new TypeError(`${JSON.stringify(value)} is not a count`);
  return value;
}

function counts(value: unknown): number[] {
  if (!Array.isArray(value)) throw new TypeError('a list is missing');
  return value.map(count);
}

function texts(value: unknown): string[] {
  if (!Array.isArray(value) || value.length > 1_000) throw new TypeError('a list is missing or too long');
  return value.map(text);
}

function text(value: unknown): string {
  if (typeof value !== 'string' || value.length > 1_024) throw new TypeError('a text is missing or too long');
  return value;
}
