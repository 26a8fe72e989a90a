import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { describe, it } from 'node:test';
import { FreePorts } from './free-port.js';

describe('ports for the servers of tests', () => {
  it('are given once, also when two test files look in the same place before a server listens', () => {
    const start = process.pid * 7;
    const [one, other] = [new FreePorts(start), new FreePorts(start)];
    const given = Array.from({ length: 50 }, (_, index) => (index % 3 === 0 ? other : one).take());
    assert.equal(new Set(given).size, 50);
  });

  it('are not those that somebody listens on', async () => {
    const start = process.pid * 11;
    const taken = new FreePorts(start).take();
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(taken, '127.0.0.1', resolve));
    const next = new FreePorts(taken - 10_000).take();
    assert.notEqual(next, taken);
    await new Promise((resolve) => server.close(resolve));
  });
});
