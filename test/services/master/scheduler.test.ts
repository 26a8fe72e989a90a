import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type Decision,
  leaseArrivalMs,
  leaseMs,
  leastFreeToLease,
  type PoolLimits,
  type ProcessStatus,
} from '#services/master/schedule/decisions.js';
import { Scheduler } from '#services/master/schedule/scheduler.js';

const limits: PoolLimits = {
  processLimit: 4,
  clientLimit: 2,
  serviceCount: 0,
  processMinAvail: 0,
  idleKillMs: 60_000,
  isLogin: false,
  defaultKey: '',
};

/** A scheduler with a clock that the test moves. */
class World {
  now = 1_000_000;
  readonly scheduler: Scheduler;
  #last = 0;
  #request = 0;

  constructor(change: Partial<PoolLimits> = {}) {
    const next = (): number => {
      this.#last += 1;
      return this.#last;
    };
    this.scheduler = new Scheduler({ ...limits, ...change }, this.now, { nextProcessId: next, nextTicket: next });
  }

  after(ms: number): Decision[] {
    this.now += ms;
    return this.scheduler.tick(this.now);
  }

  route(user = 'anna', key = '', takesLease?: boolean): { readonly request: number; readonly decisions: Decision[] } {
    this.#request += 1;
    const route = { request: this.#request, user, key, ...(takesLease === undefined ? {} : { takesLease }) };
    return { request: this.#request, decisions: this.scheduler.route(this.now, route) };
  }

  /** The process that the user is sent to, which must be there. */
  sent(user: string, takesLease?: boolean): Extract<Decision, { kind: 'answer' }> {
    const [answer] = of('answer', this.route(user, '', takesLease).decisions);
    assert.ok(answer);
    return answer;
  }

  status(process: number, change: Partial<ProcessStatus> = {}): Decision[] {
    return this.scheduler.status(this.now, process, { ...quiet, ...change });
  }

  /** Starts one process by demand and reports it ready. */
  ready(): number {
    const [start] = of('start', this.scheduler.demand(this.now, 1));
    assert.ok(start);
    this.status(start.process);
    return start.process;
  }
}

const quiet: ProcessStatus = {
  clients: 0,
  served: 0,
  isDraining: false,
  arrived: [],
  left: [],
  isIdleRefused: false,
  oldestPreAuthAtMs: undefined,
};

function of<Kind extends Decision['kind']>(kind: Kind, decisions: readonly Decision[]): Extract<Decision, { kind: Kind }>[] {
  return decisions.filter((decision): decision is Extract<Decision, { kind: Kind }> => decision.kind === kind);
}

describe('A service with process_min_avail', () => {
  it('starts that many processes at once, ten at a time', () => {
    const world = new World({ processLimit: 20, processMinAvail: 15 });
    const first = of('start', world.after(0));
    assert.equal(first.length, 10);
    for (const { process } of first.slice(0, 9)) world.status(process);
    const [last] = first.slice(9);
    assert.ok(last);
    world.status(last.process);
    assert.equal(world.scheduler.processCount, 15);
  });

  it('starts another when one takes its last client', () => {
    const world = new World({ processMinAvail: 1 });
    const [start] = of('start', world.after(0));
    assert.ok(start);
    world.status(start.process);
    assert.deepEqual(of('start', world.status(start.process, { clients: 1, served: 1 })), []);
    assert.equal(of('start', world.status(start.process, { clients: 2, served: 2 })).length, 1);
  });

  it('replaces one of several 50 ms after it took its last client, when that client is served', () => {
    const world = new World({ processMinAvail: 3, clientLimit: 1, processLimit: 20 });
    const first = of('start', world.after(0));
    assert.equal(first.length, 3);
    for (const { process } of first) world.status(process);
    const [busy, other, last] = first;
    assert.ok(busy && other && last);
    const taken = { clients: 1, served: 1 };
    assert.deepEqual(of('start', world.status(busy.process, taken)), []);
    assert.equal(world.scheduler.nextTickMs(world.now), world.now + 50);
    assert.deepEqual(of('start', world.after(49)), []);
    assert.deepEqual(of('start', world.status(other.process, taken)), [], 'the pause does not begin anew');
    assert.equal(of('start', world.after(1)).length, 2);
    assert.deepEqual(of('start', world.after(1_000)), []);
  });

  it('replaces all at once when the last one of several takes its last client', () => {
    const world = new World({ processMinAvail: 2, clientLimit: 1, processLimit: 20 });
    const first = of('start', world.after(0));
    for (const { process } of first) world.status(process);
    const started = first.flatMap(({ process }) => of('start', world.status(process, { clients: 1, served: 1 })));
    assert.equal(started.length, 2);
  });

  it('does not exceed process_limit for it', () => {
    const world = new World({ processLimit: 1, processMinAvail: 1 });
    const [start] = of('start', world.after(0));
    assert.ok(start);
    world.status(start.process);
    assert.deepEqual(of('start', world.status(start.process, { clients: 2, served: 2 })), []);
  });

  it('replaces a process that was killed', () => {
    const world = new World({ processMinAvail: 1 });
    const [start] = of('start', world.after(0));
    assert.ok(start);
    world.status(start.process);
    assert.equal(of('start', world.scheduler.exited(world.now, start.process, 'failed')).length, 1);
  });
});

describe('Connections on a listener', () => {
  it('are watched only while no process has room', () => {
    const world = new World();
    assert.ok(world.scheduler.wantsListening(world.now));
    const process = world.ready();
    assert.ok(!world.scheduler.wantsListening(world.now));
    world.status(process, { clients: 2, served: 2 });
    world.after(20);
    assert.ok(world.scheduler.wantsListening(world.now));
    world.status(process, { clients: 1, served: 2 });
    assert.ok(!world.scheduler.wantsListening(world.now));
  });

  it('start as many processes as are needed for those that wait', () => {
    const world = new World();
    assert.equal(of('start', world.scheduler.demand(world.now, 5)).length, 3);
    world.after(20);
    assert.equal(of('start', world.scheduler.demand(world.now, 5)).length, 0);
    world.after(20);
    assert.equal(of('start', world.scheduler.demand(world.now, 7)).length, 1);
  });

  it('wait up to 10 s at the limit, then are refused, and at once from then on', () => {
    const world = new World({ processLimit: 1 });
    const process = world.ready();
    world.status(process, { clients: 2, served: 2 });
    world.after(20);
    const first = world.scheduler.demand(world.now, 3);
    assert.deepEqual(of('limit-reached', first), [{ kind: 'limit-reached', limit: 'client_limit', value: 2, needed: 5, waiting: 3 }]);
    assert.deepEqual(of('drop-pending', first), []);
    assert.ok(!world.scheduler.wantsListening(world.now));
    assert.equal(world.scheduler.nextTickMs(world.now), world.now + 10_000);
    world.after(10_000);
    assert.ok(world.scheduler.wantsListening(world.now));
    assert.equal(of('drop-pending', world.scheduler.demand(world.now, 3)).length, 1);
    world.after(100);
    assert.equal(of('drop-pending', world.scheduler.demand(world.now, 1)).length, 1);
  });

  it('wait again when a slot was free meanwhile', () => {
    const world = new World({ processLimit: 1 });
    const process = world.ready();
    world.status(process, { clients: 2, served: 2 });
    world.after(20);
    world.scheduler.demand(world.now, 1);
    world.after(10_000);
    world.scheduler.demand(world.now, 1);
    world.status(process, { clients: 1, served: 2 });
    world.status(process, { clients: 2, served: 3 });
    world.after(20);
    assert.deepEqual(of('drop-pending', world.scheduler.demand(world.now, 1)), []);
  });

  it('push out the oldest client that has not logged in, of a login service', () => {
    const world = new World({ isLogin: true, processLimit: 2 });
    const older = world.ready();
    world.status(older, { clients: 2, served: 2, oldestPreAuthAtMs: 50 });
    world.after(20);
    const younger = world.ready();
    world.status(younger, { clients: 2, served: 2, oldestPreAuthAtMs: 10 });
    world.after(20);
    assert.deepEqual(of('push-out', world.scheduler.demand(world.now, 1)), [{ kind: 'push-out', process: younger }]);
    world.after(200);
    assert.deepEqual(
      of('push-out', world.scheduler.demand(world.now, 5)).map(({ process }) => process),
      [younger, older],
    );
  });

  it('push out one client for one that waits, however long its process takes to end', () => {
    const world = new World({ isLogin: true, processLimit: 2, clientLimit: 1, serviceCount: 1 });
    const older = world.ready();
    world.status(older, { clients: 1, served: 1, oldestPreAuthAtMs: 10 });
    world.after(20);
    const younger = world.ready();
    world.status(younger, { clients: 1, served: 1, oldestPreAuthAtMs: 50 });
    world.after(20);
    assert.deepEqual(of('push-out', world.scheduler.demand(world.now, 1)), [{ kind: 'push-out', process: older }]);
    world.after(1_000);
    assert.deepEqual(of('push-out', world.scheduler.demand(world.now, 1)), []);
    world.after(200);
    assert.deepEqual(of('push-out', world.scheduler.demand(world.now, 2)), [{ kind: 'push-out', process: younger }]);
    world.after(5_000);
    assert.deepEqual(of('push-out', world.scheduler.demand(world.now, 1)), [{ kind: 'push-out', process: older }]);
  });

  it('name process_limit and the value that would do, at most once a second', () => {
    const world = new World({ processLimit: 2 });
    const first = world.ready();
    world.status(first, { clients: 2, served: 2 });
    world.after(20);
    const second = world.ready();
    world.status(second, { clients: 2, served: 2 });
    world.after(20);
    const [limit] = of('limit-reached', world.scheduler.demand(world.now, 5));
    assert.deepEqual(limit, { kind: 'limit-reached', limit: 'process_limit', value: 2, needed: 5, waiting: 5 });
  });
});

describe('A logged-in user', () => {
  it('waits for the process that is started for it, and gets it', () => {
    const world = new World();
    const { request, decisions } = world.route();
    const [start] = of('start', decisions);
    assert.ok(start);
    assert.deepEqual(of('answer', decisions), []);
    const [answer] = of('answer', world.status(start.process));
    assert.equal(answer?.request, request);
    assert.equal(answer?.process, start.process);
  });

  it('goes to the process that already serves it, even if another has fewer clients', () => {
    const world = new World({ clientLimit: 3 });
    const [start] = of('start', world.route('anna').decisions);
    assert.ok(start);
    const [first] = of('answer', world.status(start.process));
    assert.ok(first);
    world.status(start.process, { clients: 1, served: 1, arrived: [first.ticket] });
    world.status(start.process, { clients: 3, served: 3 });
    const [other] = of('start', world.route('bob').decisions);
    assert.ok(other);
    world.status(other.process);
    world.status(start.process, { clients: 2, served: 3 });
    const [again] = of('answer', world.route('anna').decisions);
    assert.equal(again?.process, start.process);
  });

  it('goes to the least loaded process otherwise', () => {
    const world = new World({ clientLimit: 3, processMinAvail: 2 });
    const [busy, idle] = of('start', world.after(0));
    assert.ok(busy && idle);
    world.status(busy.process, { clients: 1, served: 1 });
    world.status(idle.process);
    assert.equal(of('answer', world.route().decisions)[0]?.process, idle.process);
  });

  it('finds its slot reserved: two cannot take the last one', () => {
    const world = new World({ processLimit: 1, clientLimit: 1 });
    const process = world.ready();
    assert.equal(of('answer', world.route('anna').decisions).length, 1);
    const second = world.route('bob');
    assert.deepEqual(of('answer', second.decisions), []);
    // A status that was sent before the hand-off does not free it.
    assert.deepEqual(of('answer', world.status(process)), []);
  });

  it('gets the slot of a connection that never arrived after 30 s', () => {
    const world = new World({ processLimit: 1, clientLimit: 1 });
    world.ready();
    world.route('anna');
    world.after(25_000);
    const { request } = world.route('bob');
    const [answer] = of('answer', world.after(5_000));
    assert.equal(answer?.request, request);
  });

  it('gets the slot of a hand-off that failed at once', () => {
    const world = new World({ processLimit: 1, clientLimit: 1 });
    const process = world.ready();
    const [first] = of('answer', world.route('anna').decisions);
    assert.ok(first);
    const { request } = world.route('bob');
    const [answer] = of('answer', world.scheduler.routeFailed(world.now, process, first.ticket));
    assert.equal(answer?.request, request);
  });

  it('waits 10 s for a slot, then is told which limits were reached', () => {
    const world = new World({ processLimit: 1, clientLimit: 1 });
    const process = world.ready();
    world.status(process, { clients: 1, served: 1 });
    const { request, decisions } = world.route();
    assert.equal(of('limit-reached', decisions).length, 1);
    assert.deepEqual(of('refuse', world.after(9_999)), []);
    assert.deepEqual(of('refuse', world.after(1)), [
      { kind: 'refuse', request, outcome: 'full', reason: 'process_limit (1) and client_limit (1) reached' },
    ]);
  });

  it('is served when a slot frees within 10 s, first come first', () => {
    const world = new World({ processLimit: 1, clientLimit: 1 });
    const process = world.ready();
    world.status(process, { clients: 1, served: 1 });
    const { request } = world.route('anna');
    world.route('bob');
    assert.equal(of('answer', world.status(process, { clients: 0, served: 1 }))[0]?.request, request);
  });

  it('gets a new process when the one promised to it dies at its start', () => {
    const world = new World();
    const { request, decisions } = world.route();
    const [start] = of('start', decisions);
    assert.ok(start);
    assert.deepEqual(of('throttle', world.scheduler.exited(world.now, start.process, 'failed')), [{ kind: 'throttle', ms: 2_000 }]);
    const [second] = of('start', world.after(2_000));
    assert.ok(second);
    assert.equal(of('answer', world.status(second.process))[0]?.request, request);
  });

  it('waits for a slow start no longer than 40 s, and begins no second one then', () => {
    const world = new World();
    world.route();
    world.now += 9_000;
    const { request } = world.route('bob');
    const decisions = world.after(21_000);
    assert.equal(of('kill', decisions).length, 1);
    assert.deepEqual(of('start', decisions), []);
    assert.equal(of('refuse', decisions).find((refusal) => refusal.request === request)?.outcome, 'failed');
  });

  it('has its slot for as long as the connection is on its way, however slow the start was', () => {
    const world = new World({ clientLimit: 1, processLimit: 1 });
    const [start] = of('start', world.route().decisions);
    assert.ok(start);
    world.now += 29_000;
    assert.equal(of('answer', world.status(start.process)).length, 1);
    const { request, decisions } = world.route('bob');
    assert.deepEqual(of('answer', decisions), []);
    assert.deepEqual(of('answer', world.after(2_000)), [], `request ${request} took a promised slot`);
  });

  it('is not served by a process of another identity; an idle one of those makes room at the limit', () => {
    const world = new World({ processLimit: 1 });
    const [start] = of('start', world.route('anna', '1000:1000').decisions);
    assert.ok(start);
    const [answer] = of('answer', world.status(start.process));
    assert.ok(answer);
    world.status(start.process, { clients: 0, served: 1, arrived: [answer.ticket], left: [answer.ticket] });
    const { request, decisions } = world.route('bob', '1001:1001');
    assert.deepEqual(decisions, [
      { kind: 'idle-exit', process: start.process },
      { kind: 'limit-reached', limit: 'client_limit', value: 2, needed: 3, waiting: 1 },
    ]);
    const [second] = of('start', world.scheduler.exited(world.now, start.process, 'ok'));
    assert.equal(second?.key, '1001:1001');
    assert.equal(of('answer', world.status(second?.process ?? 0))[0]?.request, request);
  });

  it('that gave up is not answered', () => {
    const world = new World();
    const { request, decisions } = world.route();
    const [start] = of('start', decisions);
    world.scheduler.cancelRoute(world.now, request);
    assert.deepEqual(of('answer', world.status(start?.process ?? 0)), []);
    assert.equal(world.scheduler.freeSlots, 2);
  });
});

describe('Processes that run as users of their own', () => {
  it('take no connections from listeners: another one is started for them', () => {
    const world = new World({ processLimit: 3, clientLimit: 2 });
    const [own] = of('start', world.scheduler.route(world.now, { request: 1, user: 'carol', key: '1001:1001' }));
    world.status(own?.process ?? 0);
    assert.equal(world.scheduler.wantsListening(world.now), true);
    const [start] = of('start', world.scheduler.demand(world.now, 1));
    assert.equal(start?.key, '');
    world.status(start?.process ?? 0);
    assert.equal(world.scheduler.wantsListening(world.now), false);
  });

  it('make room for one at process_limit when they are idle', () => {
    const world = new World({ processLimit: 1, clientLimit: 2 });
    const [own] = of('start', world.scheduler.route(world.now, { request: 1, user: 'carol', key: '1001:1001' }));
    world.status(own?.process ?? 0);
    world.scheduler.cancelRoute(world.now, 1);
    world.after(30_000);
    const idle = world.scheduler.processes[0];
    assert.equal(idle?.load, 0);
    assert.deepEqual(of('idle-exit', world.scheduler.demand(world.now, 1)), [{ kind: 'idle-exit', process: own?.process }]);
    assert.deepEqual(of('push-out', world.scheduler.demand(world.now + 20, 1)), []);
    world.scheduler.exited(world.now + 30, own?.process ?? 0, 'ok');
    assert.equal(of('start', world.scheduler.demand(world.now + 40, 1)).length, 1);
  });
});

describe('service_count', () => {
  it('leaves a process that reached it out of process_limit when client_limit is above 1', () => {
    const world = new World({ processLimit: 1, serviceCount: 2 });
    const process = world.ready();
    world.status(process, { clients: 2, served: 2, isDraining: true });
    world.after(20);
    assert.equal(of('start', world.scheduler.demand(world.now, 1)).length, 1);
  });

  it('keeps it in process_limit when client_limit is 1', () => {
    const world = new World({ processLimit: 1, clientLimit: 1, serviceCount: 1 });
    const process = world.ready();
    world.status(process, { clients: 1, served: 1, isDraining: true });
    world.after(20);
    const decisions = world.scheduler.demand(world.now, 1);
    assert.deepEqual(of('start', decisions), []);
    assert.equal(of('limit-reached', decisions)[0]?.limit, 'client_limit/service_count');
  });

  it('bounds the reservations of a process that has room otherwise', () => {
    const world = new World({ processLimit: 1, clientLimit: 5, serviceCount: 5 });
    const process = world.ready();
    world.status(process, { clients: 0, served: 4 });
    assert.equal(of('answer', world.route('anna').decisions).length, 1);
    assert.equal(of('answer', world.route('bob').decisions).length, 0);
  });
});

describe('Idle processes', () => {
  it('go by the low-water mark of the interval, longest idle first, down to process_min_avail', () => {
    const world = new World({ processMinAvail: 1, clientLimit: 1, processLimit: 10 });
    for (const { process } of of('start', world.after(0))) world.status(process);
    for (const { process } of of('start', world.scheduler.demand(world.now, 1))) world.status(process);
    const ids = world.scheduler.processes.map(({ id }) => id);
    // Two are busy for a moment, so two prestarted ones join.
    for (const id of ids) for (const decision of of('start', world.status(id, { clients: 1, served: 1 }))) world.status(decision.process);
    for (const id of ids) world.status(id, { clients: 0, served: 1 });
    const idle = world.scheduler.processes.length;
    assert.deepEqual(of('idle-exit', world.after(60_000)), [], 'the mark was 0 or 1 in the first interval');
    assert.equal(of('idle-exit', world.after(60_000)).length, idle - 1);
  });

  it('that took a client before they heard of it stay', () => {
    const world = new World();
    const process = world.ready();
    world.after(60_000);
    assert.deepEqual(of('idle-exit', world.after(60_000)), [{ kind: 'idle-exit', process }]);
    assert.equal(world.scheduler.freeSlots, 0);
    world.status(process, { clients: 1, served: 1, isIdleRefused: true });
    assert.equal(world.scheduler.freeSlots, 1);
  });
});

describe('Throttling', () => {
  it('doubles from 2 s to 60 s while starts fail, and starts nothing meanwhile', () => {
    const world = new World({ processMinAvail: 1 });
    const waits: number[] = [];
    let decisions = world.after(0);
    for (let round = 0; round < 7; round += 1) {
      const [start] = of('start', decisions);
      assert.ok(start);
      const [throttle] = of('throttle', world.scheduler.exited(world.now, start.process, 'failed'));
      assert.ok(throttle);
      waits.push(throttle.ms);
      assert.deepEqual(of('start', world.after(throttle.ms - 1)), []);
      assert.ok(!world.scheduler.wantsListening(world.now));
      decisions = world.after(1);
    }
    assert.deepEqual(waits, [2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
  });

  it('starts again at 2 s after a good exit', () => {
    const world = new World({ processMinAvail: 1 });
    const [first] = of('start', world.after(0));
    world.scheduler.exited(world.now, first?.process ?? 0, 'failed');
    const [second] = of('start', world.after(2_000));
    world.status(second?.process ?? 0);
    const [third] = of('start', world.scheduler.exited(world.now, second?.process ?? 0, 'ok'));
    assert.deepEqual(of('throttle', world.scheduler.exited(world.now, third?.process ?? 0, 'failed')), [{ kind: 'throttle', ms: 2_000 }]);
  });

  it('starts again at 2 s after a start that succeeded, however the process ended', () => {
    const world = new World({ processMinAvail: 1 });
    let decisions = world.after(0);
    const waits: number[] = [];
    for (const starts of [false, false, true, false]) {
      const [start] = of('start', decisions);
      assert.ok(start);
      if (starts) world.status(start.process);
      decisions = world.scheduler.exited(world.now, start.process, 'failed');
      const [throttle] = of('throttle', decisions);
      if (throttle === undefined) continue;
      waits.push(throttle.ms);
      decisions = world.after(throttle.ms);
    }
    assert.deepEqual(waits, [2_000, 4_000, 2_000]);
  });

  it('goes on doubling for processes that start and then crash', () => {
    const world = new World({ processMinAvail: 1 });
    let decisions = world.after(0);
    const waits: number[] = [];
    while (waits.length < 3) {
      const [start] = of('start', decisions);
      assert.ok(start);
      world.status(start.process);
      decisions = world.scheduler.exited(world.now, start.process, 'failed');
      const [throttle] = of('throttle', decisions);
      if (throttle === undefined) continue;
      waits.push(throttle.ms);
      decisions = world.after(throttle.ms);
    }
    assert.deepEqual(waits, [2_000, 4_000, 8_000]);
  });

  it('is not caused by a single crash of a process that worked, but by more than ten within a second', () => {
    const world = new World({ processMinAvail: 1 });
    let throttled = 0;
    let decisions = world.after(0);
    for (let crash = 1; crash <= 11; crash += 1) {
      const [start] = of('start', decisions);
      assert.ok(start, `crash ${crash}`);
      world.status(start.process);
      decisions = world.scheduler.exited(world.now, start.process, 'failed');
      throttled += of('throttle', decisions).length;
      assert.equal(throttled, crash === 11 ? 1 : 0);
    }
  });
});

describe('A process without a first status', () => {
  it('is killed after 30 s', () => {
    const world = new World();
    const [start] = of('start', world.route().decisions);
    assert.ok(start);
    const decisions = world.after(30_000);
    assert.deepEqual(of('kill', decisions), [{ kind: 'kill', process: start.process, afterMs: 30_000 }]);
  });
});

describe('A retired scheduler', () => {
  it('gives its waiting routes away and starts nothing', () => {
    const world = new World({ processMinAvail: 1, processLimit: 1, clientLimit: 1 });
    const [start] = of('start', world.after(0));
    world.status(start?.process ?? 0, { clients: 1, served: 1 });
    const { request } = world.route('anna', '');
    assert.deepEqual(world.scheduler.retire(), [{ request, user: 'anna', key: '' }]);
    assert.deepEqual(world.scheduler.exited(world.now, start?.process ?? 0, 'ok'), []);
    assert.ok(!world.scheduler.wantsListening(world.now));
  });
});

describe('A route that holds for others of the same user', () => {
  /** Two processes with room, of which the second one has a client more. */
  function world(change: Partial<PoolLimits> = {}): { readonly world: World; readonly first: number; readonly second: number } {
    const made = new World({ clientLimit: 100, processMinAvail: 2, ...change });
    const [first, second] = of('start', made.after(0));
    assert.ok(first !== undefined && second !== undefined);
    made.status(first.process);
    made.status(second.process, { clients: 1, served: 1 });
    return { world: made, first: first.process, second: second.process };
  }

  it('is given to who can use it, by a process with room', () => {
    const { world: made, first } = world();
    const answer = made.sent('anna', true);
    assert.deepEqual([answer.process, answer.leaseMs], [first, leaseMs]);
    assert.equal(made.sent('anna').leaseMs, undefined);
  });

  for (const [what, change] of [
    ['with little room', { clientLimit: leastFreeToLease }],
    ['with a service_count', { serviceCount: 1_000 }],
  ] as const)
    it(`is not given by a process ${what}`, () => assert.equal(world(change).world.sent('anna', true).leaseMs, undefined));

  it('reserves one place, whoever takes it', () => {
    const { world: made, first } = world();
    const { ticket } = made.sent('anna', true);
    const load = (): number | undefined => made.scheduler.processes.find(({ id }) => id === first)?.load;
    assert.equal(load(), 1);
    made.status(first, { clients: 3, served: 3, arrived: [ticket, ticket, ticket] });
    assert.equal(load(), 3);
    made.status(first, { clients: 0, served: 3, left: [ticket, ticket, ticket] });
    assert.equal(load(), 0);
  });

  it('keeps the user there until others cannot come any more', () => {
    const { world: made, first, second } = world();
    const { ticket } = made.sent('anna', true);
    made.status(first, { clients: 1, served: 1, arrived: [ticket] });
    made.status(first, { clients: 9, served: 9, left: [ticket] });
    made.after(leaseMs + leaseArrivalMs - 1);
    assert.equal(made.sent('anna').process, first);
    const other = world();
    const { ticket: used } = other.world.sent('anna', true);
    other.world.status(other.first, { clients: 1, served: 1, arrived: [used] });
    other.world.status(other.first, { clients: 9, served: 9, left: [used] });
    other.world.after(leaseMs + leaseArrivalMs);
    assert.equal(other.world.sent('anna').process, second);
  });

  it('keeps the user there as long as one of the sessions lasts', () => {
    const { world: made, first, second } = world();
    const { ticket } = made.sent('anna', true);
    made.status(first, { clients: 9, served: 9, arrived: [ticket, ticket] });
    made.status(first, { clients: 8, served: 9, left: [ticket] });
    made.after(60_000);
    const next = made.sent('anna');
    assert.equal(next.process, first);
    made.status(first, { clients: 8, served: 10, arrived: [next.ticket], left: [ticket, next.ticket] });
    assert.equal(made.sent('anna').process, second);
  });

  it('ends where the hand-off failed, without the sessions that have arrived', () => {
    const { world: made, first, second } = world();
    const { ticket } = made.sent('anna', true);
    made.status(first, { clients: 9, served: 9, arrived: [ticket] });
    made.scheduler.routeFailed(made.now, first, ticket);
    assert.equal(made.sent('anna').process, first);
    const other = world();
    const unused = other.world.sent('anna', true).ticket;
    other.world.scheduler.routeFailed(other.world.now, other.first, unused);
    other.world.status(other.first, { clients: 9, served: 9 });
    assert.equal(other.world.sent('anna').process, second);
    assert.notEqual(first, second);
  });
});
