// The scheduler against simulated processes that keep the control channel's rules, under random events.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { longestRouteMs } from '#ipc/control.js';
import type { Decision, PoolLimits } from '#services/master/schedule/decisions.js';
import { Scheduler } from '#services/master/schedule/scheduler.js';

interface Simulated {
  readonly id: number;
  readonly key: string;
  isReady: boolean;
  served: number;
  /** Clients that came through a listener. */
  accepted: number;
  /** Tickets of clients that are there. */
  readonly sessions: number[];
  arrived: number[];
  left: number[];
}

type Step =
  | { readonly kind: 'route'; readonly user: number; readonly key: number }
  | { readonly kind: 'connect'; readonly count: number }
  | { readonly kind: 'becomeReady' | 'arrive' | 'arriveNot' | 'again' | 'leave' | 'kill' | 'crash'; readonly pick: number }
  | { readonly kind: 'time'; readonly ms: number };

const pick = fc.nat(1_000);
const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('route' as const), user: fc.nat(4), key: fc.nat(1) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('connect' as const), count: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('becomeReady' as const), pick }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('arrive' as const), pick }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('arriveNot' as const), pick }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('again' as const), pick }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('leave' as const), pick }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('kill' as const, 'crash' as const), pick }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('time' as const), ms: fc.constantFrom(5, 20, 200, 2_000, 12_000, 61_000) }) },
);

const limitsArbitrary: fc.Arbitrary<PoolLimits> = fc
  .record({
    processLimit: fc.integer({ min: 1, max: 5 }),
    clientLimit: fc.integer({ min: 1, max: 4 }),
    serviceCount: fc.integer({ min: 0, max: 5 }),
    minAvail: fc.integer({ min: 0, max: 5 }),
    isLogin: fc.boolean(),
  })
  .map(({ processLimit, clientLimit, serviceCount, minAvail, isLogin }) => ({
    processLimit,
    clientLimit: serviceCount > 0 ? Math.min(clientLimit, serviceCount) : clientLimit,
    serviceCount,
    processMinAvail: Math.min(minAvail, processLimit),
    idleKillMs: 60_000,
    isLogin,
    defaultKey: 'k0',
  }));

class Simulation {
  now = 0;
  readonly limits: PoolLimits;
  readonly scheduler: Scheduler;
  readonly processes = new Map<number, Simulated>();
  /** Answers on their way: the login process has them, the mail process does not know yet. */
  readonly flying: { readonly process: number; readonly ticket: number; readonly sinceMs: number }[] = [];
  readonly openRoutes = new Map<number, number>();
  /** Answers that hold for others of the same user, as login processes keep them. */
  readonly leases: { readonly process: number; readonly ticket: number; readonly user: string; readonly untilMs: number }[] = [];
  /** Of all tickets. */
  readonly users = new Map<number, string>();
  readonly #askedBy = new Map<number, string>();
  backlog = 0;
  readonly #queue: Decision[] = [];
  #isApplying = false;
  #last = 0;

  constructor(limits: PoolLimits) {
    this.limits = limits;
    const next = (): number => {
      this.#last += 1;
      return this.#last;
    };
    this.scheduler = new Scheduler(limits, 0, { nextProcessId: next, nextTicket: next });
    this.apply(this.scheduler.tick(0));
  }

