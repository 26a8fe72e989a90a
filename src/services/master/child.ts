// One child process: its spawn, its control channel, its log, its end.
import { type ChildProcess, spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { type ChildMessage, controlFd, type MasterMessage } from '#ipc/control.js';
import { encodeFrame, FrameDecoder } from '#ipc/frame.js';
import type { LineCollector } from '#log/files.js';
import { writeTogether } from '#util/write-together.js';
import { parseMessage } from './child-messages.js';
import { LastWords } from './last-words.js';
import type { Identity } from './plan.js';

export interface ChildCommand {
  /** The bundle. */
  readonly script: string;
  readonly arguments: readonly string[];
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
  /** Its last words were that memory has run out. */
  readonly isOutOfMemory?: boolean;
  /** Nobody was there to see how it ended. */
  readonly isUnknown?: true;
}

export interface ChildEvents {
  onMessage(message: ChildMessage): void;
  /** The child broke the protocol of the channel; it is of no use any more. */
  onGarbage(error: unknown): void;
  /** Once, after its last log line. */
  onEnd(end: ChildEnd): void;
}

/** A child, however it came to be. */
export interface Child {
  /** 0 when it could not be started. */
  readonly pid: number;
  send(message: MasterMessage): void;
  kill(signal: NodeJS.Signals): void;
}

/** A program of its own. */
export class SpawnedChild implements Child {
  readonly pid: number;
  readonly #process: ChildProcess;
  readonly #channel: Socket | undefined;

  constructor(command: ChildCommand, events: ChildEvents, openLog: (pid: number) => LineCollector) {
    this.#process = spawn(process.execPath, [...command.nodeOptions, command.script, ...command.arguments], {
      env: { ...command.environment },
      stdio: ['ignore', 'pipe', 'pipe', 'pipe', ...command.inheritedFds],
      ...(command.identity === undefined ? {} : { uid: command.identity.uid, gid: command.identity.gid }),
      // A group of its own, so that Ctrl-C in a terminal reaches the master alone, which then ends the children in order.
      detached: true,
    });
    this.pid = this.#process.pid ?? 0;
    const log = openLog(this.pid);
    const lastWords = new LastWords();
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        lastWords.push(chunk);
        log.push(chunk);
      });
      stream?.on('error', () => undefined);
    }
    const channel = this.#process.stdio[controlFd];
    this.#channel = isSocket(channel) ? channel : undefined;
    if (this.#channel !== undefined) listenTo(this.#channel, events);
    let startError: Error | undefined;
    let isOver = false;
    const end = (code: number | null, signal: NodeJS.Signals | null): void => {
      if (isOver) return;
      isOver = true;
      log.end();
      const known = startError === undefined ? (code ?? undefined) : undefined;
      events.onEnd({ code: known, signal: signal ?? undefined, startError, isOutOfMemory: lastWords.isOutOfMemory });
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
    if (this.#channel !== undefined) sendTo(this.#channel, message);
  }

  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }
}

export function sendTo(channel: Socket, message: MasterMessage): void {
  if (!channel.writable) return;
  writeTogether(channel);
  channel.write(encodeFrame(message));
}

/** Passes on what a child says, checked. */
export function listenTo(channel: Socket, events: Pick<ChildEvents, 'onMessage' | 'onGarbage'>): void {
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
}

export function isSocket(stream: unknown): stream is Socket {
  return typeof stream === 'object' && stream !== null && 'write' in stream && 'on' in stream;
}
