import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isSameSeal, Mac } from '#util/mac.js';

const octets = (maxLength: number) => fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));

describe('the code of a text under a key', () => {
  it('is HMAC-SHA-256, whatever was asked before', () => {
    fc.assert(
      fc.property(octets(64), fc.array(fc.string({ unit: 'binary', maxLength: 300 }), { minLength: 1, maxLength: 5 }), (key, texts) => {
        const mac = new Mac(key);
        for (const text of texts) assert.equal(mac.of(text), createHmac('sha256', key).update(text).digest('base64'));
      }),
      { numRuns: 100 },
    );
  });

  for (const length of [1_023, 1_024, 1_025, 100_000]) {
    it(`is that of all ${length} octets`, () => {
      const key = Buffer.alloc(32, 7);
      const text = 'é'.padEnd(length - 1, 'x');
      assert.equal(new Mac(key).of(text), createHmac('sha256', key).update(text).digest('base64'));
    });
  }

  it('needs a key of one block at most', () => {
    assert.throws(() => new Mac(Buffer.alloc(65)), RangeError);
  });
});

describe('a seal', () => {
  it('is the same only when all of it is', () => {
    assert.ok(isSameSeal('abc', 'abc'));
    for (const other of ['', 'ab', 'abd', 'abcd', 'äbc']) assert.equal(isSameSeal('abc', other), false);
  });
});
