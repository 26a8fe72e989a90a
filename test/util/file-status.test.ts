import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync, statSync, truncateSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { NamedFile, statusOfOpen, useNativeStatus } from '#util/file-status.js';

const folder = mkdtempSync(join(tmpdir(), 'roost-status-é-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function asNodeTells(path: string): object {
  const { ino, size, mtimeMs, nlink } = statSync(path);
  return { inode: ino, size, mtimeMs, links: nlink };
}

describe('the status of a file', { skip: !useNativeStatus() && 'only on Linux with koffi' }, () => {
  for (const seconds of [1_600_000_000.123457, 1_763_900_000.999999, -86_400.5, 5_000_000_000.25, 0]) {
    it(`is what node:fs tells, changed at ${seconds}`, () => {
      const path = join(folder, 'changed');
      writeFileSync(path, 'hello');
      utimesSync(path, seconds, seconds);
      assert.deepEqual(new NamedFile(path).status(), asNodeTells(path));
    });
  }

  it('is what node:fs tells of files as they are made, to the last fraction', () => {
    for (let turn = 0; turn < 200; turn += 1) {
      const path = join(folder, `made ${turn}`);
      writeFileSync(path, 'x'.repeat(turn));
      const fd = openSync(path, 'r');
      assert.deepEqual(new NamedFile(path).status(), asNodeTells(path));
      assert.deepEqual(statusOfOpen(fd), asNodeTells(path));
      closeSync(fd);
    }
  });

  it('knows folders, and files of more than 4 GB', () => {
    assert.deepEqual(new NamedFile(folder).status(), asNodeTells(folder));
    const path = join(folder, 'large');
    writeFileSync(path, '');
    truncateSync(path, 5_000_000_001);
    assert.equal(new NamedFile(path).status()?.size, 5_000_000_001);
  });

  it('follows what happens at the path', () => {
    const file = new NamedFile(join(folder, 'comes and goes'));
    assert.equal(file.status(), undefined);
    writeFileSync(file.path, 'here');
    assert.equal(file.status()?.size, 4);
    unlinkSync(file.path);
    assert.equal(file.status(), undefined);
    assert.equal(new NamedFile(join(folder, 'changed', 'below a file')).status(), undefined);
  });

  it('tells of an open file that has no name any more', () => {
    const path = join(folder, 'removed');
    const fd = openSync(path, 'w');
    unlinkSync(path);
    assert.equal(statusOfOpen(fd).links, 0);
    closeSync(fd);
  });

  it('fails as node:fs does', () => {
    assert.throws(() => new NamedFile(join(folder, 'x'.repeat(300))).status(), { code: 'ENAMETOOLONG', syscall: 'stat' });
    assert.throws(() => statusOfOpen(987_654), { code: 'EBADF', syscall: 'fstat' });
    assert.throws(() => new NamedFile(`${folder}\0more`).status(), RangeError);
  });
});
