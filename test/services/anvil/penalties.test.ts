import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Penalties } from '#services/anvil/penalties.js';

describe('anvil penalties', () => {
  it('are kept per address with the time they were set', () => {
    const penalties = new Penalties();
    penalties.set('192.0.2.1', 17, 2, 1000);
    assert.deepEqual(penalties.get('192.0.2.1', 1005), { value: 2, lastSeconds: 1000 });
    assert.deepEqual(penalties.get('192.0.2.2', 1005), { value: 0, lastSeconds: 0 });
  });

  it('do not rise for a client that repeats one of its last ten tries', () => {
    const penalties = new Penalties();
    for (let checksum = 1; checksum <= 10; checksum += 1) penalties.set('192.0.2.1', checksum, checksum, 1000);
    penalties.set('192.0.2.1', 1, 99, 1001);
    assert.deepEqual(penalties.get('192.0.2.1', 1001), { value: 10, lastSeconds: 1000 });
    penalties.set('192.0.2.1', 11, 11, 1002);
    penalties.set('192.0.2.1', 1, 12, 1003);
    assert.equal(penalties.get('192.0.2.1', 1003).value, 12);
  });

  it('are reset without a checksum', () => {
    const penalties = new Penalties();
    penalties.set('192.0.2.1', 17, 4, 1000);
    penalties.set('192.0.2.1', 0, 0, 1001);
    assert.equal(penalties.get('192.0.2.1', 1001).value, 0);
  });

  it('are forgotten after 29 seconds, or as told', () => {
    const penalties = new Penalties();
    penalties.set('192.0.2.1', 17, 4, 1000);
    assert.equal(penalties.get('192.0.2.1', 1029).value, 4);
    assert.equal(penalties.get('192.0.2.1', 1030).value, 0);
    assert.deepEqual(penalties.list(1030), []);
    penalties.expireSeconds = 100;
    penalties.set('192.0.2.1', 17, 4, 2000);
    assert.equal(penalties.get('192.0.2.1', 2100).value, 4);
  });
});
