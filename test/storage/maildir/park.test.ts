import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { describe, it } from 'node:test';
import { MaildirMailbox } from '#storage/maildir/mailbox.js';
import { addFlags, append, expunge, fill, flagged, never, nextCall, openView, seen, sync, uidsOf } from '../../contract/world.js';
import { MaildirWorld } from './world.js';

describe('A parked view', () => {
  it('gives the mailbox up and goes on where it was', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('box');
    assert.ok(mailbox instanceof MaildirMailbox);
    await fill(mailbox, 5);
    await using view = await openView(mailbox);
    await expunge(view, [3]);
    await sync(view);
    view.park();
    assert.equal(mailbox.box.isLoaded, false);
    assert.equal(view.count, 4);
    assert.deepEqual(uidsOf(view), [1, 2, 4, 5]);
    assert.deepEqual(await sync(view), { expunged: [], flagsChanged: [], exists: undefined, recent: undefined, newKeywords: false });
    assert.deepEqual(uidsOf(view), [1, 2, 4, 5]);
    await addFlags(view, [3], seen);
    assert.equal(view.systemFlagsAt(3) & seen, seen);
  });

  it('hears of what others did meanwhile', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('box');
    await fill(mailbox, 4);
    await using view = await openView(mailbox);
    const peer = world.newDriver();
    const theirs = await world.open('box', {}, peer);
    await using other = await openView(theirs);
    const { called, stop } = nextCall((onChange) => view.watch(onChange));
    view.park();
    await expunge(other, [2]);
    await addFlags(other, [4], flagged, ['new']);
    await append(theirs);
    await called;
    stop();
    const changes = await sync(view);
    assert.deepEqual(changes.expunged, [{ seq: 2, uid: 2 }]);
    assert.deepEqual(changes.flagsChanged, [3]);
    assert.equal(changes.exists, 4);
    assert.equal(changes.newKeywords, true);
    await peer.close();
  });

  it('leaves the mailbox to a session that still uses it', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('box');
    assert.ok(mailbox instanceof MaildirMailbox);
    await fill(mailbox, 2);
    await using parked = await openView(mailbox);
    await using active = await openView(mailbox);
    parked.park();
    assert.equal(mailbox.box.isLoaded, true);
    await expunge(active, [1]);
    await sync(active);
    assert.deepEqual((await sync(parked)).expunged, [{ seq: 1, uid: 1 }]);
    assert.deepEqual(uidsOf(parked), [2]);
  });

  it('leaves the snapshot as it is when nobody has read the cache', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('box');
    const text = `Subject: ${'x'.repeat(3000)}\r\n\r\nx\r\n`;
    for (let count = 0; count < 100; count += 1) await append(mailbox, text);
    const view = await openView(mailbox);
    const seqs = Array.from({ length: view.count }, (_, index) => index + 1);
    await view.prepare(seqs, { envelope: true, headers: ['subject'] }, never);
    view.park();
    await view[Symbol.asyncDispose]();
    await world.restart();
    const folder = world.paths('box').indexDir;
    assert.ok(statSync(`${folder}/roost.cache`).size > 256 * 1024);
    const { ino } = statSync(`${folder}/roost.index`);
    const again = await openView(await world.open('box'));
    again.park();
    assert.equal(statSync(`${folder}/roost.index`).ino, ino);
    await again[Symbol.asyncDispose]();
  });

  it('may be closed as it is', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('box');
    await fill(mailbox, 2);
    const view = await openView(mailbox);
    view.park();
    view.park();
    await view[Symbol.asyncDispose]();
    assert.equal((await openView(mailbox)).count, 2);
  });
});
