import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type ClientSlot, Clients } from '#service-kit/clients.js';
import type { ClientHandle } from '#service-kit/role.js';

const silent = { onChange: (): undefined => undefined, onEmpty: (): undefined => undefined };

class TestHandle implements ClientHandle {
  readonly startedAtMs: number;
  isPreAuth: boolean;
  readonly stops: string[] = [];
  constructor(startedAtMs: number, isPreAuth = true) {
    this.startedAtMs = startedAtMs;
    this.isPreAuth = isPreAuth;
  }
  stop(reason: string): void {
    this.stops.push(reason);
  }
}

describe('client slots', () => {
  it('are never more than client_limit at once and service_count in all', () => {
    const limits = fc.record({ clientLimit: fc.integer({ min: 1, max: 6 }), serviceCount: fc.nat(12) });
    fc.assert(
      fc.property(limits, fc.array(fc.oneof(fc.constant('take' as const), fc.nat(8)), { maxLength: 80 }), (limit, steps) => {
        let urgent = 0;
        const clients = new Clients(limit, {
          onChange: (isUrgent) => {
            if (isUrgent) urgent += 1;
          },
          onEmpty: () => undefined,
        });
        const open: ClientSlot[] = [];
        let taken = 0;
        let crossings = 0;
        for (const step of steps) {
          const hadRoom = clients.hasRoom;
          if (step === 'take') {
            const slot = clients.take();
            assert.equal(slot !== undefined, hadRoom);
            if (slot !== undefined) {
              open.push(slot);
              taken += 1;
            }
          } else {
            const [slot] = open.splice(step, 1);
            slot?.release();
            slot?.release();
            if (slot !== undefined && !hadRoom && !clients.hasRoom) crossings += 1;
          }
          if (hadRoom !== clients.hasRoom) crossings += 1;
          assert.equal(clients.count, open.length);
          assert.equal(clients.served, taken);
          assert.ok(clients.count <= limit.clientLimit);
          if (limit.serviceCount > 0) assert.ok(clients.served <= limit.serviceCount);
          assert.equal(clients.isDraining, limit.serviceCount > 0 && clients.served >= limit.serviceCount);
        }
        // Each loss and each return of room is told at once.
        assert.equal(urgent, crossings);
      }),
    );
  });

  it('report the tickets of hand-offs once', () => {
    const clients = new Clients({ clientLimit: 5, serviceCount: 0 }, silent);
    const first = clients.take(7);
    clients.take(8);
    clients.take();
    first?.release();
    assert.deepEqual(clients.takeTickets(), { arrived: [7, 8], left: [7] });
    assert.deepEqual(clients.takeTickets(), { arrived: [], left: [] });
  });

  it('push out the oldest that has not logged in, and only such', () => {
    const clients = new Clients({ clientLimit: 5, serviceCount: 0 }, silent);
    const handles = [new TestHandle(1, false), new TestHandle(2), new TestHandle(3)];
    for (const handle of handles) clients.take()?.attach(handle);
    assert.equal(clients.oldestPreAuthAtMs, 2);
    assert.equal(clients.pushOutOldest(), true);
    assert.deepEqual(
      handles.map(({ stops }) => stops),
      [[], ['queue-full'], []],
    );
    for (const handle of handles) handle.isPreAuth = false;
    assert.equal(clients.pushOutOldest(), false);
  });

  it('tell a client that arrived during the stop to go as well', () => {
    const clients = new Clients({ clientLimit: 5, serviceCount: 0 }, silent);
    const slot = clients.take();
    clients.stop('end');
    const late = new TestHandle(1);
    slot?.attach(late);
    assert.deepEqual(late.stops, ['shutdown']);
    assert.equal(clients.take(), undefined);
  });

  it('say when the last one has gone', () => {
    let empty = 0;
    const clients = new Clients({ clientLimit: 5, serviceCount: 0 }, { ...silent, onEmpty: () => (empty += 1) });
    const slots = [clients.take(), clients.take()];
    slots[0]?.release();
    assert.equal(empty, 0);
    slots[1]?.release();
    assert.equal(empty, 1);
  });
});
