// The template of a service: one process of its role that serves nobody, of which the service's processes are copies (service-kit/template-process.ts).
// Whenever it is not there, is not ready or fails, processes are started as programs of their own; nothing depends on it but speed.
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import type { Socket } from 'node:net';
import { controlFd } from '#ipc/control.js';
import { ForkError, ForkRequests } from '#ipc/fork-calls.js';
import { FrameDecoder } from '#ipc/frame.js';
import { closeDescriptor, duplicateDescriptor, HandlePassError } from '#ipc/handle-pass.js';
import { type TemplateMessage, templateArgument, templateRequest } from '#ipc/template.js';
import type { LineCollector } from '#log/files.js';
import type { Logger } from '#log/logger.js';
import { handleDescriptor } from '#util/node-handle.js';
import { type Child, type ChildCommand, type ChildEvents, isSocket } from './child.js';
import { CopiedChild, type CopyOwner, openCopySockets, signalName } from './copied-child.js';

/** A copy has no other threads, so V8 must not count on them; and its memory is shared as long as nobody tidies it up. */
const nodeOptions = ['--single-threaded', '--no-memory-reducer'] as const;
const readyTimeoutMs = 60_000;
const patienceMs = 5_000;
const firstRetryMs = 10_000;
const longestRetryMs = 600_000;

export interface TemplateOptions {
  readonly service: string;
  /** As for a process of the service, with its listeners. Called for each start. */
  readonly command: () => ChildCommand;
  /** How many descriptors follow the listeners in each copy. */
  readonly ownFdCount: number;
  /** Several processes are wanted at once: they wait for the template, which takes as long as a few of them would. */
  readonly isWorthWaiting: boolean;
  readonly log: Logger;
  readonly openLog: (pid: number) => LineCollector;
}

interface CopyRequest {
  readonly id: number;
  readonly child: CopiedChild;
  /** To be sent and closed. */
  readonly fds: readonly number[];
}

/** A template for `roostadm process status` and the watch on memory. */
export interface TemplateFacts {
  readonly pid: number;
  readonly isReady: boolean;
  /** Milliseconds since the epoch. */
  readonly startedAtMs: number;
  /** Made of it so far. */
  readonly copies: number;
}

type State =
  | { readonly kind: 'none' }
  | { readonly kind: 'starting' | 'ready'; readonly process: ChildProcess; readonly channel: Socket }
  | { readonly kind: 'retired' };

