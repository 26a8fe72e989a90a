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

  test('stop for a second after one that was slow', () => {
    const times = [0, 3, 500, 1003, 1003.1, 1003.2, 1003.3];
    const reads = new QuickReads(() => times.shift() ?? 2000);
    assert.equal(reads.read(path, 5)?.toString(), 'hello');
    assert.equal(reads.read(path, 5), undefined);
    assert.equal(reads.read(path, 5)?.toString(), 'hello');
    assert.equal(reads.read(path, 5)?.toString(), 'hello');
  });
});
