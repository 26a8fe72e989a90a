// One service of one generation: does what its scheduler decides, and tells it what happened.
import type { ChildMessage, StartMessage } from '#ipc/control.js';
import { type Counts, countNames } from '#ipc/counts.js';
import type { ListeningSockets } from '#ipc/listening-socket.js';
import type { LogFiles } from '#log/files.js';
import type { Logger } from '#log/logger.js';
import type { Child, ChildEnd } from './child.js';
import { exitText } from './exit-text.js';
import { identityOf } from './identity-key.js';
import type { ListenerWatch, Watcher } from './listener-watch.js';
import type { Listeners } from './listeners.js';
import type { ServerPlan, ServicePlan, SettingsNeeds } from './plan.js';
import { newCounters, type PoolCounters } from './pool-counters.js';
import { closeOwnCopies, type OpenPrivateSockets, openPrivateSockets, removePrivateSockets } from './private-sockets.js';
import { ProcessStarter } from './process-starter.js';
import { refusePending } from './refusal.js';
import type { Decision, RouteRequest } from './schedule/decisions.js';
import { type Numbers, Scheduler } from './schedule/scheduler.js';
import { makeStartMessage, type ProcessFacts } from './start-message.js';
import type { Template } from './template.js';

/** What all pools share. */
export interface PoolEnvironment extends Numbers {
  readonly sockets: ListeningSockets;
  readonly listeners: Listeners;
  readonly watch: ListenerWatch;
  readonly log: Logger;
  readonly logFiles: LogFiles;
  /** TLS sessions can be resumed in any process, and after a reload (TicketKeyRing). */
  readonly tlsTicketKeys: string;
  /** What the keys that sessions are sealed with are made of; known to nobody else. */
  readonly sessionSecret: Buffer;
  /** Folder of the role bundles. */
  readonly rolesFolder: string;
  readonly now: () => number;
}

export type RouteAnswer =
  | {
      readonly kind: 'process';
      readonly process: number;
      readonly pid: number;
      readonly path: string;
      readonly descriptorPath: string;
      readonly ticket: number;
      readonly leaseMs: number | undefined;
    }
  | { readonly kind: 'refused'; readonly outcome: 'full' | 'failed'; readonly reason: string };

export interface PoolOwner {
  /** A process of the stats role asks for the figures. */
  onMetrics(process: PoolChild, message: Extract<ChildMessage, { kind: 'metrics' }>): void;
  onRoute(pool: Pool, process: PoolChild, message: Extract<ChildMessage, { kind: 'route' }>): void;
  /** The hand-off for a ticket that a pool gave out failed. */
  onRouteFailed(ticket: number): void;
  onAnswer(request: number, answer: RouteAnswer): void;
  /** A child has gone; its open requests are void. */
  onChildGone(pool: Pool, process: PoolChild): void;
}

export interface PoolChild {
  readonly id: number;
  readonly key: string;
  readonly child: Child;
  readonly privateSockets: OpenPrivateSockets | undefined;
  readonly startedAtMs: number;
  /** As it said last; undefined: not busy. */
  load: 'wait' | 'refuse' | undefined;
  /** Clients so far, as it said last. */
  served: number;
  /** Why its end will be no surprise. */
  expectedEnd: string | undefined;
  /** Undefined once it was sent. */
  startMessage: ((needs: SettingsNeeds) => StartMessage) | undefined;
}

/** The clocks differ by less, and so much later a tick may come. */
const timerSlackMs = 2;

export class Pool {
  readonly plan: ServicePlan;
  readonly generation: number;
  readonly counters: PoolCounters;
  readonly #server: ServerPlan;
  readonly #environment: PoolEnvironment;
  readonly #owner: PoolOwner;
  readonly #scheduler: Scheduler;
  readonly #children = new Map<number, PoolChild>();
  readonly #watcher: Watcher;
  readonly #starter: ProcessStarter;
  /** When clients were last refused, ms since the epoch. */
  lastDropAtMs: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** When the timer fires, on the clock that nobody sets; Infinity when there is none. */
  #wakesAtMs = Number.POSITIVE_INFINITY;
  #isRetired = false;
  #hasStarted = false;
  /** What the role declares; known once one of its processes was there. */
  #needs: SettingsNeeds | undefined;
  #onEmpty: (() => void)[] = [];