export class Template {
  readonly #options: TemplateOptions;
  readonly #children = new Map<number, CopiedChild>();
  readonly #byPid = new Map<number, CopiedChild>();
  #requests: ForkRequests | undefined;
  #state: State = { kind: 'none' };
  #current: ChildProcess | undefined;
  #startedAtMs = 0;
  #copies = 0;
  #retryAtMs = Number.NEGATIVE_INFINITY;
  #retryMs = firstRetryMs;
  /** While the template starts, processes wait for it until then. */
  #awaitedUntilMs = Number.NEGATIVE_INFINITY;
  #queued: CopyRequest[] = [];
  #lastId = 0;
  readonly #owner: CopyOwner = {
    seemsEnded: () => void this.#request(templateRequest.reap),
    giveUp: () => this.#current?.kill('SIGKILL'),
  };

  constructor(options: TemplateOptions) {
    this.#options = options;
  }

  /** Number of the template's process; 0 when there is none. */
  get pid(): number {
    return this.#current?.pid ?? 0;
  }

  get isReady(): boolean {
    return this.#state.kind === 'ready';
  }

  /** Undefined while there is none. */
  get facts(): TemplateFacts | undefined {
    const { pid, isReady } = this;
    return pid === 0 ? undefined : { pid, isReady, startedAtMs: this.#startedAtMs, copies: this.#copies };
  }

  /** Its processes are started as programs until the next one. */
  kill(): void {
    this.#current?.kill('SIGKILL');
  }

  /**
   * A copy; undefined when the process has to be started another way. Starts the template when there is none.
   * @param ownFds what follows the listeners; still the caller's
   */
  copy(ownFds: readonly number[], events: ChildEvents, openLog: (pid: number) => LineCollector): Child | undefined {
    if (this.#state.kind === 'none' && Date.now() >= this.#retryAtMs) this.#start();
    const { kind } = this.#state;
    if (kind !== 'ready' && (kind !== 'starting' || !this.#options.isWorthWaiting || Date.now() >= this.#awaitedUntilMs)) return undefined;
    try {
      const request = this.#prepare(ownFds, events, openLog);
      if (kind === 'starting') this.#queued.push(request);
      else if (!this.#ask(request)) {
        this.#children.delete(request.id);
        request.child.forget();
        return undefined;
      }
      return request.child;
    } catch (error) {
      // Descriptors have run out, which a start will say better.
      if (error instanceof HandlePassError) return undefined;
      throw error;
    }
  }

  /** The caller may close its descriptors at once, even if the template is not ready. */
  #prepare(ownFds: readonly number[], events: ChildEvents, openLog: (pid: number) => LineCollector): CopyRequest {
    const sockets = openCopySockets();
    this.#lastId = (this.#lastId + 1) >>> 0;
    const child = new CopiedChild(sockets, events, openLog, this.#owner);
    this.#children.set(this.#lastId, child);
    return { id: this.#lastId, child, fds: [...sockets.childFds, ...ownFds.map(duplicateDescriptor)] };
  }

  /** @returns whether it could be sent */
  #ask({ id, fds }: CopyRequest): boolean {
    const isSent = this.#request(templateRequest.copy, id, fds);
    for (const fd of fds) closeDescriptor(fd);
    return isSent;
  }

  /** @param canCopy false: those who wait have waited for nothing, and are started another way */
  #settleQueued(canCopy: boolean): void {
    for (const request of this.#queued.splice(0)) {
      if (canCopy && this.#ask(request)) continue;
      if (!canCopy) for (const fd of request.fds) closeDescriptor(fd);
      this.#children.delete(request.id);
      request.child.orphaned();
    }
  }

  /** No more copies; the template lets go of the listeners, and sees those that there are end. */
  retire(): void {
    const state = this.#state;
    this.#state = { kind: 'retired' };
    this.#settleQueued(false);
    if (state.kind === 'starting') state.process.kill('SIGKILL');
    this.#request(templateRequest.retire);
    this.#endWhenAlone();
  }

  #request(kind: number, id = 0, fds: readonly number[] = []): boolean {
    const channel = this.#current?.stdio[controlFd];
    const fd = isSocket(channel) ? handleDescriptor(channel) : undefined;
    return fd !== undefined && this.#requests?.send(fd, { kind, id, fds }) === true;
  }

  #endWhenAlone(): void {
    // It ends with its channel.
    if (this.#state.kind === 'retired' && this.#children.size === 0 && this.#byPid.size === 0) this.#current?.stdio[controlFd]?.destroy();
  }

  #start(): void {
    const { command, ownFdCount, log, service } = this.#options;
    const unused = openSync('/dev/null', 'r');
    try {
      this.#requests ??= new ForkRequests();
      const { script, nodeOptions: options, environment, identity, inheritedFds } = command();
      const child = spawn(process.execPath, [...options, ...nodeOptions, script, templateArgument, String(inheritedFds.length)], {
        env: { ...environment },
        // The places of what each copy gets are taken, so that nothing of Node's own comes to be there.
        stdio: ['ignore', 'pipe', 'pipe', 'pipe', ...inheritedFds, ...Array.from({ length: ownFdCount }, () => unused)],
        ...(identity === undefined ? {} : { uid: identity.uid, gid: identity.gid }),
        detached: true,
      });
      this.#attend(child);
    } catch (error) {
      this.#retryAtMs = Number.POSITIVE_INFINITY;
      if (!(error instanceof ForkError)) throw error;
      log.debug('service.template', `service(${service}): ${error.message}`, { service });
    } finally {
      closeSync(unused);
    }
  }

  #attend(child: ChildProcess): void {
    const channel = child.stdio[controlFd];
    this.#current = child;
    this.#startedAtMs = Date.now();
    this.#copies = 0;
    child.on('error', () => this.#gone(child, 'it could not be started'));
    if (!isSocket(channel)) return;
    this.#state = { kind: 'starting', process: child, channel };
    const lines = this.#options.openLog(child.pid ?? 0);
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (chunk: Buffer) => lines.push(chunk));
      stream?.on('error', () => undefined);
    }
    const timer = setTimeout(() => child.kill('SIGKILL'), readyTimeoutMs).unref();
    this.#awaitedUntilMs = Date.now() + patienceMs;
    const patience = setTimeout(() => this.#settleQueued(false), patienceMs).unref();
    const decoder = new FrameDecoder();
    channel.on('error', () => undefined);
    channel.on('data', (chunk: Buffer) => {
      decoder.push(chunk);
      for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
        // It has met nobody but us.
        const message = frame.value as TemplateMessage;
        if (message.kind === 'ready') clearTimeout(timer);
        this.#onMessage(child, channel, message);
      }
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      clearTimeout(patience);
      lines.end();
      this.#gone(child, signal === null ? `it returned ${code}` : `it was killed with ${signal}`);
    });
  }

  #onMessage(process: ChildProcess, channel: Socket, message: TemplateMessage): void {
    switch (message.kind) {
      case 'ready':
        if (this.#state.kind !== 'starting') return;
        this.#state = { kind: 'ready', process, channel };
        this.#retryMs = firstRetryMs;
        this.#settleQueued(true);
        return;
      case 'copied': {
        const child = this.#children.get(message.id);
        this.#children.delete(message.id);
        if (child === undefined) return;
        this.#byPid.set(message.pid, child);
        this.#copies += 1;
        child.copied(message.pid);
        return;
      }
      case 'failed': {
        const child = this.#children.get(message.id);
        this.#children.delete(message.id);
        child?.ended({ code: undefined, signal: undefined, startError: new Error(message.reason) });
        this.#endWhenAlone();
        return;
      }
      case 'ended': {
        const child = this.#byPid.get(message.pid);
        this.#byPid.delete(message.pid);
        const signal = message.signal === undefined ? undefined : signalName(message.signal);
        child?.ended({ code: message.code, signal, startError: undefined });
        this.#endWhenAlone();
        return;
      }
      default:
        message satisfies never;
    }
  }

  #gone(process: ChildProcess, how: string): void {
    if (this.#current !== process) return;
    this.#current = undefined;
    const { log, service } = this.#options;
    if (this.#state.kind !== 'retired') {
      this.#state = { kind: 'none' };
      this.#retryAtMs = Date.now() + this.#retryMs;
      log.warning(
        'service.template',
        `service(${service}): the template of its processes has ended (${how}); they start more slowly for ${this.#retryMs / 1000} s`,
        { service },
      );
      this.#retryMs = Math.min(longestRetryMs, this.#retryMs * 2);
    }
    this.#settleQueued(false);
    const children = [...this.#children.values(), ...this.#byPid.values()];
    this.#children.clear();
    this.#byPid.clear();
    for (const child of children) child.orphaned();
  }
}
