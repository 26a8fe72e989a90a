import assert from 'node:assert/strict';
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { nativeUnnamedFiles, unnamedFilesAt } from '#util/unnamed-files.js';
import { deviceOf, isExt4 } from '#util/write-out.js';

function inFolder(work: (folder: string) => void): void {
  const folder = mkdtempSync(join(tmpdir(), 'roost-unnamed-'));
  try {
    work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('A file without a name', { skip: nativeUnnamedFiles() === undefined && 'no koffi, or another platform' }, () => {
  const files = nativeUnnamedFiles();
  assert.ok(files);

  it('is seen by nobody before it is named, and whole afterwards', () =>
    inFolder((folder) => {
      const fd = files.open(folder, 0o640);
      writeSync(fd, 'x'.repeat(10_000));
      fsyncSync(fd);
      assert.deepEqual(readdirSync(folder), []);
      files.link(fd, `${folder}/a longer name than the next`);
      files.link(fd, Buffer.from(`${folder}/\xe4`, 'latin1'));
      closeSync(fd);
      const names = readdirSync(folder, 'latin1').sort();
      assert.deepEqual(names, ['a longer name than the next', '\xe4']);
      assert.equal(readFileSync(`${folder}/a longer name than the next`).length, 10_000);
      assert.equal(statSync(`${folder}/a longer name than the next`).mode & 0o777, 0o640 & ~process.umask());
    }));

  it('made off the event loop is the same', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'roost-unnamed-'));
    try {
      const fd = await files.openLater(folder, 0o600);
      files.link(fd, `${folder}/name`);
      closeSync(fd);
      assert.deepEqual(readdirSync(folder), ['name']);
      await assert.rejects(files.openLater(`${folder}/missing`, 0o600), { code: 'ENOENT' });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('is gone when it is closed', () =>
    inFolder((folder) => {
      closeSync(files.open(folder, 0o600));
      assert.deepEqual(readdirSync(folder), []);
    }));

  it('is not named where that fails, and why is told', () =>
    inFolder((folder) => {
      assert.throws(() => files.open(`${folder}/missing`, 0o600), { code: 'ENOENT' });
      writeFileSync(`${folder}/there`, 'other');
      const fd = files.open(folder, 0o600);
      assert.throws(() => files.link(fd, `${folder}/there`), { code: 'EEXIST' });
      assert.throws(() => files.link(fd, `${folder}/missing/name`), { code: 'ENOENT' });
      assert.throws(() => files.link(fd, `${folder}/${'n'.repeat(300)}`), { code: 'ENAMETOOLONG' });
      assert.throws(() => files.link(fd, `${folder}/${'n/'.repeat(3000)}`), { code: 'ENAMETOOLONG' });
      closeSync(fd);
      assert.throws(() => files.link(fd, `${folder}/name`), { code: 'EBADF' });
      assert.equal(readFileSync(`${folder}/there`, 'latin1'), 'other');
      assert.deepEqual(readdirSync(folder), ['there']);
    }));

  it('is only used on ext4, and the look at the file system leaves nothing behind', () =>
    inFolder((folder) => {
      mkdirSync(`${folder}/tmp`);
      const device = deviceOf(folder);
      assert.ok(device !== undefined);
      const expected = isExt4(device) ? files : undefined;
      assert.equal(unnamedFilesAt(`${folder}/missing/name`), undefined);
      assert.equal(unnamedFilesAt(`${folder}/tmp/name`), expected);
      assert.equal(unnamedFilesAt(`${folder}/tmp/name`), expected);
      assert.deepEqual(readdirSync(`${folder}/tmp`), []);
      assert.equal(unnamedFilesAt('/proc/name'), undefined);
    }));
});