  constructor(
    plan: ServicePlan,
    server: ServerPlan,
    generation: number,
    environment: PoolEnvironment,
    owner: PoolOwner,
    counters = newCounters(),
  ) {
    this.counters = counters;
    this.plan = plan;
    this.generation = generation;
    this.#server = server;
    this.#environment = environment;
    this.#owner = owner;
    this.#scheduler = new Scheduler(plan.limits, environment.now(), environment);
    this.#watcher = {
      fds: plan.listeners.map((listener) => environment.listeners.fdOf(listener)),
      onPending: (pending) => this.#apply(this.#scheduler.demand(environment.now(), pending)),
    };
    this.#starter = new ProcessStarter(plan, server, environment, identityOf(plan.limits.defaultKey) ?? plan.identity);
  }

  get name(): string {
    return this.plan.name;
  }

  get children(): readonly PoolChild[] {
    return [...this.#children.values()];
  }

  /** Processes of which others are copies; they serve nobody. */
  get templates(): readonly Template[] {
    return this.#starter.templates;
  }

  get scheduler(): Scheduler {
    return this.#scheduler;
  }

  get isRetired(): boolean {
    return this.#isRetired;
  }

  /** Starts what process_min_avail asks for, and answers the listeners. */
  open(): void {
    this.#apply(this.#scheduler.tick(this.#environment.now()));
  }

  route(route: RouteRequest): void {
    const waiting = this.#scheduler.waitingCount;
    this.#apply(this.#scheduler.route(this.#environment.now(), route));
    if (this.#scheduler.waitingCount > waiting) this.counters.waited += 1;
  }

  cancelRoute(request: number): void {
    this.#apply(this.#scheduler.cancelRoute(this.#environment.now(), request));
  }

  routeFailed(process: number, ticket: number): void {
    this.#apply(this.#scheduler.routeFailed(this.#environment.now(), process, ticket));
  }

  /** Starts nothing any more and leaves the listeners. @returns the routes that were still waiting */
  retire(): RouteRequest[] {
    this.#isRetired = true;
    const waiting = this.#scheduler.retire();
    this.#environment.watch.unwatch(this.#watcher);
    this.#starter.retire();
    clearTimeout(this.#timer);
    return waiting;
  }

  /** Does the plan give the processes what they have? They may be kept at a reload then. */
  hasSettingsOf(plan: ServicePlan): boolean {
    const needs = this.#needs;
    if (JSON.stringify(plan) !== JSON.stringify(this.plan)) return false;
    return needs === undefined || JSON.stringify(plan.settingsFor(needs, true)) === JSON.stringify(this.plan.settingsFor(needs, true));
  }

  /** The processes stay over a reload. */
  tellReloaded(): void {
    for (const { child } of this.#children.values()) child.send({ kind: 'reloaded' });
  }

  /** Tells every process to take no more clients, and to end those it has (`end`) or not (`finish`). */
  stopChildren(clients: 'finish' | 'end', reason: string): void {
    // A copy: those that are started in place of the stopped ones are not meant, and would go on for ever.
    for (const process of [...this.#children.values()]) this.stopChild(process, clients, reason);
  }

  stopChild(process: PoolChild, clients: 'finish' | 'end', reason: string): void {
    process.expectedEnd = reason;
    process.child.send({ kind: 'stop', clients, reason });
    this.#apply(this.#scheduler.drain(this.#environment.now(), process.id));
  }

  killChildren(signal: NodeJS.Signals, reason: string): void {
    for (const process of this.#children.values()) {
      process.expectedEnd ??= reason;
      process.child.kill(signal);
    }
  }

  /** To those that have been started; the others get them then. */
  replaceTicketKeys(tlsTicketKeys: string): void {
    for (const process of this.#children.values()) {
      if (process.startMessage === undefined) process.child.send({ kind: 'ticket-keys', tlsTicketKeys });
    }
  }

  /** Resolves when no process is left. */
  async whenEmpty(): Promise<void> {
    if (this.#children.size === 0) return;
    await new Promise<void>((resolve) => this.#onEmpty.push(resolve));
  }

  #apply(decisions: readonly Decision[]): void {
    for (const decision of decisions) this.#do(decision);
    if (this.#isRetired) return;
    const now = this.#environment.now();
    if (this.#watcher.fds.length > 0) {
      if (this.#scheduler.wantsListening(now)) this.#environment.watch.watch(this.#watcher);
      else this.#environment.watch.unwatch(this.#watcher);
    }
    this.#wakeIn(this.#scheduler.nextTickMs(now) - now);
  }

  /** An early tick does no harm, and a timer that is moved for each login costs as much as the decision. */
  #wakeIn(delayMs: number): void {
    // setTimeout takes 31 bits.
    const waitMs = Math.min(delayMs + 1, 2 ** 30);
    const atMs = performance.now() + waitMs;
    if (delayMs === Number.POSITIVE_INFINITY || atMs + timerSlackMs >= this.#wakesAtMs) return;
    clearTimeout(this.#timer);
    this.#wakesAtMs = atMs;
    this.#timer = setTimeout(() => this.#wake(), waitMs).unref();
  }

  #wake(): void {
    this.#wakesAtMs = Number.POSITIVE_INFINITY;
    this.open();
  }

  #do(decision: Decision): void {
    switch (decision.kind) {
      case 'start':
        this.#start(decision.process, decision.key);
        return;
      case 'idle-exit': {
        const process = this.#children.get(decision.process);
        if (process !== undefined) process.expectedEnd = 'idle';
        process?.child.send({ kind: 'idle-exit' });
        return;
      }
      case 'kill':
        this.#killSilent(decision.process, decision.afterMs);
        return;
      case 'answer':
        this.#answer(decision);
        return;
      case 'refuse':
        this.#countRefused(1);
        this.#owner.onAnswer(decision.request, { kind: 'refused', outcome: decision.outcome, reason: decision.reason });
        return;
      case 'push-out':
        this.counters.pushedOut += 1;
        this.#children.get(decision.process)?.child.send({ kind: 'queue-full' });
        return;
      case 'drop-pending':
        this.#dropPending();
        return;
      case 'limit-reached':
        this.#logLimit(decision);
        return;
      case 'throttle':
        this.counters.throttled += 1;
        this.#environment.log.error(
          'service.throttle',
          `service(${this.name}): command startup failed, throttling for ${(decision.ms / 1000).toFixed(3)} secs`,
          { service: this.name, throttleMs: decision.ms },
        );
        return;
      default:
        decision satisfies never;
    }
  }

  #start(id: number, key: string): void {
    const { sockets, log } = this.#environment;
    const { plan } = this;
    let privateSockets: OpenPrivateSockets | undefined;
    try {
      if (plan.takesHandoffs) {
        const access = { owner: identityOf(key) ?? plan.identity, login: plan.senders ?? this.#server.loginIdentity };
        privateSockets = openPrivateSockets(sockets, this.#server.baseDir, `${plan.name}.${id}`, access);
      }
    } catch (error) {
      log.error('service.start', `service(${plan.name}): ${error instanceof Error ? error.message : String(error)}`, { error });
      setImmediate(() => this.#apply(this.#scheduler.exited(this.#environment.now(), id, 'failed')));
      return;
    }
    const ownFds = privateSockets === undefined ? [] : [privateSockets.fd, privateSockets.descriptorFd];
    const identity = identityOf(key) ?? plan.identity;
    this.counters.started += 1;
    const checksTls = plan.limits.clientLimit > 1 || !this.#hasStarted;
    this.#hasStarted = true;
    const isUsual = key === plan.limits.defaultKey;
    const { child, becomes } = this.#starter.start(identity, isUsual, ownFds, {
      onMessage: (message) => this.#onMessage(id, message),
      onGarbage: (error) => this.#onGarbage(id, error),
      onEnd: (end) => this.#onEnd(id, end),
    });
    if (privateSockets !== undefined) closeOwnCopies(privateSockets);
    const startedAtMs = this.#environment.now();
    const facts: ProcessFacts = {
      plan,
      server: this.#server,
      listeners: isUsual ? plan.listeners : [],
      generation: this.generation,
      sessionSecret: this.#environment.sessionSecret,
      tlsTicketKeys: this.#environment.tlsTicketKeys,
      privateSockets,
      identity,
      user: identityOf(key),
      isUsual: key === plan.limits.defaultKey,
      becomes,
      checksTls,
    };
    const startMessage = (needs: SettingsNeeds): StartMessage => makeStartMessage(facts, needs);
    this.#children.set(id, {
      id,
      key,
      child,
      privateSockets,
      startedAtMs,
      expectedEnd: undefined,
      load: undefined,
      served: 0,
      startMessage,
    });
  }

  #onMessage(id: number, message: ChildMessage): void {
    const process = this.#children.get(id);
    if (process === undefined) return;
    switch (message.kind) {
      case 'needs':
        // Once: later the process may be in the hands of a client.
        if (process.startMessage !== undefined) process.child.send(process.startMessage(message));
        this.#needs ??= message;
        process.startMessage = undefined;
        return;
      case 'status':
        if (message.isIdleRefused === true) process.expectedEnd = undefined;
        this.#countRefused(message.refused ?? 0);
        process.load = message.load;
        this.#count(message.counts ?? {});
        this.#countServed(process, message.served);
        this.#apply(
          this.#scheduler.status(this.#environment.now(), id, {
            ...message,
            isIdleRefused: message.isIdleRefused === true,
            oldestPreAuthAtMs: message.oldestPreAuthAtMs,
          }),
        );
        return;
      case 'metrics':
        if (this.plan.role === 'stats') this.#owner.onMetrics(process, message);
        return;
      case 'route':
        this.#owner.onRoute(this, process, message);
        return;
      case 'route-failed':
        this.#owner.onRouteFailed(message.ticket);
        return;
      default:
        message satisfies never;
    }
  }

  #count(counts: Counts): void {
    for (const name of countNames) this.counters.counts[name] += counts[name] ?? 0;
  }

  #countServed(process: PoolChild, served: number): void {
    this.counters.served += Math.max(0, served - process.served);
    process.served = served;
  }

  #onGarbage(id: number, error: unknown): void {
    const process = this.#children.get(id);
    if (process === undefined) return;
    const text = `service(${this.name}): child ${process.child.pid} sent an invalid message, killing it`;
    this.#environment.log.error('process.garbage', text, { error, service: this.name });
    process.child.kill('SIGKILL');
  }

  #onEnd(id: number, end: ChildEnd): void {
    const process = this.#children.get(id);
    if (process === undefined) return;
    this.#children.delete(id);
    if (process.privateSockets !== undefined) removePrivateSockets(process.privateSockets);
    this.#logEnd(process, end);
    this.#owner.onChildGone(this, process);
    const isGood = end.code === 0 && end.signal === undefined;
    const outcome = isGood ? 'ok' : process.expectedEnd === undefined && end.isUnknown === undefined ? 'failed' : 'ended';
    if (outcome === 'failed') this.counters.failed += 1;
    this.#apply(this.#scheduler.exited(this.#environment.now(), id, outcome));
    if (this.#children.size > 0) return;
    for (const resolve of this.#onEmpty.splice(0)) resolve();
  }

  #logEnd(process: PoolChild, end: ChildEnd): void {
    const { log } = this.#environment;
    const facts = { service: this.name, childPid: process.child.pid, exitCode: end.code, signal: end.signal };
    const text = exitText(this.name, process.child.pid, end, this.plan.vszLimitBytes);
    if (text === undefined) log.debug('process.exit', `service(${this.name}): child ${process.child.pid} exited`, facts);
    else if (process.expectedEnd === undefined) log.error('process.exit', text, facts);
    else log.warning('process.exit', `${text} - ${process.expectedEnd}`, facts);
  }

  #killSilent(id: number, afterMs: number): void {
    const process = this.#children.get(id);
    if (process === undefined) return;
    this.counters.killed += 1;
    const text = `service(${this.name}): Initial status notification not received in ${Math.round(afterMs / 1000)} seconds, killing the process`;
    this.#environment.log.error('process.silent', text, { service: this.name, childPid: process.child.pid });
    process.child.kill('SIGKILL');
  }

  #answer({ request, process: id, ticket, leaseMs }: Extract<Decision, { kind: 'answer' }>): void {
    const process = this.#children.get(id);
    const sockets = process?.privateSockets;
    if (process === undefined || sockets === undefined) {
      this.#owner.onAnswer(request, { kind: 'refused', outcome: 'failed', reason: `service ${this.name} takes no connections` });
      return;
    }
    const { path, descriptorPath } = sockets;
    this.#owner.onAnswer(request, { kind: 'process', process: id, pid: process.child.pid, path, descriptorPath, ticket, leaseMs });
  }

  #dropPending(): void {
    const { sockets, listeners } = this.#environment;
    const open = this.plan.listeners.map((plan) => ({ plan, fd: listeners.fdOf(plan) }));
    this.#countRefused(refusePending(sockets, open, this.plan.refusal));
  }

  #countRefused(count: number): void {
    this.counters.refused += count;
    if (count > 0) this.lastDropAtMs = this.#environment.now();
  }

  #logLimit({ limit, value, needed, waiting }: Extract<Decision, { kind: 'limit-reached' }>): void {
    this.counters.limitReached += 1;
    const setting = limit === 'process_limit' ? 'process_limit' : 'client_limit';
    this.#environment.log.warning(
      'service.limit',
      `service(${this.name}): ${limit} (${value}) reached, client connections are being dropped` +
        ` (${waiting} waiting; service ${this.name} { ${setting} = ${needed} } would have taken them)`,
      { service: this.name, limit, value, needed, waiting },
    );
  }
}
