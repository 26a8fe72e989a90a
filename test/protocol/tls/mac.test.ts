import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { hmacOf, nodeHmac } from '#protocol/tls/mac.js';

describe('HMAC', () => {
  for (const hash of ['sha256', 'sha384'] as const) {
    const [direct, byNode] = [hmacOf(hash), nodeHmac(hash)];

    it(`is the same with ${hash} whoever makes it`, () => {
      // Also with keys longer than a block, which are hashed first.
      const keys = fc.uint8Array({ minLength: 1, maxLength: 200 }).map((array) => Buffer.from(array));
      const texts = fc.uint8Array({ minLength: 1, maxLength: 300 }).map((array) => Buffer.from(array));
      fc.assert(
        fc.property(keys, texts, (key, text) => {
          assert.deepEqual(direct(key, text), byNode(key, text));
        }),
      );
    });

    it(`gives with ${hash} a result that the next one leaves alone`, () => {
      const [key, text] = [Buffer.from('key'), Buffer.from('text')];
      const first = direct(key, text);
      const before = Buffer.from(first);
      direct(text, key);
      assert.deepEqual(first, before);
    });
  }
});
