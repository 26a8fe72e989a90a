import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { maxQuickBytes, QuickReads } from '#storage/maildir/quick-read.js';

describe('quick reads', () => {
  const folder = mkdtempSync(join(tmpdir(), 'roost-quick-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'message');
  writeFileSync(path, 'hello');

  test('give the whole file when its size is the expected one', () => {
    const reads = new QuickReads(() => 0);
    assert.equal(reads.read(path, 5)?.toString(), 'hello');
    assert.equal(reads.read(path, 4), undefined, 'grown');
    assert.equal(reads.read(path, 6), undefined, 'shrunk');
  });

  test('leave large files and errors to others', () => {
    const reads = new QuickReads(() => 0);
    assert.equal(reads.read(path, maxQuickBytes + 1), undefined);
    assert.throws(() => reads.read(join(folder, 'none'), 5), { code: 'ENOENT' });
  });

  describe('where storage is slow', () => {
    /** Each read takes as long as the list says, ms; then none takes any time. */
    const readsTaking = (durations: readonly number[]) => {
      let nowMs = 0;
      const left = [...durations];
      let isRunning = false;
      const reads = new QuickReads(() => {
        if (isRunning) nowMs += left.shift() ?? 0;
        return nowMs;
      });
      const read = (): boolean => {
        // The clock is read before and after the calls; only then does time pass.
        isRunning = false;
        const paused = reads.storage.isPaused;
        if (paused) return false;
        reads.storage.run(() => {
          isRunning = true;
        });
        isRunning = false;
        return true;
      };
      return { read, wait: (ms: number) => (nowMs += ms) };
    };

    test('stop for a second after two slow ones', () => {
      const { read, wait } = readsTaking([3, 3, 0.1, 3]);
      assert.deepEqual([read(), read(), read()], [true, true, false]);
      wait(999);
      assert.equal(read(), false);
      wait(1);
      assert.deepEqual([read(), read(), read()], [true, true, false], 'one more is enough now');
    });

    test('take one among many quick ones for chance', () => {
      const quick = Array.from({ length: 32 }, () => 0.01);
      const { read } = readsTaking([3, ...quick, 3, ...quick, 3, 0.01, 3]);
      const done = Array.from({ length: 3 + 64 + 2 }, () => read());
      assert.ok(done.every(Boolean));
      assert.equal(read(), false);
    });
  });

  test('are good for a moment when they are only looked at', () => {
    const reads = new QuickReads(() => 0);
    const first = reads.peek(path, 5);
    assert.equal(first?.toString(), 'hello');
    assert.equal(reads.peek(path, 4), undefined);
    assert.equal(reads.peek(path, 5)?.buffer, first?.buffer);
  });
});
