// A process that slept while its log was replaced more than once cannot follow from log to log.
import assert from 'node:assert/strict';
import { appendFileSync, closeSync, readFileSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { silentLogger } from '#log/logger.js';
import { loadIndex } from '#storage/index/load-index.js';
import { resetRecord, sealRecord, sizesRecord } from '#storage/index/log-record.js';
import type { MailboxIndex } from '#storage/index/mailbox-index.js';
import { onWrite } from '../../support/file-hooks.js';
import { message, withIndexFolder } from './opened-indexes.js';

function uidsOf(index: MailboxIndex): number[] {
  return [...index.state.columns.uid.subarray(0, index.state.columns.length)];
}

describe('A process whose index log was replaced', () => {
  for (const compactions of [1, 2, 5]) {
    it(`${compactions} times since it looked does not lose what it appends`, async () => {
      await withIndexFolder(async ({ open }) => {
        const sleeper = await open();
        const busy = await open();
        for (let count = 0; count < compactions; count += 1) {
          busy.append([message(2 + count)]);
          busy.compact();
        }
        const uid = 2 + compactions;
        sleeper.append([message(uid)]);
        const all = Array.from({ length: uid }, (_, index) => index + 1);
        assert.deepEqual(uidsOf(await open()), all, 'a process that opens the mailbox now');
        busy.catchUp();
        assert.deepEqual(uidsOf(busy), all, 'the process that replaced the log');
        await sleeper.reload();
        sleeper.catchUp();
        assert.deepEqual(uidsOf(sleeper), all, 'the process that slept');
        assert.equal(sleeper.state.highestModSeq, busy.state.highestModSeq);
      });
    });
  }

  for (const what of ['append', 'look'] as const) {
    it(`by one that is sealed in its turn does not write behind that seal (${what} first)`, async () => {
      await withIndexFolder(async ({ open, folder }) => {
        const sleeper = await open();
        const busy = await open();
        busy.compact();
        // Killed before it has made the next one.
        appendFileSync(join(folder, 'roost.index.log'), sealRecord(4711));
        if (what === 'look') sleeper.catchUp();
        sleeper.append([message(2)]);
        assert.deepEqual(uidsOf(await open()), [1, 2]);
        busy.catchUp();
        assert.deepEqual(uidsOf(busy), [1, 2]);
        assert.deepEqual(uidsOf(sleeper), [1, 2]);
        assert.equal(sleeper.state.highestModSeq, busy.state.highestModSeq);
      });
    });
  }

  it('twice while it takes the lock to replace it itself leaves the files of the others alone', async () => {
    await withIndexFolder(async ({ open, folder }) => {
      const slow = await open();
      const busy = await open();
      // Whoever sealed the log was killed before the renames, so that each of the two would finish the work.
      appendFileSync(join(folder, 'roost.index.log'), sealRecord(4711));
      onWrite(() => {
        onWrite(undefined);
        busy.append([message(2)]);
        busy.compact();
        busy.append([message(3)]);
      });
      try {
        slow.catchUp();
      } finally {
        onWrite(undefined);
      }
      assert.deepEqual(uidsOf(await open()), [1, 2, 3], 'a process that opens the mailbox now');
      busy.append([message(4)]);
      if (slow.needsReload) await slow.reload();
      slow.catchUp();
      assert.deepEqual(uidsOf(slow), [1, 2, 3, 4]);
      assert.equal(slow.state.highestModSeq, busy.state.highestModSeq);
    });
  });

  it('while it reads the files reads them again', async () => {
    await withIndexFolder(async ({ open, folder }) => {
      const busy = await open();
      for (let round = 0; round < 300; round += 1) {
        const loading = loadIndex(folder, { maxKeywordLength: 50, maxHistoryRanges: 100 }, silentLogger);
        let isLoaded = false;
        void loading.finally(() => {
          isLoaded = true;
        });
        for (let turn = 0; !isLoaded && turn < 3; turn += 1) {
          busy.compact();
          await new Promise((resolve) => setImmediate(resolve));
        }
        const loaded = await loading;
        assert.ok(loaded !== undefined, `round ${round}`);
        closeSync(loaded.fd);
        assert.equal(loaded.state.columns.length, 1);
      }
    });
  });

  it('appends again and again before it has read the new files', async () => {
    await withIndexFolder(async ({ open }) => {
      const sleeper = await open();
      const busy = await open();
      busy.compact();
      busy.compact();
      sleeper.append([message(2)]);
      sleeper.append([message(3)]);
      busy.catchUp();
      busy.compact();
      sleeper.append([message(4)]);
      busy.catchUp();
      assert.deepEqual(uidsOf(busy), [1, 2, 3, 4]);
      assert.deepEqual(uidsOf(await open()), [1, 2, 3, 4]);
      await sleeper.reload();
      assert.deepEqual(uidsOf(sleeper), [1, 2, 3, 4]);
    });
  });

  it('by one of another mailbox in the same place leaves that one alone', async () => {
    await withIndexFolder(async ({ open, folder }) => {
      const sleeper = await open();
      for (const name of ['roost.index', 'roost.index.log']) unlinkSync(join(folder, name));
      const other = await open();
      other.append([resetRecord(8, '1'.repeat(32)), message(1)]);
      await other.publish();
      const logOf = (): Buffer => readFileSync(join(folder, 'roost.index.log'));
      const log = logOf();
      sleeper.catchUp();
      assert.ok(sleeper.needsReload);
      sleeper.append([sizesRecord([{ uid: 1, size: 99, virtualSize: 99, internalDate: 1, saveDate: 1 }])]);
      assert.deepEqual(logOf(), log, 'what the old mailbox learned is not written to it');
      await sleeper.reload();
      assert.deepEqual(logOf(), log, 'its log is there still');
      assert.equal(sleeper.state.uidValidity, 7);
      sleeper.append([message(2)]);
      assert.deepEqual(uidsOf(sleeper), [1, 2]);
      assert.deepEqual(logOf(), log);
    });
  });
});
