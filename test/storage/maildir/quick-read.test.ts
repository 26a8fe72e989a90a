import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { maxQuickBytes, QuickReads } from '#storage/maildir/quick-read.js';
import { Preemptions, SlowWatch } from '#util/slow-watch.js';

describe('quick reads', () => {
  const folder = mkdtempSync(join(tmpdir(), 'roost-quick-'));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'message');
  writeFileSync(path, 'hello');

  test('give the whole file when its size is the expected one', () => {
    const reads = new QuickReads(new SlowWatch(() => 0));
    assert.equal(reads.read(path, 5)?.toString(), 'hello');
    assert.equal(reads.read(path, 4), undefined, 'grown');
    assert.equal(reads.read(path, 6), undefined, 'shrunk');
  });

  test('leave large files and errors to others', () => {
    const reads = new QuickReads(new SlowWatch(() => 0));
    assert.equal(reads.read(path, maxQuickBytes + 1), undefined);
    assert.throws(() => reads.read(join(folder, 'none'), 5), { code: 'ENOENT' });
  });

  describe('where storage is slow', () => {
    /** Calls that take as long as the list says, ms; a negative time is one in which others had the processor. */
    const callsTaking = (durations: readonly number[]) => {
      const left = [...durations];
      let nowMs = 0;
      let preempted = 0;
      const storage = new SlowWatch(() => nowMs, new Preemptions(() => preempted));
      const call = (): boolean => {
        if (storage.isPaused) return false;
        storage.run(() => {
          const duration = left.shift() ?? 0;
          nowMs += Math.abs(duration);
          if (duration < 0) preempted += 1;
        });
        return true;
      };
      return { call, wait: (ms: number) => (nowMs += ms) };
    };

    test('stop for a second after two slow ones', () => {
      const { call, wait } = callsTaking([3, 3, 0.1, 3]);
      assert.deepEqual([call(), call(), call()], [true, true, false]);
      wait(999);
      assert.equal(call(), false);
      wait(1);
      assert.deepEqual([call(), call(), call()], [true, true, false], 'one more is enough now');
    });

    test('take no notice of time that went to others', () => {
      const { call } = callsTaking([-3, -3, -3, -3, 3, 3]);
      const expected = [true, true, true, true, true, true, false];
      assert.deepEqual(
        expected.map(() => call()),
        expected,
      );
    });

    test('count how often the processor was taken away once in 20 ms for all folders together', () => {
      let looks = 0;
      let nowMs = 0;
      const shared = new Preemptions(() => (looks += 1));
      const folders = Array.from({ length: 50 }, () => new SlowWatch(() => nowMs, shared));
      for (const folder of folders) folder.run(() => undefined);
      assert.equal(looks, 1);
      nowMs = 19;
      for (const folder of folders) folder.run(() => undefined);
      assert.equal(looks, 1);
      nowMs = 20;
      for (const folder of folders) folder.run(() => undefined);
      assert.equal(looks, 2);
    });

    test('take one among many quick ones for chance', () => {
      const quick = Array.from({ length: 32 }, () => 0.01);
      const { call } = callsTaking([3, ...quick, 3, ...quick, 3, 0.01, 3]);
      const done = Array.from({ length: 3 + 64 + 2 }, () => call());
      assert.ok(done.every(Boolean));
      assert.equal(call(), false);
    });
  });

  test('are good for a moment when they are only looked at', () => {
    const reads = new QuickReads(new SlowWatch(() => 0));
    const first = reads.peek(path, 5);
    assert.equal(first?.toString(), 'hello');
    assert.equal(reads.peek(path, 4), undefined);
    assert.equal(reads.peek(path, 5)?.buffer, first?.buffer);
  });
});
