import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { nextUidValidity } from '#storage/maildir/uid-validity.js';

async function inFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'roost-validity-'));
  try {
    await work(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('UIDVALIDITY of new mailboxes', () => {
  it('begins with the clock, and grows by one from then on, whatever the clock says', () =>
    inFolder(async (folder) => {
      assert.deepEqual(
        [await nextUidValidity(folder, 5_000), await nextUidValidity(folder, 1_000), await nextUidValidity(folder, 9_000)],
        [5, 6, 7],
      );
      assert.equal(readFileSync(join(folder, 'dovecot-uidvalidity'), 'latin1'), '00000007');
      assert.deepEqual(readdirSync(folder).sort(), ['dovecot-uidvalidity', 'dovecot-uidvalidity.00000007']);
    }));

  it('is given once, also where several make the first mailboxes of an account at once', async () => {
    for (let round = 0; round < 100; round += 1) {
      await inFolder(async (folder) => {
        const values = await Promise.all(Array.from({ length: 24 }, () => nextUidValidity(folder, 5_000)));
        assert.equal(new Set(values).size, values.length, values.join(' '));
        assert.deepEqual(
          readdirSync(folder).filter((name) => name.endsWith('.tmp')),
          [],
        );
      });
    }
  });
});
