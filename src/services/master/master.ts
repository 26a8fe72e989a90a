// The master: opens the listeners, runs one pool for each service, and changes generations on reload.
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmdirSync } from 'node:fs';
import type { ListeningSockets } from '#ipc/listening-socket.js';
import type { MasterReply, MasterRequest } from '#ipc/master-client.js';
import type { LogFiles } from '#log/files.js';
import type { Logger } from '#log/logger.js';
import { IdleMemory } from '#service-kit/idle-memory.js';
import { ControlSocket } from './control-socket.js';
import { ListenerWatch } from './listener-watch.js';
import { BindError, Listeners } from './listeners.js';
import { MemoryWatch } from './memory-watch.js';
import { metricsOf, metricsText } from './metrics.js';
import { removePidFile, writePidFile } from './pid-file.js';
import type { ServerPlan } from './plan.js';
import { Pool, type PoolEnvironment, type PoolOwner } from './pool.js';
import { newCounters, type PoolCounters } from './pool-counters.js';
import { preparePrivateFolder, privateFolderOf } from './private-sockets.js';
import { Router } from './router.js';
import { processRows, serviceRows, templateRows } from './status-report.js';
import { TicketKeyRing } from './ticket-key-ring.js';

export type LoadedPlan =
  | { readonly kind: 'plan'; readonly plan: ServerPlan; readonly warnings: readonly string[] }
  /** Each with file and line where there is one. */
  | { readonly kind: 'broken'; readonly problems: readonly string[] };

export interface MasterOptions {
  readonly plan: ServerPlan;
  /** Reads the configuration again. */
  readonly load: () => Promise<LoadedPlan>;
  readonly rolesFolder: string;
  readonly sockets: ListeningSockets;
  readonly log: Logger;
  readonly logFiles: LogFiles;
  readonly isRoot: boolean;
  /** Told what the service manager wants to know. */
  readonly notify: (state: 'READY=1' | 'RELOADING=1' | 'STOPPING=1') => void;
}

/** Services that others report to until their end go last, in this order. */
const lastToStop: ReadonlySet<string> = new Set(['auth', 'anvil', 'stats']);
/** They have nothing to finish. */
const lateGraceMs = 500;
/** After the grace time, before SIGTERM: on a busy machine the process may not have had a turn since its time was up. */
const termDelayMs = 1_000;
/** After SIGTERM, before SIGKILL. A process that was to let its clients finish tells them goodbye at SIGTERM, and they have 2 s to hear it. */
const killDelayMs = 3_000;
/** A second request to stop counts as impatience from then on. */
const impatientMs = 1_000;

