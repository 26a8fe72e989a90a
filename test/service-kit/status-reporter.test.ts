import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it, mock } from 'node:test';
import type { StatusMessage } from '#ipc/control.js';
import { Clients } from '#service-kit/clients.js';
import { StatusReporter } from '#service-kit/status-reporter.js';

describe('status of a process', () => {
  let sent: StatusMessage[];
  let clients: Clients;
  let reporter: StatusReporter;
  beforeEach(() => {
    mock.timers.enable({ apis: ['setTimeout'] });
    sent = [];
    clients = new Clients(
      { clientLimit: 3, serviceCount: 0 },
      { onChange: (isUrgent) => reporter.changed(isUrgent), onEmpty: () => undefined },
    );
    reporter = new StatusReporter(clients, (status) => sent.push(status));
  });
  afterEach(() => mock.timers.reset());

  const told = (): number[] => sent.map((status) => status.clients);

  it('is told when the process is ready, and not before', () => {
    clients.take();
    mock.timers.tick(1_000);
    assert.deepEqual(told(), []);
    reporter.start();
    assert.deepEqual(told(), [1]);
  });

  it('follows changes together: 20 ms after the first, and not twice in 100 ms', (context) => {
    let nowMs = 5_000;
    context.mock.method(performance, 'now', () => nowMs);
    const pass = (ms: number): void => {
      nowMs += ms;
      mock.timers.tick(ms);
    };
    reporter.start();
    pass(500);
    clients.take(7);
    pass(19);
    assert.deepEqual(told(), [0]);
    pass(1);
    assert.deepEqual(told(), [0, 1]);
    clients.take(8)?.release();
    pass(99);
    assert.deepEqual(told(), [0, 1]);
    pass(1);
    assert.deepEqual(told(), [0, 1, 1]);
    assert.deepEqual([sent[2]?.arrived, sent[2]?.left], [[8], [8]]);
    pass(10_000);
    assert.equal(sent.length, 3);
  });

  it('is told at once when the last free slot is taken and when the first one is freed', () => {
    reporter.start();
    clients.take();
    clients.take();
    const last = clients.take();
    assert.deepEqual(told(), [0, 3]);
    last?.release();
    assert.deepEqual(told(), [0, 3, 2]);
    mock.timers.tick(1_000);
    assert.equal(sent.length, 3);
  });
});
