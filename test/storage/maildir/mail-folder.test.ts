// The fsync of new/ and cur/, for which the folder stays open.
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { MailFolder } from '#storage/maildir/mail-folder.js';
import type { DiskSyncs } from '#util/disk-syncs.js';
import { append, seen } from '../../contract/world.js';
import { MaildirWorld } from './world.js';

/** Notes what is synced, as its path is then. */
class NotedSyncs implements DiskSyncs {
  readonly synced: string[] = [];
  error: Error | undefined;

  async file(fd: number): Promise<void> {
    this.synced.push(readlinkSync(`/proc/self/fd/${fd}`));
    if (this.error !== undefined) throw this.error;
  }

  data(fd: number): Promise<void> {
    return this.file(fd);
  }
}

function openBelow(folder: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      return path.startsWith(folder) ? [path] : [];
    } catch {
      return [];
    }
  });
}

const skip = process.platform !== 'linux' && 'looks into /proc';

describe('A folder of a Maildir', { skip }, () => {
  function inFolder(work: (path: string, syncs: NotedSyncs) => Promise<void>): Promise<void> {
    const folder = mkdtempSync(join(tmpdir(), 'roost-folder-'));
    const path = join(folder, 'new');
    mkdirSync(path);
    return work(path, new NotedSyncs()).finally(() => rmSync(folder, { recursive: true, force: true }));
  }

  it('is opened once for many syncs, and closed', () =>
    inFolder(async (path, syncs) => {
      const folder = new MailFolder(path);
      for (let turn = 0; turn < 3; turn += 1) {
        await folder.sync(syncs, () => true);
        assert.deepEqual(openBelow(path), [path]);
      }
      assert.deepEqual(syncs.synced, [path, path, path]);
      folder.close();
      folder.close();
      assert.deepEqual(openBelow(path), []);
    }));

  it('is closed after the sync where nobody is going to close it', () =>
    inFolder(async (path, syncs) => {
      const folder = new MailFolder(path);
      await folder.sync(syncs, () => false);
      assert.deepEqual(openBelow(path), []);
    }));

  it('stays open until the sync that runs has ended', () =>
    inFolder(async (path, syncs) => {
      const folder = new MailFolder(path);
      let end = (): void => undefined;
      const slow: DiskSyncs = { file: () => new Promise((resolve) => (end = resolve)), data: (fd) => syncs.data(fd) };
      const running = folder.sync(slow, () => true);
      folder.close();
      assert.deepEqual(openBelow(path), [path]);
      end();
      await running;
      assert.deepEqual(openBelow(path), []);
    }));

  it('is the one that is at its path now', () =>
    inFolder(async (path, syncs) => {
      const folder = new MailFolder(path);
      await folder.sync(syncs, () => true);
      renameSync(path, `${path}.old`);
      mkdirSync(path);
      await folder.sync(syncs, () => true);
      assert.deepEqual(syncs.synced, [path, path]);
      assert.deepEqual(openBelow(path), [path]);
      rmSync(path, { recursive: true });
      await assert.rejects(
        folder.sync(syncs, () => true),
        { code: 'ENOENT' },
      );
      mkdirSync(path);
      await folder.sync(syncs, () => true);
      assert.deepEqual(syncs.synced, [path, path, path]);
      folder.close();
    }));

  it('tells of a sync that fails, and not of one that its file system does not have', () =>
    inFolder(async (path, syncs) => {
      const folder = new MailFolder(path);
      syncs.error = Object.assign(new Error('EINVAL'), { code: 'EINVAL' });
      await folder.sync(syncs, () => true);
      syncs.error = Object.assign(new Error('EIO'), { code: 'EIO' });
      await assert.rejects(
        folder.sync(syncs, () => true),
        { code: 'EIO' },
      );
      folder.close();
      assert.deepEqual(openBelow(path), []);
    }));
});

describe('Saving where each folder is synced', { skip }, () => {
  it('keeps the folders of a mailbox open until it is given up, renamed or deleted', async () => {
    const syncs = new NotedSyncs();
    await using world = await MaildirWorld.make({
      fsync: 'optimized',
      syncs: () => syncs,
      writeOut: () => undefined,
      unnamedFiles: () => undefined,
    });
    const folders = (name: string): string[] => {
      const { mailDir } = world.paths(name);
      return openBelow(mailDir)
        .filter((path) => [`${mailDir}/cur`, `${mailDir}/new`].includes(path))
        .sort();
    };
    const a = await world.create('A');
    for (const flags of [0, seen, 0]) await append(a, undefined, { flags });
    const { mailDir } = world.paths('A');
    assert.deepEqual(folders('A'), [`${mailDir}/cur`, `${mailDir}/new`]);
    syncs.synced.length = 0;
    await append(a);
    assert.deepEqual(
      syncs.synced.filter((path) => !path.startsWith(`${mailDir}/tmp/`)),
      [`${mailDir}/new`],
    );

    await world.rename('A', 'B');
    assert.deepEqual(folders('B'), []);
    await append(a);
    assert.deepEqual(folders('B'), [`${world.paths('B').mailDir}/new`]);
    await world.delete('B');
    assert.deepEqual(openBelow(world.paths('B').mailDir), []);

    await append(await world.create('C'));
    assert.equal(folders('C').length, 1);
    await world.restart();
    assert.deepEqual(openBelow(world.root), []);
  });
});
