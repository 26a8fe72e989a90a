// Which process serves whom, when one is started and when one goes: the rules of a `service` block, as a pure state machine.
//
// Every event carries the time and returns what to do; the pool does it and reports back. Two ways lead to a process. Connections on a
// shared listener are accepted by the processes themselves, which report it afterwards; the listeners are watched from here only while no
// process has room. Logged-in users are routed: the slot is reserved before the answer, so that two logins cannot take the last one.
import { fullWaitMs, startTimeoutMs } from '#ipc/control.js';
import {
  type Decision,
  limitLogMs,
  listenPauseMs,
  maxStarting,
  type PoolLimits,
  type ProcessStatus,
  pushOutPauseMs,
  type RouteRequest,
  replacementMs,
  restorePauseMs,
} from './decisions.js';
import { PoolProcess } from './pool-process.js';
import { matureMs, Throttle } from './throttle.js';

interface Waiting {
  readonly route: RouteRequest;
  readonly sinceMs: number;
  /** A process that is being started and has a slot for it. */
  promised: { readonly process: PoolProcess; readonly ticket: number } | undefined;
}

/** Numbers for processes and tickets, unique within the server. */
export interface Numbers {
  nextProcessId(): number;
  nextTicket(): number;
}

export interface ProcessView {
  readonly id: number;
  readonly key: string;
  readonly phase: PoolProcess['phase'];
  readonly clients: number;
  readonly load: number;
  readonly free: number;
  readonly served: number;
  readonly isCounted: boolean;
  readonly startedAtMs: number;
  readonly idleSinceMs: number;
  /** It has sessions of the user, or may get some. */
  serves(user: string): boolean;
}

export class Scheduler {
  readonly #limits: PoolLimits;
  readonly #processes = new Map<number, PoolProcess>();
  readonly #throttle = new Throttle();
  readonly #numbers: Numbers;
  #waiting: Waiting[] = [];
  #isRetired = false;
  /** Low-water mark of idle processes since the last idle check. */
  #leastIdle = 0;
  #idleCheckAtMs: number;
  #listenPausedUntilMs = Number.NEGATIVE_INFINITY;
  #fullSinceMs: number | undefined;
  /** Since when fewer processes than process_min_avail have had room, while some had. */
  #shortSinceMs: number | undefined;
  /** Process_min_avail has been reached. */
  #hadMinAvail = false;
  #refusingUntilMs = Number.NEGATIVE_INFINITY;
  #limitLoggedAtMs = Number.NEGATIVE_INFINITY;

  constructor(limits: PoolLimits, nowMs: number, numbers: Numbers) {
    this.#limits = limits;
    this.#numbers = numbers;
    this.#idleCheckAtMs = nowMs + limits.idleKillMs;
  }

  /** A logged-in user needs a process. */
  route(nowMs: number, route: RouteRequest): Decision[] {
    this.#waiting.push({ route, sinceMs: nowMs, promised: undefined });
    return this.#settle(nowMs);
  }