  step(step: Step): void {
    switch (step.kind) {
      case 'route': {
        this.#last += 1;
        this.openRoutes.set(this.#last, this.now);
        this.#askedBy.set(this.#last, `u${step.user} k${step.key}`);
        this.apply(this.scheduler.route(this.now, { request: this.#last, user: `u${step.user}`, key: `k${step.key}`, takesLease: true }));
        return;
      }
      case 'connect':
        this.backlog += step.count;
        this.acceptAll();
        return;
      case 'becomeReady': {
        const process = this.#pick(step.pick, ({ isReady }) => !isReady);
        if (process === undefined) return;
        process.isReady = true;
        this.report(process);
        this.acceptAll();
        return;
      }
      case 'arrive':
        this.#arrive(step.pick);
        return;
      case 'arriveNot': {
        const flight = this.flying.splice(step.pick % Math.max(1, this.flying.length), 1)[0];
        if (flight !== undefined) this.apply(this.scheduler.routeFailed(this.now, flight.process, flight.ticket));
        return;
      }
      case 'again': {
        const lease = this.leases.filter(({ untilMs }) => untilMs > this.now)[step.pick % Math.max(1, this.leases.length)];
        if (lease !== undefined) this.#take(lease);
        return;
      }
      case 'leave': {
        const process = this.#pick(step.pick, (candidate) => clientsOf(candidate) > 0);
        if (process === undefined) return;
        const session = process.sessions.shift();
        if (session === undefined) process.accepted -= 1;
        else process.left.push(session);
        this.report(process);
        this.exitIfSpent(process);
        this.acceptAll();
        return;
      }
      case 'kill':
      case 'crash': {
        const process = this.#pick(step.pick, () => true);
        if (process === undefined) return;
        this.remove(process.id);
        this.apply(this.scheduler.exited(this.now, process.id, step.kind === 'crash' ? 'failed' : 'ended'));
        return;
      }
      case 'time':
        this.passTime(step.ms);
    }
  }

  passTime(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const next = Math.min(end, this.scheduler.nextTickMs(this.now));
      this.now = next;
      this.apply(this.scheduler.tick(next));
      this.acceptAll();
      if (next >= end) return;
    }
  }

  /** Everything that is on its way comes to rest: starts succeed, hand-offs arrive. */
  settle(): void {
    for (let round = 0; round < 100; round += 1) {
      for (const process of [...this.processes.values()]) {
        if (process.isReady) continue;
        process.isReady = true;
        this.report(process);
      }
      while (this.flying.length > 0) this.#arrive(0);
      this.passTime(1_000);
      if (this.flying.length === 0 && [...this.processes.values()].every(({ isReady }) => isReady)) return;
    }
  }

  /** Decisions that follow from carrying out others come after them, as in a server. */
  apply(decisions: readonly Decision[]): void {
    this.#queue.push(...decisions);
    if (this.#isApplying) return;
    this.#isApplying = true;
    for (let decision = this.#queue.shift(); decision !== undefined; decision = this.#queue.shift()) this.#do(decision);
    this.#isApplying = false;
    this.check();
  }

  /** Processes take what waits on the listener; when none can, the scheduler is told. */
  acceptAll(): void {
    for (const process of this.processes.values()) {
      while (this.backlog > 0 && process.isReady && process.key === this.limits.defaultKey && this.#canTake(process)) {
        this.backlog -= 1;
        process.accepted += 1;
        process.served += 1;
        this.report(process);
        this.exitIfSpent(process);
      }
    }
    if (this.backlog > 0 && this.scheduler.wantsListening(this.now)) this.apply(this.scheduler.demand(this.now, this.backlog));
  }

  report(process: Simulated): void {
    const { arrived, left } = process;
    process.arrived = [];
    process.left = [];
    const { serviceCount } = this.limits;
    this.apply(
      this.scheduler.status(this.now, process.id, {
        clients: clientsOf(process),
        served: process.served,
        isDraining: serviceCount > 0 && process.served >= serviceCount,
        arrived,
        left,
        isIdleRefused: false,
        oldestPreAuthAtMs: undefined,
      }),
    );
  }

  exitIfSpent(process: Simulated): void {
    const { serviceCount } = this.limits;
    if (serviceCount === 0 || process.served < serviceCount || clientsOf(process) > 0) return;
    assert.equal(process.served, serviceCount, 'a process serves exactly service_count clients');
    this.remove(process.id);
    this.apply(this.scheduler.exited(this.now, process.id, 'ok'));
  }

  remove(id: number): void {
    this.processes.delete(id);
    for (let at = this.flying.length - 1; at >= 0; at -= 1) if (this.flying[at]?.process === id) this.flying.splice(at, 1);
  }

  check(): void {
    const { processLimit, clientLimit, serviceCount } = this.limits;
    let counted = 0;
    for (const process of this.processes.values()) {
      assert.ok(clientsOf(process) <= clientLimit, `process ${process.id} has ${clientsOf(process)} clients`);
      if (serviceCount > 0) assert.ok(process.served <= serviceCount, `process ${process.id} served ${process.served}`);
      const isSpent = serviceCount > 0 && process.served >= serviceCount;
      if (!(isSpent && clientLimit > 1)) counted += 1;
    }
    assert.ok(counted <= processLimit, `${counted} processes`);
    for (const sinceMs of this.openRoutes.values())
      assert.ok(this.now - sinceMs <= longestRouteMs, `a route has waited for ${this.now - sinceMs} ms`);
    // A process that was started and one that the scheduler counts are the same thing.
    assert.ok(this.scheduler.processes.every(({ id }) => this.processes.has(id)));
  }

  #canTake(process: Simulated): boolean {
    const { clientLimit, serviceCount } = this.limits;
    return clientsOf(process) < clientLimit && (serviceCount === 0 || process.served < serviceCount);
  }

  #arrive(at: number): void {
    const flight = this.flying.splice(at % Math.max(1, this.flying.length), 1)[0];
    const process = flight === undefined ? undefined : this.processes.get(flight.process);
    // Login processes give a hand-off up long before its reservation ends.
    if (flight === undefined || process === undefined || this.now - flight.sinceMs >= 30_000) return;
    const isTaken = this.#take(flight);
    assert.ok(isTaken || this.usesListener, 'a reserved slot was taken');
  }

  /** @returns false when the process is full, and refuses it */
  #take({ process: id, ticket }: { readonly process: number; readonly ticket: number }): boolean {
    const process = this.processes.get(id);
    if (process === undefined || !this.#canTake(process)) return false;
    process.sessions.push(ticket);
    process.arrived.push(ticket);
    process.served += 1;
    this.report(process);
    this.exitIfSpent(process);
    return true;
  }

  /** Connections that processes accept themselves may take a slot between a route's answer and its arrival. */
  usesListener = false;

  #do(decision: Decision): void {
    switch (decision.kind) {
      case 'start': {
        const fresh = { isReady: false, served: 0, accepted: 0, sessions: [], arrived: [], left: [] };
        this.processes.set(decision.process, { id: decision.process, key: decision.key, ...fresh });
        return;
      }
      case 'idle-exit': {
        const process = this.processes.get(decision.process);
        assert.ok(process);
        if (clientsOf(process) > 0) return;
        this.remove(process.id);
        this.apply(this.scheduler.exited(this.now, process.id, 'ok'));
        return;
      }
      case 'kill':
        this.remove(decision.process);
        this.apply(this.scheduler.exited(this.now, decision.process, 'failed'));
        return;
      case 'answer':
        assert.ok(this.processes.get(decision.process)?.isReady, 'answers name processes that are ready');
        assert.ok(this.openRoutes.delete(decision.request), 'each route is answered once');
        this.flying.push({ process: decision.process, ticket: decision.ticket, sinceMs: this.now });
        this.#sent(decision);
        return;
      case 'refuse': {
        const since = this.openRoutes.get(decision.request);
        assert.ok(since !== undefined && this.now - since >= 10_000, 'nobody is refused before 10 s');
        this.openRoutes.delete(decision.request);
        return;
      }
      case 'drop-pending':
        this.backlog = 0;
        return;
      default:
        return;
    }
  }

  /** Whoever has sessions, or can come without asking, goes where these are, as long as there is room and it has not changed. */
  #sent({ request, process, ticket, leaseMs }: Extract<Decision, { kind: 'answer' }>): void {
    const user = this.#askedBy.get(request) ?? '';
    this.users.set(ticket, user);
    const holders = this.leases.filter((lease) => lease.user === user && lease.untilMs > this.now).map((lease) => lease.process);
    const hasRoom = this.scheduler.processes.some(({ id, free }) => holders.includes(id) && free > 0);
    if (this.checksAffinity && hasRoom) assert.ok(holders.includes(process), `${user} has a lease elsewhere`);
    if (leaseMs === undefined) return;
    assert.equal(this.limits.serviceCount, 0);
    this.leases.push({ process, ticket, user, untilMs: this.now + leaseMs });
  }

  /** Answers were given while nothing else was happening. */
  checksAffinity = false;

  #pick(at: number, accepts: (process: Simulated) => boolean): Simulated | undefined {
    const candidates = [...this.processes.values()].filter(accepts);
    return candidates[at % Math.max(1, candidates.length)];
  }
}

