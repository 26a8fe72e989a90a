import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { cleanTmp, staleTmpMs } from '#storage/maildir/clean-tmp.js';

const day = 24 * 60 * 60 * 1000;

async function inTmp(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'roost-tmp-'));
  try {
    await writeFile(join(folder, 'left'), 'x');
    await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

describe('tmp/ of a Maildir', () => {
  it('is cleaned of what is 36 hours old, once a week', () =>
    inTmp(async (folder) => {
      // ctimes cannot be set, so the clock is.
      const later = Date.now() + 8 * day;
      assert.equal(await cleanTmp(folder, 7 * day, later), 1);
      await writeFile(join(folder, 'left'), 'x');
      assert.equal(await cleanTmp(folder, 7 * day, later + day), 0);
      assert.deepEqual(await readdir(folder), ['left']);
    }));

  it('is looked through as often as mail_temp_scan_interval says', () =>
    inTmp(async (folder) => {
      const later = Date.now() + 3 * day;
      assert.equal(await cleanTmp(folder, 0, later), 0);
      assert.equal(await cleanTmp(folder, 4 * day, later), 0);
      assert.equal(await cleanTmp(folder, 2 * day, later), 1);
    }));

  it('keeps what may still be written', () =>
    inTmp(async (folder) => {
      const old = (Date.now() - 8 * day) / 1000;
      await utimes(folder, old, old);
      assert.equal(await cleanTmp(folder, 7 * day, Date.now() + staleTmpMs - 60_000), 0);
      assert.deepEqual(await readdir(folder), ['left']);
    }));

  it('need not exist', async () => {
    assert.equal(await cleanTmp('/nonexistent/tmp'), 0);
  });
});