  /** The asking process is gone, or does not want the answer any more. */
  cancelRoute(nowMs: number, request: number): Decision[] {
    this.#waiting = this.#waiting.filter((waiting) => {
      if (waiting.route.request !== request) return true;
      waiting.promised?.process.drop(waiting.promised.ticket);
      return false;
    });
    return this.#settle(nowMs);
  }

  /** The hand-off to a process failed; its slot is free again. */
  routeFailed(nowMs: number, process: number, ticket: number): Decision[] {
    this.#processes.get(process)?.drop(ticket);
    return this.#settle(nowMs);
  }

  status(nowMs: number, process: number, status: ProcessStatus): Decision[] {
    const known = this.#processes.get(process);
    const wasStarting = known?.phase === 'starting';
    known?.apply(status, nowMs);
    if (wasStarting && known.phase === 'ready') this.#throttle.started();
    return this.#settle(nowMs);
  }

  /**
   * A process is gone.
   * @param end `failed` counts against the service (throttling); `ended` was asked for by the pool; `ok` is exit code 0
   */
  exited(nowMs: number, process: number, end: 'ok' | 'ended' | 'failed'): Decision[] {
    const gone = this.#processes.get(process);
    if (gone === undefined) return [];
    this.#processes.delete(process);
    for (const waiting of this.#waiting) if (waiting.promised?.process === gone) waiting.promised = undefined;
    const decisions: Decision[] = [];
    if (end === 'ok') this.#throttle.reset();
    if (end === 'failed') {
      const ms = this.#throttle.fail(nowMs, { wasReady: gone.phase !== 'starting', ageMs: nowMs - gone.startedAtMs });
      if (ms !== undefined) decisions.push({ kind: 'throttle', ms });
    }
    decisions.push(...this.#settle(nowMs));
    return decisions;
  }

  /** The process takes no clients any more, on the pool's order. */
  drain(nowMs: number, process: number): Decision[] {
    const found = this.#processes.get(process);
    if (found !== undefined) found.phase = 'draining';
    return this.#settle(nowMs);
  }

  /**
   * Connections wait on a listener and no process took them.
   * @param pending how many, at least 1; as far as known
   */
  demand(nowMs: number, pending: number): Decision[] {
    const decisions = this.#settle(nowMs);
    if (!this.wantsListening(nowMs)) return decisions;
    const starting = this.#count((process) => process.phase === 'starting');
    const short = pending - this.#sum((process) => (process.phase === 'starting' && this.#accepts(process) ? process.free : 0));
    this.#listenPausedUntilMs = nowMs + listenPauseMs;
    if (short <= 0) return decisions;
    const possible = this.#limits.processLimit - this.#count((process) => process.isCounted);
    const wanted = Math.ceil(short / this.#limits.clientLimit);
    const count = Math.min(wanted, possible, maxStarting - starting);
    for (let started = 0; started < count; started += 1) decisions.push(this.#start(nowMs, this.#limits.defaultKey).decision);
    if (possible <= 0 && starting === 0) {
      this.#evict(this.#limits.defaultKey, decisions);
      if (!this.#some((process) => process.phase === 'leaving')) decisions.push(...this.#full(nowMs, pending));
    }
    return decisions;
  }

  /** Time has passed. */
  tick(nowMs: number): Decision[] {
    return this.#settle(nowMs);
  }

  /** Starts nothing any more. Returns the routes that were waiting: another generation may serve them. */
  retire(): RouteRequest[] {
    this.#isRetired = true;
    const routes = this.#waiting.map(({ route }) => route);
    for (const { promised } of this.#waiting) promised?.process.drop(promised.ticket);
    this.#waiting = [];
    return routes;
  }

  /** Shall the pool tell when a connection waits on a listener? Only while no running process would take it. */
  wantsListening(nowMs: number): boolean {
    if (this.#isRetired || this.#throttle.isActive(nowMs) || nowMs < this.#listenPausedUntilMs) return false;
    return !this.#some((process) => process.phase === 'ready' && process.free > 0 && this.#accepts(process));
  }

  /** When `tick` is due next, ms; Infinity when only events can change anything. */
  nextTickMs(nowMs: number): number {
    let next = Number.POSITIVE_INFINITY;
    const later = (atMs: number): void => {
      if (atMs > nowMs && atMs < next) next = atMs;
    };
    for (const process of this.#processes.values()) {
      if (process.phase === 'starting') later(process.startedAtMs + startTimeoutMs);
      later(process.nextExpiryMs);
    }
    for (const { sinceMs } of this.#waiting) later(sinceMs + fullWaitMs);
    later(this.#throttle.untilMs);
    later(this.#listenPausedUntilMs);
    if (this.#shortSinceMs !== undefined) later(this.#shortSinceMs + restorePauseMs);
    if (!this.#isRetired && this.#count((process) => process.isIdle) > this.#limits.processMinAvail) later(this.#idleCheckAtMs);
    return next;
  }

  get processes(): ProcessView[] {
    return [...this.#processes.values()];
  }

  /** Processes that count against process_limit. */
  get processCount(): number {
    return this.#count((process) => process.isCounted);
  }

  /** Clients that the service could take without starting anything. */
  get freeSlots(): number {
    return this.#sum((process) => process.free);
  }

  get waitingCount(): number {
    return this.#waiting.length;
  }

  isThrottled(nowMs: number): boolean {
    return this.#throttle.isActive(nowMs);
  }

  #settle(nowMs: number): Decision[] {
    const decisions: Decision[] = [];
    for (const process of this.#processes.values()) {
      process.expire(nowMs);
      if (process.phase === 'starting' && nowMs >= process.startedAtMs + startTimeoutMs) {
        // Until it is gone it stays counted, but nothing is promised on it any more.
        process.phase = 'leaving';
        for (const waiting of this.#waiting) if (waiting.promised?.process === process) waiting.promised = undefined;
        decisions.push({ kind: 'kill', process: process.id, afterMs: startTimeoutMs });
      }
      if (process.phase === 'ready' && nowMs - process.readyAtMs >= matureMs) this.#throttle.reset();
    }
    if (this.#some((process) => process.phase === 'ready' && process.free > 0 && this.#accepts(process))) this.#fullSinceMs = undefined;
    decisions.push(...this.#serveWaiting(nowMs), ...this.#restoreMinAvail(nowMs), ...this.#checkIdle(nowMs));
    return decisions;
  }

  #serveWaiting(nowMs: number): Decision[] {
    const decisions: Decision[] = [];
    const still: Waiting[] = [];
    let isBlocked = false;
    for (const waiting of this.#waiting) {
      const { request, key } = waiting.route;
      const isLate = nowMs >= waiting.sinceMs + fullWaitMs;
      if (waiting.promised === undefined) waiting.promised = this.#promise(nowMs, waiting.route, isLate ? 'ready' : 'any', decisions);
      if (waiting.promised?.process.phase === 'ready') {
        // From here on the connection is on its way; how long the start took is not its fault.
        const { process, ticket } = waiting.promised;
        process.renew(ticket, nowMs);
        const leaseMs = waiting.route.takesLease === true ? process.lease(ticket, nowMs) : undefined;
        decisions.push({ kind: 'answer', request, process: process.id, ticket, leaseMs });
      } else if (waiting.promised === undefined && isLate) {
        const isFull = this.processCount >= this.#limits.processLimit;
        const reason = isFull ? this.#limitText() : 'no process could be started';
        decisions.push({ kind: 'refuse', request, outcome: isFull ? 'full' : 'failed', reason });
      } else {
        still.push(waiting);
        if (waiting.promised === undefined) {
          isBlocked = true;
          this.#evict(key, decisions);
        }
      }
    }
    this.#waiting = still;
    if (isBlocked && this.processCount >= this.#limits.processLimit) {
      decisions.push(...this.#logLimit(nowMs, still.filter(({ promised }) => promised === undefined).length));
    }
    return decisions;
  }

  /**
   * A process with room for the user, its slot reserved; started when there is none and there may be one more.
   * @param which `ready`: the user has waited so long that one which has yet to start comes too late
   */
  #promise(nowMs: number, { user, key }: RouteRequest, which: 'any' | 'ready', decisions: Decision[]): Waiting['promised'] {
    let best: PoolProcess | undefined;
    for (const process of this.#processes.values()) {
      if (process.key !== key || process.free === 0 || (which === 'ready' && process.phase !== 'ready')) continue;
      if (best === undefined || rank(process, user) < rank(best, user)) best = process;
    }
    if (best === undefined) {
      if (which === 'ready') return undefined;
      if (this.#isRetired || this.#throttle.isActive(nowMs) || this.processCount >= this.#limits.processLimit) return undefined;
      if (this.#count((process) => process.phase === 'starting') >= maxStarting) return undefined;
      const started = this.#start(nowMs, key);
      decisions.push(started.decision);
      best = started.process;
    }
    const ticket = this.#numbers.nextTicket();
    best.reserve(ticket, user, nowMs);
    return { process: best, ticket };
  }

  /** At the limit an idle process that runs as somebody else makes room. */
  #evict(key: string, decisions: Decision[]): void {
    if (this.processCount < this.#limits.processLimit || this.#some((process) => process.phase === 'leaving')) return;
    const victim = this.#longestIdle((process) => process.key !== key)[0];
    if (victim === undefined) return;
    victim.phase = 'leaving';
    decisions.push({ kind: 'idle-exit', process: victim.id });
  }

  #restoreMinAvail(nowMs: number): Decision[] {
    const decisions: Decision[] = [];
    if (this.#isRetired || this.#throttle.isActive(nowMs)) return decisions;
    const available = this.#count((process) => process.key === this.#limits.defaultKey && process.free > 0);
    const starting = this.#count((process) => process.phase === 'starting');
    const possible = this.#limits.processLimit - this.processCount;
    const missing = this.#limits.processMinAvail - available;
    if (missing <= 0) {
      this.#shortSinceMs = undefined;
      this.#hadMinAvail = true;
    } else if (
      this.#hadMinAvail &&
      this.#some((process) => process.phase === 'ready' && process.key === this.#limits.defaultKey && process.free > 0)
    ) {
      // Whoever took the one that is missing is being served on the same processors; its replacement has time, as long as there are others.
      this.#shortSinceMs ??= nowMs;
      if (nowMs < this.#shortSinceMs + restorePauseMs) return decisions;
    }
    const count = Math.min(missing, possible, maxStarting - starting);
    for (let started = 0; started < count; started += 1) decisions.push(this.#start(nowMs, this.#limits.defaultKey).decision);
    return decisions;
  }

  /** Processes that were not needed at any time since the last check go, longest idle first. */
  #checkIdle(nowMs: number): Decision[] {
    const decisions: Decision[] = [];
    const idle = this.#count((process) => process.isIdle);
    this.#leastIdle = Math.min(this.#leastIdle, idle);
    if (nowMs < this.#idleCheckAtMs) return decisions;
    const surplus = this.#isRetired ? 0 : this.#leastIdle - this.#limits.processMinAvail;
    if (surplus > 0) {
      for (const process of this.#longestIdle(() => true).slice(0, surplus)) {
        process.phase = 'leaving';
        decisions.push({ kind: 'idle-exit', process: process.id });
      }
    }
    this.#leastIdle = this.#count((process) => process.isIdle);
    this.#idleCheckAtMs = nowMs + this.#limits.idleKillMs;
    return decisions;
  }

  /** Connections wait, every process is full, and no more may be started. */
  #full(nowMs: number, pending: number): Decision[] {
    const decisions = this.#logLimit(nowMs, pending);
    const waitEndsAtMs = (this.#fullSinceMs ?? nowMs) + fullWaitMs;
    // A new connection long after the last refusal gets the whole waiting time again.
    const isStale = nowMs > waitEndsAtMs + fullWaitMs && nowMs > this.#refusingUntilMs;
    if (this.#fullSinceMs === undefined || isStale) this.#fullSinceMs = nowMs;
    else if (nowMs >= waitEndsAtMs) {
      this.#refusingUntilMs = nowMs + fullWaitMs;
      return [...decisions, { kind: 'drop-pending' }];
    }
    if (!this.#limits.isLogin) {
      this.#listenPausedUntilMs = this.#fullSinceMs + fullWaitMs;
      return decisions;
    }
    this.#listenPausedUntilMs = nowMs + pushOutPauseMs;
    const isLeaving = (process: PoolProcess): boolean => this.#limits.serviceCount === 1 && nowMs < process.pushedOutAtMs + replacementMs;
    const victims = [...this.#processes.values()]
      .filter((process) => process.phase !== 'starting' && process.clients > 0 && this.#accepts(process) && !isLeaving(process))
      .sort((a, b) => pushOutRank(a) - pushOutRank(b) || a.startedAtMs - b.startedAtMs);
    const needed = Math.max(0, pending - this.#count(isLeaving));
    for (const process of victims.slice(0, needed)) {
      process.pushedOutAtMs = nowMs;
      decisions.push({ kind: 'push-out', process: process.id });
    }
    return decisions;
  }

  #logLimit(nowMs: number, waiting: number): Decision[] {
    if (nowMs < this.#limitLoggedAtMs + limitLogMs) return [];
    this.#limitLoggedAtMs = nowMs;
    const { processLimit, clientLimit, serviceCount } = this.#limits;
    if (processLimit > 1) {
      const needed = processLimit + Math.ceil(waiting / clientLimit);
      return [{ kind: 'limit-reached', limit: 'process_limit', value: processLimit, needed, waiting }];
    }
    const limit = serviceCount === 1 ? 'client_limit/service_count' : 'client_limit';
    return [{ kind: 'limit-reached', limit, value: clientLimit, needed: clientLimit + waiting, waiting }];
  }

  #limitText(): string {
    const { processLimit, clientLimit } = this.#limits;
    return `process_limit (${processLimit}) and client_limit (${clientLimit}) reached`;
  }

  #start(nowMs: number, key: string): { readonly process: PoolProcess; readonly decision: Decision } {
    const process = new PoolProcess(this.#numbers.nextProcessId(), key, this.#limits, nowMs);
    this.#processes.set(process.id, process);
    return { process, decision: { kind: 'start', process: process.id, key } };
  }

  /** Those that run as users of their own do not listen. */
  #accepts({ key }: PoolProcess): boolean {
    return key === this.#limits.defaultKey;
  }

  #longestIdle(accepts: (process: PoolProcess) => boolean): PoolProcess[] {
    return [...this.#processes.values()]
      .filter((process) => process.isIdle && accepts(process))
      .sort((a, b) => a.idleSinceMs - b.idleSinceMs || a.id - b.id);
  }

  #some(accepts: (process: PoolProcess) => boolean): boolean {
    for (const process of this.#processes.values()) if (accepts(process)) return true;
    return false;
  }

  #count(accepts: (process: PoolProcess) => boolean): number {
    return this.#sum((process) => (accepts(process) ? 1 : 0));
  }

  #sum(value: (process: PoolProcess) => number): number {
    let total = 0;
    for (const process of this.#processes.values()) total += value(process);
    return total;
  }
}

/** Processes that have nobody to push out, or do not say, come last. */
function pushOutRank(process: PoolProcess): number {
  return process.oldestPreAuthAtMs ?? Number.MAX_SAFE_INTEGER;
}

/** Lower is better: a process that already serves the user, then one that is ready, then the least loaded. */
function rank(process: PoolProcess, user: string): number {
  const affinity = process.serves(user) ? 0 : 2;
  const readiness = process.phase === 'ready' ? 0 : 1;
  return (affinity + readiness) * 1e9 + process.load;
}
