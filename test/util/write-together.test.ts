import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Writable } from 'node:stream';
import { describe, it } from 'node:test';
import { writeTogether } from '#util/write-together.js';

/** Each element is what left in one call. */
function recorder() {
  const calls: string[] = [];
  const stream = new Writable({
    writev(chunks, done) {
      calls.push(chunks.map(({ chunk }) => String(chunk)).join(''));
      stream.emit('left');
      done();
    },
  });
  const say = (text: string): void => {
    writeTogether(stream);
    stream.write(text);
  };
  return { calls, stream, say, left: () => once(stream, 'left') };
}

describe('small messages', () => {
  it('of one turn leave in one call', async () => {
    const { calls, say, left } = recorder();
    say('a');
    say('b');
    await left();
    say('c');
    await left();
    assert.deepEqual(calls, ['ab', 'c']);
  });
});
