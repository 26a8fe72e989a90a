import assert from 'node:assert/strict';
import { once } from 'node:events';
import { PassThrough, Writable } from 'node:stream';
import { describe, it } from 'node:test';
import { writeSparsely, writeTogether } from '#util/write-together.js';

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
  const say = (text: string, pauseMs?: number): void => {
    if (pauseMs === undefined) writeTogether(stream);
    else writeSparsely(stream, pauseMs);
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

  it('that nobody waits for leave at once after a pause, and together when they follow closely', async () => {
    const { calls, say, left } = recorder();
    const startedAt = performance.now();
    say('a', 30);
    await left();
    const first = performance.now() - startedAt;
    say('b', 30);
    setImmediate(() => say('c', 30));
    await left();
    assert.deepEqual(calls, ['a', 'bc']);
    assert.ok(performance.now() - startedAt >= 29 || first > 30, 'the second waited for the pause');
  });

  it('leave at once, with all before them, when somebody waits', async () => {
    const { calls, say, left } = recorder();
    say('a', 60_000);
    await left();
    say('b', 60_000);
    say('c');
    await left();
    say('d');
    await left();
    assert.deepEqual(calls, ['a', 'bc', 'd']);
  });

  it('that wait are sent by the end of the stream', async () => {
    const stream = new PassThrough();
    for (const text of ['a', 'b']) {
      writeSparsely(stream, 60_000);
      stream.write(text);
      await new Promise(setImmediate);
    }
    stream.end();
    let all = '';
    for await (const chunk of stream) all += String(chunk);
    assert.equal(all, 'ab');
  });
});
