import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { LastWords } from '#services/master/last-words.js';

function says(text: string | Buffer, at = text.length): boolean {
  const words = new LastWords();
  const octets = Buffer.from(text);
  words.push(octets.subarray(0, at));
  words.push(octets.subarray(at));
  return words.isOutOfMemory;
}

const line = 'FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory\n';

describe('The last words of a child', () => {
  it('say that a real heap was full', () => {
    const script = 'const all = []; for (;;) all.push(new Array(10_000).fill(all.length))';
    const { stderr } = spawnSync(process.execPath, ['--max-old-space-size=16', '-e', script], { env: {} });
    assert.equal(says(stderr), true, stderr.toString());
  });

  it('say nothing of memory when a process aborts for another reason', () => {
    const { stderr } = spawnSync(process.execPath, ['-e', 'process.abort()'], { env: {} });
    assert.equal(says(stderr), false, stderr.toString());
  });

  it('are understood when they come in two parts', () => {
    const text = `{"level":"info"}\n${line}\n`;
    for (let at = 0; at <= text.length; at += 1) assert.equal(says(text, at), true, `cut at ${at}`);
  });

  for (const text of ["terminate called after throwing an instance of 'std::bad_alloc'\n", '# Fatal process out of memory: Zone\n']) {
    it(`include ${text.trim()}`, () => assert.equal(says(text), true));
  }

  it('are not those of a client in a log line', () => {
    assert.equal(says(`{"level":"error","message":"${line.trim()}"}\n`), false);
    assert.equal(says(`{"level":"error","message":"FATAL ERROR: out of memory"}\n`, 12), false);
  });
});
