// What is under way in a mailbox when its process ends (a client has left in the middle of a command).
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { silentLogger } from '#log/logger.js';
import { modSeqRecord } from '#storage/index/log-record.js';
import { MailboxIndex } from '#storage/index/mailbox-index.js';
import { takeDotLock } from '#util/dot-lock.js';
import { fill, never, openView, sync, uidsOf } from '../../contract/world.js';
import { MaildirWorld } from './world.js';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('A Maildir driver that is closed', () => {
  it('waits for who gives UIDs, and all messages keep theirs', async () => {
    await using world = await MaildirWorld.make();
    await fill(await world.create('A'), 3);
    const { mailDir } = world.paths('A');
    const view = await openView(await world.open('A'), false);
    const lock = await takeDotLock(join(mailDir, 'dovecot-uidlist'), { timeoutMs: 1_000 });
    await writeFile(join(mailDir, 'new', '1000000000.M1P1.host'), 'Subject: new\n\n');
    const synced = sync(view);
    let isClosed = false;
    const closed = world.restart().then(() => {
      isClosed = true;
    });
    for (let count = 0; count < 20; count += 1) await turn();
    assert.equal(isClosed, false);
    lock.release();
    // Its client has left: nothing is told of a mailbox that is not in memory any more.
    await assert.rejects(synced, { code: 'unavailable' });
    await closed;
    await using again = await openView(await world.open('A'), false);
    assert.deepEqual(uidsOf(again), [1, 2, 3, 4]);
  });

  it('is read again by who goes on', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('A');
    await fill(mailbox, 3);
    const view = await openView(mailbox, false);
    const { mailDir } = world.paths('A');
    await world.restart();
    await writeFile(join(mailDir, 'new', '1000000000.M1P1.host'), 'Subject: new\n\n');
    await view.sync({ allowExpunge: true }, never);
    await using again = await openView(await world.open('A'), false);
    assert.deepEqual(uidsOf(again), [1, 2, 3, 4]);
  });
});

describe('An index that is not in memory', () => {
  it('takes nothing: it knows none of the UIDs that were given', () => {
    const index = MailboxIndex.empty({ folder: '/nonexistent', log: silentLogger, maxKeywordLength: 50, maxHistoryRanges: 10 });
    assert.throws(() => index.append([modSeqRecord(1)]), { code: 'unavailable' });
  });
});
