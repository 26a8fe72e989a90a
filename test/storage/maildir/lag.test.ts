// When the folder of a mailbox is looked at, and when it is not.
import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { silentLogger } from '#log/logger.js';
import { unlimitedQuota } from '#storage/driver.js';
import { MaildirMailboxBase } from '#storage/maildir/mailbox-base.js';
import { addFlags, addMessage, crlfMessage, fill, flagged, never, openView, sync, uidsOf } from '../../contract/world.js';
import { patienceMs } from '../../support/patience.js';
import { MaildirWorld } from './world.js';

const lagging = { allowExpunge: true, mayLag: true } as const;

describe('A sync that may lag', () => {
  it('finds what another program delivered within two seconds', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('A');
    await using view = await openView(mailbox);
    await sync(view);
    await writeFile(join(world.paths('A').mailDir, 'new', '1700000001.M1P1.h'), crlfMessage);
    const startedAt = Date.now();
    while (view.count === 0) {
      assert.ok(Date.now() - startedAt < patienceMs, 'never found');
      await view.sync(lagging, never);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.deepEqual(uidsOf(view), [1]);
  });

  it('sees at once what sessions of other processes did', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('A');
    await fill(mailbox, 2);
    const peer = world.newDriver();
    await using view = await openView(mailbox);
    await using other = await openView(await world.open('A', {}, peer));
    await sync(view);
    await addFlags(other, [2], flagged);
    assert.deepEqual((await view.sync(lagging, never)).flagsChanged, [2]);
    await fill(await world.open('A', {}, peer), 1);
    assert.equal((await view.sync(lagging, never)).exists, 3);
    await peer.close();
  });
});

describe('Delivery', () => {
  const deliver = async (world: MaildirWorld): Promise<void> => {
    const mailbox = await world.driver.open(
      world.paths('A'),
      { name: 'A', quota: unlimitedQuota, isReadOnly: false, isForDelivery: true, log: silentLogger },
      never,
    );
    await using transaction = mailbox.beginAppend('deliver');
    await addMessage(transaction, crlfMessage);
    await transaction.commit(never);
  };

  it('reads no index and makes none', async () => {
    await using world = await MaildirWorld.make();
    await world.driver.create(world.paths('A'), { isMaildirFolder: true }, never);
    const { mailDir } = world.paths('A');
    await deliver(world);
    assert.equal(existsSync(join(mailDir, 'roost.index')), false);
    await using view = await openView(await world.open('A'));
    assert.deepEqual(uidsOf(view), [1]);
  });

  it('is seen at once by a sync that may lag, in the same process', async () => {
    await using world = await MaildirWorld.make();
    await using view = await openView(await world.create('A'));
    await sync(view);
    await deliver(world);
    assert.equal((await view.sync(lagging, never)).exists, 1);
  });
});

describe('A change that may hide another', () => {
  it('is looked behind soon, however long a busy machine took for the last look', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('A');
    assert.ok(mailbox instanceof MaildirMailboxBase);
    await fill(mailbox, 2);
    const { box } = mailbox;
    box.lastScanMs = 60_000;
    const stamps = box.trackedChange(box.state.stamps, () => writeFileSync(join(box.newDir, '1700000002.M1P1.h'), crlfMessage));
    assert.ok(stamps.newRecheckAtMs > Date.now());
    assert.ok(stamps.newRecheckAtMs < Date.now() + 2_500, `${stamps.newRecheckAtMs - Date.now()} ms from now`);
  });
});

describe('Opening a mailbox whose folder is due for another look', () => {
  it('raises no modseq when nothing has changed', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('A');
    await fill(mailbox, 2);
    const { highestModSeq } = mailbox;
    assert.ok(mailbox instanceof MaildirMailboxBase);
    // What was noted while the last change might have hidden another one.
    mailbox.box.index.append([mailbox.box.stampsRecordFor({ ...mailbox.box.state.stamps, newRecheckAtMs: 1, curRecheckAtMs: 1 })]);
    await world.restart();
    assert.equal((await world.open('A')).highestModSeq, highestModSeq);
  });
});
