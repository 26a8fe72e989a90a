// Processes that are the first to open a mailbox, all at the same moment.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { tryDotLock } from '#util/dot-lock.js';
import { MaildirWorld } from '../maildir/world.js';

describe('a mailbox without an index', () => {
  it('has one state of modseqs when a peer holds the index lock while it is opened', async () => {
    await using world = await MaildirWorld.make();
    await world.foreign('box', { 'cur/1.M1P1.host,S=3,W=3:2,': 'a\n\n' });
    const lock = tryDotLock(`${world.paths('box').indexDir}/roost.index`);
    assert.ok(lock);
    setTimeout(() => lock.release(), 20);
    const first = await world.open('box');
    await using other = { driver: world.newDriver(), [Symbol.asyncDispose]: () => other.driver.close() };
    const second = await world.open('box', {}, other.driver);
    assert.equal(second.highestModSeq, first.highestModSeq);
  });
});
