import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { FolderReader } from '#storage/list/folder-reader.js';

describe('Folders below a folder', () => {
  it('are the same object while only files come and go, and another when a folder does', async () => {
    const root = await mkdtemp(join(tmpdir(), 'roost-folders-'));
    try {
      await mkdir(join(root, '.a'));
      const reader = new FolderReader();
      const first = await reader.read(root);
      assert.deepEqual(first?.map(({ name }) => name).sort(), ['.a']);
      await writeFile(join(root, 'dovecot-uidlist.lock'), '');
      assert.equal(await reader.read(root), first);
      await mkdir(join(root, '.b'));
      assert.deepEqual((await reader.read(root))?.map(({ name }) => name).sort(), ['.a', '.b']);
      await rm(join(root, '.a'), { recursive: true });
      assert.deepEqual((await reader.read(root))?.map(({ name }) => name).sort(), ['.b']);
    } finally {
      await rm(root, { recursive: true });
    }
  });
});
