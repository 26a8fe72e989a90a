// A process that lives long practises: while nobody is connected it plays sessions with itself, so that its first clients find compiled what they need.
// Without it they wait for V8's interpreter and for its compilers, whose threads take the processors from the one that serves: the first commands of a
// process that has just started cost up to five times what they cost later.
//
// It begins once the process has been at rest for a while, works less than half of the time, gives way where the processors are taken, and ends at
// once when a client comes. Then it goes on at the next rest.

import type { Logger } from '#log/logger.js';
import { openNativeLibraries } from '#util/native-calls.js';
import type { ControlLink } from './control-link.js';
import { collectAll } from './idle-memory.js';
import { closeFolder, openFolder, removeAbandoned, removeFolder } from './rehearsal-folder.js';
import { Stage, type StageOptions } from './rehearsal-stage.js';
import type { Practice, Rehearsal, Role } from './role.js';

/** After the start, or the last client, and for each process a part more, so that they do not all begin at once. */
const restMs = 700;
/** CPU time, threads included and what clients needed as well, after which enough is compiled, or the machine is too slow for it. */
const maxCpuMs = 4_000;
/** A log-in runs less code than a session. */
const maxLoginCpuMs = 1_000;
/** Part of it after which a process that has met clients needs no practice: they were it. */
const shareWithClients = 0.25;
/** So many clients may come in between. */
const maxTries = 5;
/** A timer that is later than this has waited for a processor. */
const lateMs = 10;
const longestPauseMs = 100;
const lastWordsMs = 1_000;
/** Longest time of a session, on a machine with other work for its processors. */
const sessionTimeoutMs = 120_000;

export interface PracticeOptions {
  readonly role: Role;
  readonly title: string;
  readonly log: Logger;
  /** Runs a second instance of the role. */
  readonly serve: (control: ControlLink) => Promise<void>;
  /** Nobody is connected. */
  readonly isAtRest: () => boolean;
  readonly restMs?: number;
}

export class Practising {
  readonly #options: PracticeOptions;
  readonly #rehearsal: (Rehearsal & { readonly practice: Practice }) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #current: { readonly abort: AbortController; readonly ended: Promise<void> } | undefined;
  /** The next session. */
  #index = 0;
  #tries = 0;
  readonly #cpuAtStartMs = cpuMs();
  readonly #maxCpuMs: number;
  #isStopped = false;
  #hasMetClients = false;
  /** Looking whether it is over takes a system call, and a login process comes to rest after each login. */
  #isOver = false;

  constructor(options: PracticeOptions) {
    this.#options = options;
    const { rehearsal, name } = options.role;
    this.#maxCpuMs = name.endsWith('-login') ? maxLoginCpuMs : maxCpuMs;
    if (rehearsal?.practice !== undefined) this.#rehearsal = { ...rehearsal, practice: rehearsal.practice };
  }

