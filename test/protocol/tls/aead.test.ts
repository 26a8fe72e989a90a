import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { aeadOf, NodeAead } from '#protocol/tls/aead.js';
import { cipherSuite, tagBytes } from '#protocol/tls/suites.js';

describe('Encryption of records', () => {
  for (const name of ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384', 'TLS_CHACHA20_POLY1305_SHA256']) {
    const suite = cipherSuite(name);
    assert.ok(suite !== undefined);
    const [direct, byNode] = [aeadOf(suite), new NodeAead(suite.algorithm)];
    const header = Buffer.from([23, 3, 3, 0, 0]);

    it(`is the same with ${name} whoever does it`, () => {
      const octets = (options: { readonly minLength: number; readonly maxLength: number }) =>
        fc.uint8Array(options).map((array) => Buffer.from(array));
      const nonces = octets({ minLength: 12, maxLength: 12 });
      const keys = octets({ minLength: suite.keyBytes, maxLength: suite.keyBytes });
      fc.assert(
        fc.property(keys, nonces, octets({ minLength: 1, maxLength: 300 }), (key, nonce, plain) => {
          const [one, other] = [Buffer.alloc(plain.length + tagBytes), Buffer.alloc(plain.length + tagBytes)];
          direct.seal(key, nonce, header, plain, one);
          byNode.seal(key, nonce, header, plain, other);
          assert.deepEqual(one, other);
          assert.deepEqual(direct.open(key, nonce, header, one), plain);
          assert.deepEqual(byNode.open(key, nonce, header, one), plain);
        }),
      );
    });

    it(`opens nothing with ${name} that was changed, and then goes on as before`, () => {
      const [key, nonce, plain] = [randomBytes(suite.keyBytes), randomBytes(12), randomBytes(20)];
      for (const aead of [direct, byNode]) {
        const sealed = Buffer.alloc(plain.length + tagBytes);
        aead.seal(key, nonce, header, plain, sealed);
        for (let at = 0; at < sealed.length; at += 1) {
          const changed = Buffer.from(sealed);
          changed[at] = (changed[at] ?? 0) ^ 1;
          assert.equal(aead.open(key, nonce, header, changed), undefined);
        }
        assert.equal(aead.open(key, nonce, Buffer.from([23, 3, 3, 0, 1]), sealed), undefined);
        assert.deepEqual(aead.open(key, nonce, header, sealed), plain);
      }
    });

    it(`writes with ${name} into no less than it needs, with no other key than it has`, () => {
      const plain = Buffer.alloc(20);
      const key = Buffer.alloc(suite.keyBytes);
      assert.throws(() => direct.seal(key, Buffer.alloc(12), header, plain, Buffer.alloc(35)), RangeError);
      assert.throws(() => direct.seal(key.subarray(1), Buffer.alloc(12), header, plain, Buffer.alloc(36)), RangeError);
      assert.throws(() => direct.seal(key, Buffer.alloc(11), header, plain, Buffer.alloc(36)), RangeError);
    });
  }
});