export class Master {
  readonly #options: MasterOptions;
  readonly #listeners: Listeners;
  readonly #watch: ListenerWatch;
  readonly #router: Router;
  readonly #environment: PoolEnvironment;
  readonly #memory: MemoryWatch;
  readonly #ticketKeys = new TicketKeyRing((keys) => {
    for (const pool of this.allPools) pool.replaceTicketKeys(keys);
  });
  readonly #owner: PoolOwner;
  #plan: ServerPlan;
  #generation = 1;
  #failedReloads = 0;
  readonly #startedAtMs = Date.now();
  #lastNumber = 0;
  #pools = new Map<string, Pool>();
  /** Of each service, over all generations. */
  readonly #counters = new Map<string, PoolCounters>();
  /** Pools of earlier generations whose processes still finish. */
  readonly #retired = new Set<Pool>();
  readonly #idleMemory = new IdleMemory();
  #control: ControlSocket | undefined;
  #stopping: Promise<void> | undefined;
  #stoppingSinceMs = 0;
  #reloading: Promise<MasterReply> = Promise.resolve({ ok: true });
  #onStopped: (() => void) | undefined;
  /** Resolves when the server is over. */
  readonly stopped: Promise<void>;

  constructor(options: MasterOptions) {
    this.#options = options;
    this.#plan = options.plan;
    this.#listeners = new Listeners(options.sockets);
    this.#watch = new ListenerWatch(options.sockets);
    this.#router = new Router(options.log, options.isRoot);
    const ticketKeys = this.#ticketKeys;
    this.#environment = {
      sockets: options.sockets,
      listeners: this.#listeners,
      watch: this.#watch,
      log: options.log,
      logFiles: options.logFiles,
      get tlsTicketKeys() {
        return ticketKeys.keys;
      },
      sessionSecret: randomBytes(32),
      rolesFolder: options.rolesFolder,
      nextProcessId: () => {
        this.#lastNumber += 1;
        return this.#lastNumber;
      },
      nextTicket: () => {
        this.#lastNumber += 1;
        return this.#lastNumber;
      },
      now: () => Date.now(),
    };
    this.#owner = {
      onMetrics: (asker, { id, format }) => asker.child.send({ kind: 'metrics', id, text: this.#metrics(format) }),
      onRoute: (_, asker, message) => this.#router.route(asker, message, this.#pools.get(message.service), this.#plan),
      onRouteFailed: (ticket) => this.#router.giveBack(ticket),
      onAnswer: (request, answer) => this.#router.answer(request, answer),
      onChildGone: (_, child) => this.#router.forget(child),
    };
    this.#memory = new MemoryWatch(options.log, () => this.allPools);
    this.stopped = new Promise((resolve) => {
      this.#onStopped = resolve;
    });
  }

  get plan(): ServerPlan {
    return this.#plan;
  }

  get allPools(): readonly Pool[] {
    return [...this.#pools.values(), ...this.#retired];
  }

  get listeners(): Listeners {
    return this.#listeners;
  }

  /** @throws BindError when an address cannot be opened; then nothing is left behind */
  async start(): Promise<void> {
    const { log } = this.#options;
    mkdirSync(this.#plan.baseDir, { recursive: true, mode: 0o755 });
    preparePrivateFolder(this.#plan.baseDir);
    try {
      this.#listeners.open(this.#plan.services.flatMap((service) => service.listeners));
    } catch (error) {
      this.#watch.close();
      removeFolder(privateFolderOf(this.#plan.baseDir));
      throw error;
    }
    writePidFile(this.#plan.baseDir);
    this.#control = await ControlSocket.open(this.#plan.baseDir, log, (request) => this.#answer(request));
    for (const service of this.#plan.services) this.#pools.set(service.name, this.#newPool(service.name));
    log.info('master.start', `Roost starting up for ${this.#plan.protocols.join(', ')}`, { generation: this.#generation });
    for (const text of this.#plan.explanations) log.info('master.explanation', text);
    for (const notice of this.#plan.notices) log.warning('master.notice', notice);
    for (const pool of this.#pools.values()) pool.open();
    this.#memory.start();
    this.#idleMemory.start();
    this.#ticketKeys.start(this.#plan.ticketKeyIntervalMs);
    this.#options.notify('READY=1');
  }

  /** One reload at a time; each gets its own answer. */
  async reload(): Promise<MasterReply> {
    const next = this.#reloading.then(() => this.#reloadOnce());
    this.#reloading = next.catch((): MasterReply => ({ ok: true }));
    return await next;
  }

  /** Ends everything. A second call after a while kills what is left at once. */
  stop(reason: string): Promise<void> {
    if (this.#stopping !== undefined) {
      // Ctrl-C reaches us from the terminal and again through the program that started us.
      if (Date.now() - this.#stoppingSinceMs >= impatientMs) for (const pool of this.allPools) pool.killChildren('SIGKILL', reason);
      return this.#stopping;
    }
    this.#stoppingSinceMs = Date.now();
    this.#stopping = this.#stopOnce(reason);
    return this.#stopping;
  }

  reopenLogs(): void {
    this.#options.logFiles.reopen();
    this.#options.log.info('master.logs', 'Log files opened anew');
  }

  async #reloadOnce(): Promise<MasterReply> {
    const { log, notify } = this.#options;
    if (this.#stopping !== undefined) return { ok: false, problems: ['the server is stopping'] };
    log.warning('master.reload', 'SIGHUP received - reloading configuration');
    notify('RELOADING=1');
    const loaded = await this.#options.load();
    const problems = loaded.kind === 'broken' ? loaded.problems : this.#tryOpen(loaded.plan);
    if (loaded.kind === 'broken' || problems.length > 0) {
      this.#failedReloads += 1;
      for (const problem of problems) log.error('master.reload-failed', `Config reload failed: ${problem}`);
      notify('READY=1');
      return { ok: false, problems };
    }
    this.#changeGeneration(loaded.plan);
    notify('READY=1');
    return { ok: true, warnings: loaded.warnings };
  }

  /** @returns what keeps the plan from being used */
  #tryOpen(plan: ServerPlan): readonly string[] {
    if (plan.baseDir !== this.#plan.baseDir) return [`base_dir cannot change while the server runs (it is ${this.#plan.baseDir})`];
    try {
      this.#listeners.open(plan.services.flatMap((service) => service.listeners));
      return [];
    } catch (error) {
      if (error instanceof BindError) return error.problems;
      throw error;
    }
  }

  #changeGeneration(plan: ServerPlan): void {
    const oldPools = this.#pools;
    const oldPlan = this.#plan;
    if (plan.ticketKeyIntervalMs !== oldPlan.ticketKeyIntervalMs) this.#ticketKeys.start(plan.ticketKeyIntervalMs);
    this.#plan = plan;
    this.#generation += 1;
    this.#pools = new Map();
    for (const service of plan.services) {
      const old = oldPools.get(service.name);
      // Same settings, same processes: sessions and half-finished logins that depend on it do not notice the reload.
      const isKept = old !== undefined && service.survivesReload && old.hasSettingsOf(service);
      this.#pools.set(service.name, isKept ? old : this.#newPool(service.name));
      if (!isKept) continue;
      oldPools.delete(service.name);
      old.tellReloaded();
    }
    for (const [name, pool] of oldPools) {
      const waiting = pool.retire();
      this.#retire(pool, plan.shutdownClients || oldPlan.shutdownClients ? 'end' : 'finish');
      this.#router.move(waiting, this.#pools.get(name));
    }
    this.#listeners.keepOnly(plan.services.flatMap((service) => service.listeners));
    for (const notice of plan.notices) this.#options.log.warning('master.notice', notice);
    for (const pool of this.#pools.values()) pool.open();
  }

  #retire(pool: Pool, clients: 'finish' | 'end'): void {
    this.#retired.add(pool);
    const end = (): void => {
      pool.stopChildren('end', 'reload');
      this.#enforceEnd([pool], this.#plan.stopGraceMs, 'reload');
    };
    // A retired auth or anvil has no clients but our own processes, which end by themselves. Who is about to log in may do so: the session
    // begins in a process of the new generation, and no connection is refused because of a reload.
    if (clients === 'end' && !pool.plan.isLogin && !lastToStop.has(pool.name)) end();
    else {
      pool.stopChildren('finish', 'reload');
      if (clients === 'end') setTimeout(end, this.#plan.stopGraceMs).unref();
    }
    void pool.whenEmpty().then(() => this.#retired.delete(pool));
  }

  async #stopOnce(reason: string): Promise<void> {
    const { log, notify } = this.#options;
    notify('STOPPING=1');
    log.warning('master.stop', reason);
    this.#memory.stop();
    this.#idleMemory.stop();
    this.#ticketKeys.stop();
    const pools = this.allPools;
    for (const pool of pools) this.#router.move(pool.retire(), undefined);
    this.#watch.close();
    this.#listeners.closeAll();
    const { stopGraceMs, shutdownClients } = this.#plan;
    const early = pools.filter(({ name }) => !lastToStop.has(name));
    for (const pool of early) pool.stopChildren(shutdownClients ? 'end' : 'finish', 'shutdown');
    await this.#untilEmpty(early, stopGraceMs);
    for (const name of lastToStop) {
      const late = pools.filter((pool) => pool.name === name);
      for (const pool of late) pool.stopChildren('end', 'shutdown');
      await this.#untilEmpty(late, Math.min(stopGraceMs, lateGraceMs));
    }
    removeFolder(privateFolderOf(this.#plan.baseDir));
    removePidFile(this.#plan.baseDir);
    // Last: whoever asked for the end is told by it.
    this.#control?.close();
    this.#onStopped?.();
  }

  async #untilEmpty(pools: readonly Pool[], graceMs: number): Promise<void> {
    const cancel = this.#enforceEnd(pools, graceMs, 'shutdown');
    await Promise.all(pools.map((pool) => pool.whenEmpty()));
    cancel();
  }

  /** SIGTERM after the grace time, SIGKILL soon after it. */
  #enforceEnd(pools: readonly Pool[], graceMs: number, reason: string): () => void {
    const signal = (name: NodeJS.Signals): void => {
      const left = pools.flatMap((pool) => pool.children);
      if (left.length === 0) return;
      const text = `Processes aren't dying after ${reason}, sent ${name} to ${left.length} processes.`;
      this.#options.log.warning('master.enforce', text, { services: [...new Set(pools.map((pool) => pool.name))] });
      for (const pool of pools) pool.killChildren(name, reason);
    };
    // Processes cut their clients off themselves at the end of the grace time; signals are for those that do not.
    const term = setTimeout(signal, graceMs + termDelayMs, 'SIGTERM').unref();
    const kill = setTimeout(signal, graceMs + termDelayMs + killDelayMs, 'SIGKILL').unref();
    return () => {
      clearTimeout(term);
      clearTimeout(kill);
    };
  }

  async #answer(request: MasterRequest): Promise<MasterReply> {
    switch (request.command) {
      case 'reload':
        return await this.reload();
      case 'stop':
        // Answered first: the connection's end tells that it is over.
        setImmediate(() => void this.stop('Stopped by the control socket'));
        return { ok: true };
      case 'reopen-logs':
        this.reopenLogs();
        return { ok: true };
      case 'service-status':
        return { ok: true, services: serviceRows([...this.#pools.values()], this.allPools, Date.now()) };
      case 'metrics':
        return { ok: true, metrics: this.#metrics('text') };
      case 'process-status':
        return {
          ok: true,
          processes: processRows(this.allPools, request.services),
          templates: templateRows(this.allPools, request.services),
        };
      case 'service-stop':
        return this.#stopServices(request.services);
      default:
        return request satisfies never;
    }
  }

  #metrics(format: 'text' | 'openmetrics'): string {
    const facts = { startedAtMs: this.#startedAtMs, reloads: this.#generation - 1, failedReloads: this.#failedReloads };
    return metricsText(facts, metricsOf([...this.#pools.values()], this.allPools, Date.now()), format);
  }

  #stopServices(names: readonly string[]): MasterReply {
    const unknown = names.filter((name) => !this.#pools.has(name));
    if (unknown.length > 0) return { ok: false, problems: unknown.map((name) => `unknown service ${name}`) };
    for (const name of names) this.#pools.get(name)?.stopChildren('end', 'stopped by the administrator');
    return { ok: true };
  }

  #newPool(name: string): Pool {
    const service = this.#plan.services.find((candidate) => candidate.name === name);
    if (service === undefined) throw new Error(`no service ${name}`);
    const counters = this.#counters.get(name) ?? newCounters();
    this.#counters.set(name, counters);
    return new Pool(service, this.#plan, this.#generation, this.#environment, this.#owner, counters);
  }
}

function removeFolder(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // Not empty or not there: something else lives in it, or nothing does.
  }
}
