import assert from 'node:assert/strict';
import { existsSync, linkSync, readdirSync, readFileSync, statSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { mkdtemp, readdir, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { createRequire, syncBuiltinESMExports } from 'node:module';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { sleep } from '#util/deadline.js';
import { Deadlines } from '#util/deadlines.js';
import { DotLock, DotLockError, LockOwner, takeDotLock, tryDotLock } from '#util/dot-lock.js';
import { NamedFile, useNativeStatus } from '#util/file-status.js';

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

  it('leaves a lock alone whose process ended after giving it back', (test) =>
    inFolder(async (path, folder) => {
      await writeFile(`${path}.lock`, `${deadPid}:${hostname()}`);
      const next = `${path}.next`;
      let takenNs = 0n;
      // Between the look at the file and the look at the process another one takes it.
      test.mock.method(process, 'kill', () => {
        writeFileSync(next, `${process.pid}:${hostname()}`);
        unlinkSync(`${path}.lock`);
        linkSync(next, `${path}.lock`);
        takenNs = statSync(`${path}.lock`, { bigint: true }).ctimeNs;
        throw Object.assign(new Error('ESRCH'), { code: 'ESRCH' });
      });
      assert.equal(tryDotLock(path), undefined);
      test.mock.restoreAll();
      // Not even for a moment: somebody would take it then, beside its owner.
      assert.equal(statSync(`${path}.lock`, { bigint: true }).ctimeNs, takenNs);
      assert.deepEqual(readdirSync(folder).sort(), ['list.lock', 'list.next']);
    }));

  it('is broken by one process at a time', () =>
    inFolder(async (path, folder) => {
      await writeFile(`${path}.lock`, `${deadPid}:${hostname()}`);
      await writeFile(`${path}.lock.break`, '');
      assert.equal(tryDotLock(path), undefined);
      await assert.rejects(takeDotLock(path, { timeoutMs: 20 }), DotLockError);
      // Who was about to do it was killed.
      const before = new Date(Date.now() - 11_000);
      await utimes(`${path}.lock.break`, before, before);
      (await takeDotLock(path, { timeoutMs: 1000 })).release();
      assert.deepEqual(await readdir(folder), []);
    }));

  // The mailbox may have been deleted and made anew, and locked by another process, within a moment.
  it('does not remove a lock that somebody else has taken, however short its own was held', () =>
    inFolder(async (path) => {
      const lock = await takeDotLock(path, { timeoutMs: 1000 });
      // Kept under another name, so that its inode is not given to the new lock.
      await rename(`${path}.lock`, `${path}.old`);
      await writeFile(`${path}.lock`, '1:elsewhere');
      assert.equal(lock.isStillOurs, false);
      lock.release();
      assert.equal(existsSync(`${path}.lock`), true);
    }));

  it('is touched again and again while it is held, so that nobody takes it for stale', () =>
    inFolder(async (path) => {
      await writeFile(`${path}.lock`, `${process.pid}:${hostname()}`);
      const { ino } = statSync(`${path}.lock`, { bigint: true });
      const touches = new Deadlines<DotLock>(5, (held) => held.touch());
      const lock = new DotLock(`${path}.lock`, ino, touches);
      for (let turn = 0; turn < 3; turn += 1) {
        await utimes(`${path}.lock`, 1000, 1000);
        while (statSync(`${path}.lock`).mtimeMs === 1_000_000) await sleep(1);
      }
      lock.release();
      assert.equal(existsSync(`${path}.lock`), false);
      await writeFile(`${path}.lock`, '1:elsewhere');
      await utimes(`${path}.lock`, 1000, 1000);
      await sleep(20);
      assert.equal(statSync(`${path}.lock`).mtimeMs, 1_000_000);
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

describe('Dot lock with an owner', () => {
  function ownerIn(folder: string): LockOwner {
    let names = 0;
    return new LockOwner(
      () => folder,
      () => `owner${++names}`,
    );
  }

  it('makes no file for each lock', () =>
    inFolder(async (path, folder) => {
      const owner = ownerIn(folder);
      const inodes = new Set<number>();
      for (let turn = 0; turn < 3; turn += 1) {
        const lock = await takeDotLock(path, { timeoutMs: 1000, owner });
        assert.equal(readFileSync(`${path}.lock`, 'latin1'), `${process.pid}:${hostname()}`);
        assert.equal(lock.isStillOurs, true);
        inodes.add(statSync(`${path}.lock`).ino);
        assert.equal(tryDotLock(path), undefined);
        await assert.rejects(takeDotLock(path, { timeoutMs: 20, owner }), DotLockError);
        lock.release();
        assert.equal(lock.isStillOurs, false);
        assert.deepEqual(readdirSync(folder), ['owner1']);
      }
      assert.equal(inodes.size, 1);
      owner[Symbol.dispose]();
      assert.deepEqual(readdirSync(folder), []);
    }));

  it('makes its file again when somebody has removed it', () =>
    inFolder(async (path, folder) => {
      const owner = ownerIn(folder);
      (await takeDotLock(path, { timeoutMs: 1000, owner })).release();
      unlinkSync(join(folder, 'owner1'));
      const lock = await takeDotLock(path, { timeoutMs: 1000, owner });
      assert.deepEqual(readdirSync(folder), ['list.lock', 'owner2']);
      assert.equal(lock.isStillOurs, true);
      // And while the lock is held.
      unlinkSync(join(folder, 'owner2'));
      assert.equal(lock.isStillOurs, true);
      lock.release();
      assert.deepEqual(readdirSync(folder), []);
    }));

  it('gives back its own lock and leaves that of another alone, whoever is asked about the file', () =>
    inFolder(async (path, folder) => {
      useNativeStatus();
      using owner = new LockOwner(
        () => folder,
        () => 'owner.lock',
      );
      const file = new NamedFile(`${path}.lock`);
      const own = owner.tryLink(file);
      assert.equal(own?.isStillOurs, true);
      own?.release();
      assert.equal(existsSync(file.path), false);
      const lost = owner.tryLink(file);
      unlinkSync(file.path);
      assert.equal(lost?.isStillOurs, false);
      writeFileSync(file.path, '1:elsewhere');
      assert.equal(lost?.isStillOurs, false);
      lost?.release();
      assert.equal(existsSync(file.path), true);
    }));

  it('works where the owner cannot have a file', () =>
    inFolder(async (path, folder) => {
      const lock = await takeDotLock(path, { timeoutMs: 1000, owner: ownerIn(join(folder, 'nowhere')) });
      assert.equal(readFileSync(`${path}.lock`, 'latin1'), `${process.pid}:${hostname()}`);
      lock.release();
      await assert.rejects(takeDotLock(join(folder, 'no', 'list'), { timeoutMs: 1000, owner: ownerIn(folder) }), { code: 'ENOENT' });
    }));

  it('is not taken for the stale one that it was a moment ago', () =>
    inFolder(async (path, folder) => {
      const fs = createRequire(import.meta.url)('node:fs') as { renameSync: (from: string, to: string) => void };
      const { renameSync } = fs;
      // One that looks dead, taken anew by its owner, who is not, between the look and the breaking.
      writeFileSync(join(folder, 'owner'), `${deadPid}:${hostname()}`);
      linkSync(join(folder, 'owner'), `${path}.lock`);
      let isTaken = false;
      fs.renameSync = (from, to) => {
        if (!isTaken) {
          unlinkSync(`${path}.lock`);
          utimesSync(join(folder, 'owner'), new Date(), new Date());
          linkSync(join(folder, 'owner'), `${path}.lock`);
        }
        isTaken = true;
        renameSync(from, to);
      };
      syncBuiltinESMExports();
      try {
        const inode = statSync(`${path}.lock`).ino;
        assert.equal(tryDotLock(path), undefined);
        assert.equal(isTaken, true);
        assert.equal(statSync(`${path}.lock`).ino, inode);
      } finally {
        fs.renameSync = renameSync;
        syncBuiltinESMExports();
      }
    }));
});
