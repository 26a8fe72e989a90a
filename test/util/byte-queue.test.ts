import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ByteQueue } from '#util/byte-queue.js';

describe('ByteQueue', () => {
  it('refuses a chunk that would pass its limit and keeps what it had', () => {
    const queue = new ByteQueue(4);
    assert.equal(queue.push(Buffer.from('abcd')), true);
    assert.equal(queue.push(Buffer.from('e')), false);
    assert.equal(queue.take(9).toString(), 'abcd');
  });

  it('gives back what was pushed, whatever the cuts are', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 6 })), fc.array(fc.nat(7)), (chunks, takes) => {
        const queue = new ByteQueue(1000);
        for (const chunk of chunks) queue.push(chunk);
        let rest = Buffer.concat(chunks);
        for (const count of takes) {
          assert.equal(queue.indexOf(10), rest.indexOf(10));
          assert.deepEqual(queue.take(count), rest.subarray(0, count));
          rest = rest.subarray(count);
          assert.equal(queue.length, rest.length);
        }
      }),
    );
  });
});
