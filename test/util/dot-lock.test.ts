import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, readdir, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { DotLockError, takeDotLock, tryDotLock } from '#util/dot-lock.js';

async function inFolder(work: (path: string, folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'roost-lock-'));
  try {
    await work(join(folder, 'list'), folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Above any pid_max. */
const deadPid = 2 ** 30;

describe('Dot lock', () => {
  it('holds pid and host, and leaves nothing when released', () =>
    inFolder(async (path, folder) => {
      const lock = await takeDotLock(path, { timeoutMs: 1000 });
      assert.equal(readFileSync(`${path}.lock`, 'latin1'), `${process.pid}:${hostname()}`);
      assert.equal(lock.isStillOurs, true);
      lock.release();
      lock.release();
      assert.deepEqual(await readdir(folder), []);
    }));

  it('is refused while a live process holds it', () =>
    inFolder(async (path) => {
      using _held = await takeDotLock(path, { timeoutMs: 1000 });
      assert.equal(tryDotLock(path), undefined);
      await assert.rejects(takeDotLock(path, { timeoutMs: 20 }), DotLockError);
    }));

  it('is taken as soon as it is released', () =>
    inFolder(async (path) => {
      const held = await takeDotLock(path, { timeoutMs: 1000 });
      const waiting = takeDotLock(path, { timeoutMs: 5000 });
      held.release();
      (await waiting).release();
    }));

  for (const { title, content, ageMs, isBroken } of [
    { title: 'whose process is gone', content: `${deadPid}:${hostname()}`, ageMs: 0, isBroken: true },
    { title: 'of another host', content: `${deadPid}:elsewhere.example.org`, ageMs: 0, isBroken: false },
    { title: 'of another host, not touched for 121 s', content: `${deadPid}:elsewhere.example.org`, ageMs: 121_000, isBroken: true },
    { title: 'of our own pid, fresh', content: `${process.pid}:${hostname()}`, ageMs: 0, isBroken: false },
    { title: 'without contents, fresh', content: '', ageMs: 0, isBroken: false },
    { title: 'without contents, not touched for 121 s', content: '', ageMs: 121_000, isBroken: true },
  ]) {
    it(`${isBroken ? 'breaks' : 'respects'} a lock ${title}`, () =>
      inFolder(async (path) => {
        await writeFile(`${path}.lock`, content);
        const touched = new Date(Date.now() - ageMs);
        await utimes(`${path}.lock`, touched, touched);
        const reasons: string[] = [];
        // ctime cannot be set: a touched mtime in the past counts only where the test's clock is ahead.
        const staleMs = ageMs === 0 ? 120_000 : -1;
        const lock = tryDotLock(path, { staleMs, onBreak: (_path, reason) => reasons.push(reason) });
        assert.equal(lock !== undefined, isBroken);
        assert.equal(reasons.length, isBroken ? 1 : 0);
        lock?.release();
      }));
  }

  it('does not remove a lock that was broken and taken by somebody else', () =>
    inFolder(async (path) => {
      const lock = await takeDotLock(path, { timeoutMs: 1000 });
      // Kept under another name, so that its inode is not given to the new lock.
      await rename(`${path}.lock`, `${path}.old`);
      await writeFile(`${path}.lock`, '1:elsewhere');
      assert.equal(lock.isStillOurs, false);
      lock.release();
      assert.equal(existsSync(`${path}.lock`), true);
    }));

  it('gives up when the signal aborts', () =>
    inFolder(async (path) => {
      using _held = await takeDotLock(path, { timeoutMs: 1000 });
      const waiting = takeDotLock(path, { timeoutMs: 60_000 }, AbortSignal.timeout(10));
      await assert.rejects(waiting, { name: 'TimeoutError' });
    }));

  it('names the missing folder', () =>
    inFolder(async (_path, folder) => {
      await assert.rejects(takeDotLock(join(folder, 'none', 'list'), { timeoutMs: 100 }), { code: 'ENOENT' });
    }));
});
