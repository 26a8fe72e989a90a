import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { crc32, Penalties, penaltyAddress, penaltyDelayMs } from '#auth/penalty.js';

describe('auth penalties', () => {
  for (const [ip, address] of [
    ['192.0.2.1', '192.0.2.1'],
    ['2001:db8:aa:bb::1', '2001:db8:aa::'],
    ['2001:DB8::1', '2001:db8:0::'],
    ['::1', '0:0:0::'],
    ['::ffff:192.0.2.1', '::ffff:192.0.2.1'],
  ] as const) {
    it(`${ip} counts as ${address}`, () => assert.equal(penaltyAddress(ip), address));
  }

  it('delay 4, 8, 15, 15 seconds', () => assert.deepEqual([0, 1, 2, 3, 4].map(penaltyDelayMs), [0, 4000, 8000, 15_000, 15_000]));

  it('rise to 4, are forgotten after 15 s, fall to 0 on success, and ask once per address while nothing changes', async () => {
    const stored = new Map<string, { value: number; lastSeconds: number }>();
    let nowMs = 100_000;
    let questions = 0;
    const penalties = new Penalties(
      {
        penalty: async (address) => {
          questions += 1;
          return stored.get(address) ?? { value: 0, lastSeconds: 0 };
        },
        setPenalty: (address, _checksum, value) => stored.set(address, { value, lastSeconds: nowMs / 1000 }),
      },
      () => nowMs,
    );
    for (let failure = 0; failure < 6; failure += 1) penalties.failed('192.0.2.1', await penalties.current('192.0.2.1'), `try ${failure}`);
    assert.equal(await penalties.current('192.0.2.1'), 4);
    questions = 0;
    assert.equal(await penalties.current('192.0.2.1'), 4);
    assert.equal(questions, 0);
    nowMs += 15_000;
    assert.equal(await penalties.current('192.0.2.1'), 0);
    penalties.succeeded('192.0.2.1', 4);
    assert.equal(stored.get('192.0.2.1')?.value, 0);
    assert.equal(await penalties.current(''), 0);
  });

  it('CRC-32 is the usual one', () => assert.equal(crc32(Buffer.from('123456789')), 0xcbf4_3926));
});
