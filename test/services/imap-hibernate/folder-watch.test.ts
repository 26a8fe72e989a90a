// Watched folders where the kernel gives watches, and where it has none left.
import assert from 'node:assert/strict';
import { watch as fsWatch, mkdirSync, mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { silentLogger } from '#log/logger.js';
import { FolderWatch } from '#services/imap-hibernate/folder-watch.js';
import { patienceMs } from '../../support/patience.js';

const pollMs = 5_000;

interface World {
  readonly folders: FolderWatch;
  readonly warnings: string[];
  /** Makes a folder. @returns its path and mtime */
  folder(name: string): { readonly path: string; readonly mtimeMs: number };
}

/** @param failure what fs.watch answers; undefined: it works */
function createWorld(test: TestContext, failure: () => string | undefined): World {
  const root = mkdtempSync(join(tmpdir(), 'roost-folders-'));
  const warnings: string[] = [];
  const log = { ...silentLogger, warning: (_event: string, text: string) => void warnings.push(text) };
  const startWatch = ((...given: Parameters<typeof fsWatch>) => {
    const code = failure();
    if (code !== undefined) throw Object.assign(new Error(code), { code });
    return fsWatch(...given);
  }) as typeof fsWatch;
  const folders = new FolderWatch(log, { pollMs, startWatch });
  test.after(() => {
    folders.close();
    rmSync(root, { recursive: true, force: true });
  });
  return {
    folders,
    warnings,
    folder: (name) => {
      const path = join(root, name);
      mkdirSync(path);
      return { path, mtimeMs: statSync(path).mtimeMs };
    },
  };
}

/** Another mtime, however coarse the clock of the file system is. */
function touch(path: string): void {
  const seconds = statSync(path).mtimeMs / 1000 + 1;
  utimesSync(path, seconds, seconds);
}

/** Watches do not keep a process alive. */
async function awaited<Value>(promise: Promise<Value>): Promise<Value> {
  const timer = setTimeout(() => assert.fail(`nothing was told in ${patienceMs} ms`), patienceMs);
  return promise.finally(() => clearTimeout(timer));
}

describe('A watched folder', () => {
  it('tells all who wait for it of a new file', async (test) => {
    const world = createWorld(test, () => undefined);
    const { path, mtimeMs } = world.folder('new');
    const told = Promise.all([0, 1].map(() => new Promise<void>((resolve) => world.folders.watch(path, mtimeMs, resolve))));
    writeFileSync(join(path, '1.eml'), 'x');
    await awaited(told);
  });

  it('tells at once what happened before it was watched, but never synchronously', async (test) => {
    const world = createWorld(test, () => undefined);
    const { path, mtimeMs } = world.folder('new');
    touch(path);
    let isInside = true;
    const told = new Promise<boolean>((resolve) => world.folders.watch(path, mtimeMs, () => resolve(isInside)));
    isInside = false;
    assert.equal(await awaited(told), false);
  });

  for (const [code, setting] of [
    ['ENOSPC', 'max_user_watches'],
    ['EMFILE', 'max_user_instances'],
  ] as const) {
    it(`is looked at every 5 s where fs.watch says ${code}, and the log names the setting once`, (test) => {
      test.mock.timers.enable({ apis: ['setInterval'] });
      const world = createWorld(test, () => code);
      const [one, two] = [world.folder('one'), world.folder('two')];
      const told: string[] = [];
      world.folders.watch(one.path, one.mtimeMs, () => told.push('one'));
      world.folders.watch(two.path, two.mtimeMs, () => told.push('two'));
      assert.equal(world.warnings.length, 1);
      assert.match(world.warnings[0] ?? '', new RegExp(`raise fs.inotify.${setting}`));
      touch(two.path);
      test.mock.timers.tick(pollMs - 1);
      assert.deepEqual(told, []);
      test.mock.timers.tick(1);
      assert.deepEqual(told, ['two']);
      test.mock.timers.tick(pollMs);
      assert.deepEqual(told, ['two']);
      touch(one.path);
      test.mock.timers.tick(pollMs);
      assert.deepEqual(told, ['two', 'one']);
    });
  }

  it('is watched again by the next session when the kernel has watches again', async (test) => {
    let code: string | undefined = 'ENOSPC';
    const world = createWorld(test, () => code);
    const { path, mtimeMs } = world.folder('new');
    const stop = world.folders.watch(path, mtimeMs, () => assert.fail('it has stopped waiting'));
    stop();
    code = undefined;
    const told = new Promise<void>((resolve) => world.folders.watch(path, mtimeMs, resolve));
    writeFileSync(join(path, '1.eml'), 'x');
    await awaited(told);
  });

  it('that goes away is told once', (test) => {
    test.mock.timers.enable({ apis: ['setInterval'] });
    const world = createWorld(test, () => 'ENOSPC');
    const { path, mtimeMs } = world.folder('new');
    let count = 0;
    world.folders.watch(path, mtimeMs, () => {
      count += 1;
    });
    rmSync(path, { recursive: true });
    for (let look = 0; look < 3; look += 1) test.mock.timers.tick(pollMs);
    assert.equal(count, 1);
  });

  it('costs no looks when nobody waits for it any more', async (test) => {
    test.mock.timers.enable({ apis: ['setInterval'] });
    const world = createWorld(test, () => 'ENOSPC');
    const { path, mtimeMs } = world.folder('new');
    let count = 0;
    const stop = world.folders.watch(path, mtimeMs, () => {
      count += 1;
    });
    stop();
    touch(path);
    test.mock.timers.tick(10 * pollMs);
    await turn();
    assert.equal(count, 0);
  });
});
