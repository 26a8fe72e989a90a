import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { nativeRenames, type OpenFolderRenames, plainRenames } from '#storage/maildir/folder-renames.js';

const latin1Names = (folder: string): string[] => readdirSync(folder, { encoding: 'latin1' }).sort();

function inFolders(work: (from: string, to: string) => void): void {
  const root = mkdtempSync(join(tmpdir(), 'roost-renames-'));
  try {
    for (const name of ['from', 'to']) mkdirSync(join(root, name));
    work(join(root, 'from'), join(root, 'to'));
  } finally {
    rmSync(root, { recursive: true });
  }
}

for (const [kind, open] of [
  ['plain', plainRenames],
  ['native', nativeRenames],
] as const satisfies readonly (readonly [string, OpenFolderRenames])[]) {
  describe(`Renames (${kind})`, () => {
    it('stay in a folder or lead to another one, whatever octets are in the names', () =>
      inFolders((from, to) => {
        // The name is no UTF-8.
        for (const name of ['a', 'b'])
          writeFileSync(Buffer.concat([Buffer.from(`${from}/${name}`), Buffer.from('\xe9:2,', 'latin1')]), name);
        {
          using renames = open(from, from);
          renames.rename('a\xe9:2,', 'a\xe9:2,S');
        }
        {
          using renames = open(from, to);
          renames.rename('b\xe9:2,', 'b\xe9:2,FS');
          // A shorter name behind a longer one.
          renames.rename('a\xe9:2,S', 'c');
        }
        assert.deepEqual(latin1Names(from), []);
        assert.deepEqual(latin1Names(to), ['b\xe9:2,FS', 'c']);
        assert.equal(readFileSync(join(to, 'c'), 'latin1'), 'a');
      }));

    it('fail as renameSync does', () =>
      inFolders((from, to) => {
        using renames = open(from, to);
        assert.throws(() => renames.rename('none', 'other'), { code: 'ENOENT' });
        writeFileSync(join(from, 'file'), '');
        assert.throws(() => renames.rename('file', 'x'.repeat(300)), { code: 'ENAMETOOLONG' });
        assert.throws(() => renames.rename('file', 'x'.repeat(3000)), { code: 'ENAMETOOLONG' });
        mkdirSync(join(to, 'folder'));
        assert.throws(() => renames.rename('file', 'folder'), { code: 'EISDIR' });
        assert.deepEqual(latin1Names(from), ['file']);
      }));
  });
}

describe('Native renames', () => {
  it('say which folder cannot be opened, and leave no descriptor open', () =>
    inFolders((from, to) => {
      const before = readdirSync('/proc/self/fd').length;
      assert.throws(() => nativeRenames(join(from, 'none'), to), { code: 'ENOENT' });
      assert.throws(() => nativeRenames(from, join(to, 'none')), { code: 'ENOENT' });
      for (const target of [from, to]) nativeRenames(from, target)[Symbol.dispose]();
      assert.equal(readdirSync('/proc/self/fd').length, before);
    }));
});