function clientsOf({ accepted, sessions }: Simulated): number {
  return accepted + sessions.length;
}

function run(limits: PoolLimits, steps: readonly Step[]): Simulation {
  const simulation = new Simulation(limits);
  simulation.usesListener = steps.some(({ kind }) => kind === 'connect');
  for (const step of steps) simulation.step(step);
  return simulation;
}

/** Room enough for leases, which are no reservations. */
const wideLimits = limitsArbitrary.map((limits) => ({ ...limits, clientLimit: limits.clientLimit + 18, serviceCount: 0 }));

const runs = { numRuns: 300 };
const steps = fc.array(stepArbitrary, { maxLength: 80 });
const routedSteps = steps.map((all) => all.filter(({ kind }) => kind !== 'connect'));

describe('The scheduler, whatever happens', () => {
  it('keeps client_limit, process_limit and service_count when processes accept by themselves and are routed to', () => {
    fc.assert(
      fc.property(limitsArbitrary, steps, (limits, events) => void run(limits, events)),
      runs,
    );
  });

  it('never gives away a reserved slot, and answers or refuses every route', () => {
    fc.assert(
      fc.property(limitsArbitrary, routedSteps, (limits, events) => {
        const simulation = run(limits, events);
        simulation.settle();
        simulation.passTime(75_000);
        simulation.settle();
        assert.equal(simulation.openRoutes.size, 0);
      }),
      runs,
    );
  });

  it('keeps client_limit and process_limit, and sends users to where they are, while answers are used again', () => {
    fc.assert(
      fc.property(wideLimits, routedSteps, (limits, events) => {
        const simulation = new Simulation(limits);
        simulation.usesListener = true;
        simulation.checksAffinity = true;
        for (const step of events) if (step.kind !== 'arriveNot') simulation.step(step);
        simulation.settle();
        for (const process of simulation.processes.values()) {
          if (!process.isReady) continue;
          process.left.push(...process.sessions.splice(0));
          simulation.report(process);
        }
        simulation.passTime(75_000);
        assert.ok(simulation.scheduler.processes.every(({ load }) => load === 0));
        assert.ok(simulation.scheduler.processes.every((process) => ['u0', 'u1', 'u2', 'u3', 'u4'].every((user) => !process.serves(user))));
      }),
      runs,
    );
  });

  it('restores process_min_avail when starts succeed', () => {
    fc.assert(
      fc.property(limitsArbitrary, steps, (limits, events) => {
        const simulation = run(limits, events);
        simulation.backlog = 0;
        simulation.passTime(75_000);
        simulation.settle();
        const available = simulation.scheduler.processes.filter(({ free, key }) => free > 0 && key === limits.defaultKey).length;
        const possible = limits.processLimit - simulation.scheduler.processCount;
        assert.ok(available >= limits.processMinAvail || possible === 0, `${available} of ${limits.processMinAvail} available`);
      }),
      runs,
    );
  });

  it('takes every connection while there is room for it', () => {
    fc.assert(
      fc.property(limitsArbitrary, steps, (limits, events) => {
        const simulation = run(limits, events);
        simulation.passTime(75_000);
        simulation.settle();
        if (simulation.backlog === 0) return;
        // Those with another key do not listen, but make room when they are idle.
        for (const { key, free, load } of simulation.scheduler.processes) assert.ok(free === 0 || (key !== limits.defaultKey && load > 0));
        assert.ok(simulation.scheduler.processCount >= limits.processLimit);
      }),
      runs,
    );
  });
});
