// A modseq that a process has told a client is that of the log: whatever is done to the files, it never tells another one.
import assert from 'node:assert/strict';
import { closeSync, existsSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { silentLogger } from '#log/logger.js';
import { IndexState } from '#storage/index/index-state.js';
import { FlagsRecordBuilder, modSeqRecord, sizesRecord } from '#storage/index/log-record.js';
import { MailboxIndex } from '#storage/index/mailbox-index.js';
import type { Mailbox, MailboxView } from '#storage/mailbox.js';
import { addFlags, addMessage, append, crlfMessage, fill, never, openView, seen, sync, uidsOf } from '../../contract/world.js';
import { onWrite } from '../../support/file-hooks.js';
import { MaildirWorld } from '../maildir/world.js';
import { type IndexFolder, message, withIndexFolder } from './opened-indexes.js';

function flags(uid: number, value: number): Buffer {
  const builder = new FlagsRecordBuilder(new IndexState({ maxKeywordLength: 50, maxHistoryRanges: 1 }, 0), 1);
  builder.add(uid, value, 0, 0, false);
  return builder.finish();
}

/** What a client may have been told: the modseq of each UID. */
function told(index: MailboxIndex): Map<number, number> {
  const { columns } = index.state;
  return new Map(Array.from({ length: columns.length }, (_, row) => [columns.uid[row] as number, columns.modSeq[row] as number]));
}

/** Two processes replace the log, one after the other, and number something in between. */
function replaceTwice(first: MailboxIndex, second: MailboxIndex, raise = 1000): void {
  for (const index of [first, second]) {
    index.catchUp();
    index.append([modSeqRecord(index.state.highestModSeq + raise)]);
    index.compact();
  }
}

/** Everybody has the same modseqs, and whoever was told some has heard nothing else of those messages. */
async function agree(world: IndexFolder, indexes: readonly MailboxIndex[], earlier: ReadonlyMap<number, number>): Promise<void> {
  const witness = told(await world.open());
  for (const [uid, modSeq] of earlier) assert.equal(witness.get(uid), modSeq, `modseq of UID ${uid}`);
  for (const index of indexes) {
    index.catchUp();
    while (index.needsReload) await index.reload();
    index.catchUp();
    assert.deepEqual(told(index), witness);
  }
}

describe('A process whose log has been replaced more often than it has looked', () => {
  it('applies nothing from behind the seal while it reads the new files', async () => {
    await withIndexFolder(async (world) => {
      const [sleeper, one, two] = [await world.open(), await world.open(), await world.open()];
      const log = openSync(join(world.folder, 'roost.index.log'), 'a');
      try {
        replaceTwice(one, two);
        // Of a process that had not seen the seal, and wrote to the next log once it had.
        writeSync(log, message(2));
      } finally {
        closeSync(log);
      }
      one.catchUp();
      await one.commit([message(2)]);
      sleeper.catchUp();
      assert.equal(sleeper.needsReload, true);
      const reading = sleeper.reload();
      // Another session of the process looks for news.
      sleeper.catchUp();
      const earlier = told(sleeper);
      await reading;
      await agree(world, [sleeper, one, two], earlier);
    });
  });

  it('numbers nothing that it adds by what it knew', async () => {
    await withIndexFolder(async (world) => {
      const [sleeper, one, two] = [await world.open(), await world.open(), await world.open()];
      replaceTwice(one, two);
      sleeper.append([message(2)]);
      sleeper.append([message(3)]);
      const earlier = told(sleeper);
      await agree(world, [sleeper, one, two], earlier);
      assert.deepEqual([...told(sleeper).keys()], [1, 2, 3]);
    });
  });

  it('knows facts that it adds at once', async () => {
    await withIndexFolder(async (world) => {
      const [sleeper, one, two] = [await world.open(), await world.open(), await world.open()];
      replaceTwice(one, two);
      sleeper.append([sizesRecord([{ uid: 1, size: 5, virtualSize: 6, internalDate: 7, saveDate: 8 }])]);
      assert.equal(sleeper.needsReload, true);
      assert.equal(sleeper.state.columns.virtualSize[0], 6);
      await sleeper.reload();
      assert.equal(sleeper.state.columns.virtualSize[0], 6);
    });
  });

  it('says of what it commits which modseq it has for all', async () => {
    await withIndexFolder(async (world) => {
      const [sleeper, one, two] = [await world.open(), await world.open(), await world.open()];
      // Twice more when it writes to the log that it has just read.
      let replacements = 2;
      onWrite(() => {
        if (replacements === 0) return;
        replacements -= 1;
        replaceTwice(one, two);
      });
      const applied = await sleeper.commit([message(2), flags(1, 1)]);
      onWrite(undefined);
      assert.equal(replacements, 0);
      const [added, changed] = applied.map((one) => (one.kind === 'changed' ? one.modSeq : 0));
      const earlier = told(sleeper);
      assert.deepEqual(
        [...earlier],
        [
          [1, changed],
          [2, added],
        ],
      );
      await agree(world, [sleeper, one, two], earlier);
    });
  });
});

describe('A process whose log was deleted', () => {
  for (const when of ['before', 'after'] as const) {
    it(`numbers nothing by it ${when} a peer has made another one`, async () => {
      await withIndexFolder(async (world) => {
        const [mine, theirs] = [await world.open(), await world.open()];
        unlinkSync(join(world.folder, 'roost.index.log'));
        if (when === 'after') await theirs.commit([message(2), modSeqRecord(theirs.state.highestModSeq + 50)]);
        mine.append([message(3)]);
        const earlier = told(mine);
        await agree(world, [mine, theirs], earlier);
        assert.ok(told(mine).has(3));
        const before = told(mine).get(1);
        await mine.commit([flags(1, 1)]);
        assert.ok((told(mine).get(1) ?? 0) > (before ?? 0));
        await agree(world, [mine, theirs], told(mine));
      });
    });
  }
});

describe('A session whose index is replaced twice while it changes something', () => {
  const changes: Readonly<Record<string, (view: MailboxView, mailbox: Mailbox) => Promise<unknown>>> = {
    'a flag': (view) => addFlags(view, [1], seen),
    'a keyword': (view) => addFlags(view, [1], 0, ['work']),
    'its messages by a copy': (view, mailbox) => view.copy([1], mailbox, never),
    'its messages by saving one': (_, mailbox) => append(mailbox),
    'its messages by a delivery': async (view, mailbox) => {
      await using transaction = mailbox.beginAppend('deliver');
      await addMessage(transaction, crlfMessage);
      await transaction.commit(never);
      await sync(view);
    },
  };
  for (const [what, change] of Object.entries(changes)) {
    it(`is told of ${what} what all others are`, async () => {
      await using world = await MaildirWorld.make();
      const mailbox = await world.create('box');
      await fill(mailbox, 2);
      await using view = await openView(mailbox);
      const options = { folder: world.paths('box').mailDir, maxKeywordLength: 50, maxHistoryRanges: 100, log: silentLogger };
      const [one, two] = [await MailboxIndex.open(options), await MailboxIndex.open(options)];
      const modSeqs = (of: MailboxView): string[] => uidsOf(of).map((uid, index) => `${uid} ${of.modSeqAt(index + 1)}`);
      try {
        const start = modSeqs(view);
        let left = 3;
        onWrite(() => {
          if (left === 0 || existsSync(`${options.folder}/roost.index.lock`)) return;
          left -= 1;
          replaceTwice(one, two);
        });
        await change(view, mailbox);
        onWrite(undefined);
        const before = modSeqs(view);
        await sync(view);
        const after = modSeqs(view);
        // The last change may still be news.
        for (const modSeq of before) assert.ok(start.includes(modSeq) || after.includes(modSeq), `${modSeq} is not of ${after.join()}`);
        await using peer = { driver: world.newDriver(), [Symbol.asyncDispose]: () => peer.driver.close() };
        assert.deepEqual(modSeqs(await openView(await world.open('box', {}, peer.driver), true)), after);
      } finally {
        onWrite(undefined);
        one.close();
        two.close();
      }
    });
  }
});