  /** The process has nothing to do. */
  start(): void {
    if (this.#rehearsal === undefined || this.#isStopped || this.#isOver) return;
    this.#isOver = this.#hasDoneAll;
    if (this.#isOver) return;
    clearTimeout(this.#timer);
    const { restMs: rest = restMs } = this.#options;
    this.#timer = setTimeout(() => this.#begin(), rest * (1 + Math.random())).unref();
  }

  /** A client has come. */
  interrupt(): void {
    this.#hasMetClients = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#current?.abort.abort();
  }

  /** For good; resolves when nothing is left of it. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.interrupt();
    await this.#current?.ended;
  }

  get #hasDoneAll(): boolean {
    return this.#index >= (this.#rehearsal?.practice.sessions ?? 0) || this.#tries >= maxTries || this.#hasHadEnough;
  }

  get #hasHadEnough(): boolean {
    return this.#cpuMs >= this.#maxCpuMs * (this.#hasMetClients ? shareWithClients : 1);
  }

  get #cpuMs(): number {
    return cpuMs() - this.#cpuAtStartMs;
  }

  #begin(): void {
    const rehearsal = this.#rehearsal;
    if (this.#current !== undefined || this.#isStopped || rehearsal === undefined || !this.#options.isAtRest()) return;
    this.#tries += 1;
    const abort = new AbortController();
    const ended = this.#play(rehearsal, abort.signal)
      .catch((error: unknown) => {
        if (abort.signal.aborted) return;
        // It is of no use to try again what failed by itself.
        this.#tries = maxTries;
        const text = `The first clients will be served more slowly: ${error instanceof Error ? error.message : String(error)}`;
        this.#options.log.debug('service.practice', text, { error });
      })
      .finally(() => {
        this.#current = undefined;
        if (!this.#options.isAtRest() || this.#isStopped) return;
        // What is left of the second instance would be taken for what the process needs at rest (idle-memory.ts). After clients have come, collecting
        // would take the code along that they have made V8 compile.
        if (!this.#hasMetClients) void collectAll().then(trim);
        this.start();
      });
    this.#current = { abort, ended };
  }

  async #play(rehearsal: Rehearsal & { readonly practice: Practice }, signal: AbortSignal): Promise<void> {
    const { role, title, serve, log } = this.#options;
    const { practice } = rehearsal;
    const folder = openFolder();
    if (folder === '' && rehearsal.settings !== undefined) {
      this.#tries = maxTries;
      return;
    }
    const startedAtMs = performance.now();
    let deadlineMs = startedAtMs + sessionTimeoutMs;
    const pacer = new Pacer(signal, () => {
      if (performance.now() > deadlineMs) throw new Error(`it stopped at ${stage.position}`);
    });
    const options: StageOptions = { serviceCount: 0, title, pace: () => pacer.pace() };
    const stage = new Stage(role, rehearsal, folder, options);
    const onAbort = (): void => stage.close();
    signal.addEventListener('abort', onAbort, { once: true });
    const watch = setInterval(() => {
      if (performance.now() > deadlineMs) stage.close();
    }, sessionTimeoutMs).unref();
    try {
      await removeAbandoned(signal);
      await practice.prepare?.(folder, signal);
      signal.throwIfAborted();
      await stage.open(serve);
      // A session that was broken off is played again.
      for (; this.#index < practice.sessions && !this.#hasHadEnough; this.#index += 1) {
        signal.throwIfAborted();
        deadlineMs = performance.now() + sessionTimeoutMs;
        await stage.session(practice.session(this.#index));
      }
    } finally {
      clearInterval(watch);
      signal.removeEventListener('abort', onAbort);
      // What is broken off need not come to its end in time; its descriptors do not stay.
      await Promise.race([stage.end(), pause(lastWordsMs)]).catch(() => undefined);
      stage.close();
      if (folder !== '') await removeFolder(folder).catch(() => closeFolder(folder));
    }
    // Who waits for this may take it that nothing of it is left.
    const facts = { sessions: this.#index, cpuMs: Math.round(this.#cpuMs), tookMs: Math.round(performance.now() - startedAtMs) };
    log.debug('service.practised', `Practised ${facts.sessions} sessions in ${facts.tookMs} ms, ${facts.cpuMs} ms of CPU`, facts);
  }
}

/** Lets other work run: pauses as long as the work since the last pause took, and longer where processors are short. */
class Pacer {
  readonly #signal: AbortSignal;
  readonly #look: () => void;
  #resumedAtMs = performance.now();

  constructor(signal: AbortSignal, look: () => void) {
    this.#signal = signal;
    this.#look = look;
  }

  async pace(): Promise<void> {
    this.#look();
    let pauseMs = Math.min(longestPauseMs, Math.max(1, performance.now() - this.#resumedAtMs));
    for (;;) {
      this.#signal.throwIfAborted();
      const dueMs = performance.now() + pauseMs;
      await new Promise<void>((resolve) => setTimeout(resolve, pauseMs));
      const late = performance.now() - dueMs;
      if (late < lateMs || pauseMs >= longestPauseMs) break;
      pauseMs = Math.min(longestPauseMs, late * 2);
    }
    this.#signal.throwIfAborted();
    this.#resumedAtMs = performance.now();
  }
}

/** The C library gives back what V8's compilers needed; it keeps it for the next ones otherwise. Not every C library can. */
function trim(): void {
  try {
    openNativeLibraries()?.load(null).func('malloc_trim', 'int', ['ulong'])(0);
  } catch {
    // musl keeps little.
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
