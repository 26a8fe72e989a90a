// A child that is a copy of a template: its control channel and log are sockets of ours, its end is reported by the template.
import { Socket } from 'node:net';
import { constants } from 'node:os';
import type { MasterMessage } from '#ipc/control.js';
import { closeDescriptor, makeBlocking, openSocketPair } from '#ipc/handle-pass.js';
import type { LineCollector } from '#log/files.js';
import { type Child, type ChildEnd, type ChildEvents, listenTo, sendTo } from './child.js';
import { LastWords } from './last-words.js';

/** Last log lines are waited for so long after the end; a grandchild may hold the log open. */
const lastWordsMs = 1_000;

/** What the child gets: descriptors 3, and 1 with 2. */
export interface CopySockets {
  readonly control: Socket;
  readonly log: Socket;
  /** The child's ends; to be closed here once they were sent. */
  readonly childFds: readonly [control: number, log: number];
}

/** @throws HandlePassError when there are no descriptors left */
export function openCopySockets(): CopySockets {
  const [control, childControl] = openSocketPair();
  try {
    const [log, childLog] = openSocketPair();
    makeBlocking(childLog);
    return { control: socketOf(control), log: socketOf(log), childFds: [childControl, childLog] };
  } catch (error) {
    for (const fd of [control, childControl]) closeDescriptor(fd);
    throw error;
  }
}

function socketOf(fd: number): Socket {
  // Paused, so that nothing is read before somebody listens.
  return new Socket({ fd, readable: true, writable: true, allowHalfOpen: false }).on('error', () => undefined).pause();
}

/** What a copy asks of its template. */
export interface CopyOwner {
  /** The process has closed its log, which most do by ending. */
  seemsEnded(): void;
  /** The copy that has not even been made is not wanted any more. */
  giveUp(): void;
}

export class CopiedChild implements Child {
  pid = 0;
  readonly #sockets: CopySockets;
  readonly #events: ChildEvents;
  readonly #openLog: (pid: number) => LineCollector;
  readonly #template: CopyOwner;
  #log: LineCollector | undefined;
  readonly #lastWords = new LastWords();
  #hasLogEnded = false;
  #end: ChildEnd | undefined;
  #isOver = false;

  constructor(sockets: CopySockets, events: ChildEvents, openLog: (pid: number) => LineCollector, template: CopyOwner) {
    this.#sockets = sockets;
    this.#events = events;
    this.#openLog = openLog;
    this.#template = template;
  }

  send(message: MasterMessage): void {
    sendTo(this.#sockets.control, message);
  }

  kill(signal: NodeJS.Signals): void {
    if (this.pid === 0) {
      // It may wait for the template, or be on its way.
      this.#template.giveUp();
      return;
    }
    // Once it is known to be gone its number may be another's.
    if (this.#end !== undefined) return;
    try {
      process.kill(this.pid, signal);
    } catch {
      // Gone in this moment.
    }
  }

  /** The template has made it. */
  copied(pid: number): void {
    this.pid = pid;
    const { control, log } = this.#sockets;
    const collector = this.#openLog(pid);
    this.#log = collector;
    log.on('data', (chunk: Buffer) => {
      this.#lastWords.push(chunk);
      collector.push(chunk);
    });
    log.on('close', () => {
      this.#hasLogEnded = true;
      if (this.#end === undefined) this.#template.seemsEnded();
      else this.#over(this.#end);
    });
    log.resume();
    listenTo(control, this.#events);
    control.resume();
  }

  /** The template has seen it end, or could not make it. */
  ended(end: ChildEnd): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    if (this.#hasLogEnded || this.pid === 0) this.#over(end);
    else setTimeout(() => this.#over(end), lastWordsMs).unref();
  }

  /** It was never asked for; nobody is told. */
  forget(): void {
    this.#isOver = true;
    this.#sockets.control.destroy();
    this.#sockets.log.destroy();
  }

  /** The template is gone: how this child ends will not be known, only when. */
  orphaned(): void {
    const end: ChildEnd = { code: undefined, signal: undefined, startError: undefined, isUnknown: true };
    const { control } = this.#sockets;
    // Not at once: this may be inside the call that has started it.
    if (this.pid === 0 || control.destroyed) setImmediate(() => this.ended(end));
    else control.on('close', () => this.ended(end));
  }

  #over(end: ChildEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#sockets.control.destroy();
    this.#sockets.log.destroy();
    this.#log?.end();
    this.#events.onEnd({ ...end, isOutOfMemory: this.#lastWords.isOutOfMemory });
  }
}

/** @param number of a signal that ended a process */
export function signalName(number: number): NodeJS.Signals | undefined {
  for (const [name, value] of Object.entries(constants.signals)) if (value === number) return name as NodeJS.Signals;
  return undefined;
}
