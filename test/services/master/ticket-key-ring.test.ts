import assert from 'node:assert/strict';
import { describe, it, mock } from 'node:test';
import { TicketKeyRing } from '#services/master/ticket-key-ring.js';

const split = (keys: string): string[] => {
  const octets = Buffer.from(keys, 'base64');
  return Array.from({ length: octets.length / 48 }, (_, index) => octets.toString('hex', index * 48, (index + 1) * 48));
};

describe('TLS ticket keys', () => {
  it('begin as one and are told with the previous one at each change', () => {
    const told: string[] = [];
    const ring = new TicketKeyRing((keys) => told.push(keys));
    const [first] = split(ring.keys);
    ring.rotate();
    const [second, before] = split(ring.keys);
    assert.equal(before, first);
    assert.notEqual(second, first);
    ring.rotate();
    assert.equal(split(ring.keys).length, 2);
    assert.equal(split(ring.keys)[1], second);
    assert.deepEqual(told.at(-1), ring.keys);
  });

  it('change after each interval, until the end', () => {
    mock.timers.enable({ apis: ['setInterval'] });
    try {
      let changes = 0;
      const ring = new TicketKeyRing(() => {
        changes += 1;
      });
      ring.start(3_600_000);
      mock.timers.tick(3_599_999);
      assert.equal(changes, 0);
      mock.timers.tick(1);
      assert.equal(changes, 1);
      mock.timers.tick(7_200_000);
      assert.equal(changes, 3);
      ring.stop();
      mock.timers.tick(7_200_000);
      assert.equal(changes, 3);
    } finally {
      mock.timers.reset();
    }
  });

  for (const interval of [0, Number.POSITIVE_INFINITY]) {
    it(`stay when the interval is ${interval}`, () => {
      const ring = new TicketKeyRing(() => assert.fail('changed'));
      ring.start(interval);
      assert.equal(split(ring.keys).length, 1);
    });
  }
});
