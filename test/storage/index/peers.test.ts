// Two drivers share nothing but the files, as two processes do.
import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { unlimitedQuota } from '#storage/driver.js';
import type { Mailbox, MailboxView } from '#storage/mailbox.js';
import {
  addFlags,
  append,
  expunge,
  fill,
  flagged,
  never,
  nextCall,
  openView,
  rejectsWith,
  seen,
  sync,
  uidsOf,
} from '../../contract/world.js';
import { patienceMs } from '../../support/patience.js';
import { MaildirWorld } from '../maildir/world.js';

function stateOf(view: MailboxView): string[] {
  return Array.from({ length: view.count }, (_, index) => {
    const seq = index + 1;
    return `${view.uidAt(seq)} ${view.systemFlagsAt(seq) & 31} ${view.keywordsAt(seq).join('+')} ${view.modSeqAt(seq)} ${view.guidAt(seq)}`;
  });
}

/** Small numbers that repeat for the same seed. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >>> 8) % below;
  };
}

async function act(random: (below: number) => number, mailbox: Mailbox, view: MailboxView, other: Mailbox): Promise<void> {
  const choice = random(8);
  if (choice === 0 || view.count === 0) {
    await fill(mailbox, 1 + random(3));
    return;
  }
  const seq = 1 + random(view.count);
  if (view.isExpunged(seq)) await sync(view);
  else if (choice === 1) await addFlags(view, [seq], 1 << random(5), random(2) === 0 ? [`k${random(40)}`] : []);
  else if (choice === 2)
    await view.store(
      [seq],
      { mode: 'replace', flags: { system: random(8), keywords: [] }, unchangedSince: undefined },
      { silent: true },
      never,
    );
  else if (choice === 3) await expunge(view, [seq]);
  else if (choice === 4) await view.copy([seq], mailbox, never).catch(ignoreExpunged);
  else if (choice === 5) await view.move([seq], other, never).catch(ignoreExpunged);
  else await sync(view, random(3) > 0);
}

function ignoreExpunged(error: unknown): void {
  if (!(error instanceof Error) || Reflect.get(error, 'code') !== 'expunged') throw error;
}

for (const compactLogBytes of [500, 1_000_000]) {
  describe(`Two processes on one mailbox, the log compacted at ${compactLogBytes} octets`, () => {
    for (const seed of [1, 2, 3]) {
      it(`come to the same state after a random walk (${seed})`, async () => {
        await using world = await MaildirWorld.make({ compactLogBytes });
        await world.create('A');
        await world.create('B');
        const drivers = [world.driver, world.newDriver()];
        const random = randomNumbers(seed);
        const sides = await Promise.all(
          drivers.map(async (driver) => {
            const boxes = [await world.open('A', {}, driver), await world.open('B', {}, driver)] as const;
            const views = [await openView(boxes[0]), await openView(boxes[1])] as const;
            return { boxes, views };
          }),
        );
        for (let step = 0; step < 150; step += 1) {
          const side = sides[random(2)];
          const which = random(2) as 0 | 1;
          if (side === undefined) continue;
          await act(random, side.boxes[which], side.views[which], side.boxes[which === 0 ? 1 : 0]);
        }
        for (const which of [0, 1] as const) {
          for (const { views } of sides) await sync(views[which]);
          for (const { views } of sides) await sync(views[which]);
          const [mine, theirs] = sides.map(({ views }) => stateOf(views[which]));
          assert.deepEqual(mine, theirs);
        }
        await drivers[1]?.close();
        await world.restart();
        for (const [which, name] of ['A', 'B'].entries()) {
          const fresh = await openView(await world.open(name), true);
          assert.deepEqual(stateOf(fresh), stateOf(sides[0]?.views[which as 0 | 1] as MailboxView));
        }
      });
    }
  });
}

describe('Two processes on one mailbox', () => {
  it('know the sizes that were asked for, also when the index is replaced meanwhile', async () => {
    for (let turns = 0; turns < 12; turns++) {
      await using world = await MaildirWorld.make();
      // The size of one is in its name, that of the other has to be counted.
      const text = 'Subject: x\n\nx\n';
      const folder = await world.foreign('A', { 'cur/1.M1P1.a:2,': text });
      await using view = await openView(await world.open('A'));
      // Not part of the first state, which is written with what its names tell.
      await writeFile(join(folder, `new/2.M1P1.b,S=${text.length},W=${text.length + 3}`), text);
      await sync(view);
      const peer = world.newDriver({ compactLogBytes: 1 });
      await using other = await openView(await world.open('A', {}, peer));
      await using neighbour = await openView(await world.open('A'));
      for (let round = 0; round < 10; round++) await addFlags(other, [1], seen, [`k${round}`]);
      const sizes = view.prepare([1, 2], { size: true }, never).then(() => [view.sizeAt(1), view.sizeAt(2)]);
      for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
      await sync(neighbour);
      assert.deepEqual(await sizes, [text.length + 3, text.length + 3], `after ${turns} turns`);
      await peer.close();
    }
  });

  it('leave to an expunged message the flags that it had, also when its index is replaced', async () => {
    await using world = await MaildirWorld.make();
    const mine = await world.create('A');
    await fill(mine, 3);
    await using view = await openView(mine);
    await addFlags(view, [2], flagged, ['work']);
    await sync(view);
    const before = stateOf(view);
    const peer = world.newDriver({ compactLogBytes: 1 });
    const theirs = await world.open('A', {}, peer);
    await using other = await openView(theirs);
    await expunge(other, [2]);
    await sync(other);
    // Several snapshots later nothing of the message is left on disk.
    for (let round = 0; round < 3; round++) await addFlags(other, [1], seen, [`k${round}`]);
    await sync(view, false);
    assert.equal(view.count, 3);
    assert.ok(view.isExpunged(2));
    assert.deepEqual([view.systemFlagsAt(2) & 31, view.keywordsAt(2)], [flagged, ['work']]);
    assert.equal(view.uidAt(2), 2);
    assert.ok(view.modSeqAt(2) >= Number(before[1]?.split(' ')[3]));
    await sync(view);
    assert.deepEqual(uidsOf(view), [1, 3]);
    await peer.close();
  });

  it('see appends, flags and expunges of each other', async () => {
    await using world = await MaildirWorld.make();
    const mine = await world.create('A');
    const peer = world.newDriver();
    const theirs = await world.open('A', {}, peer);
    await using view = await openView(mine);
    await using other = await openView(theirs);
    await fill(mine, 3);
    assert.deepEqual(await sync(other), { expunged: [], flagsChanged: [], exists: 3, recent: 3, newKeywords: false });
    await addFlags(other, [2], flagged, ['$Junk']);
    await sync(view);
    assert.equal(view.systemFlagsAt(2) & flagged, flagged);
    assert.deepEqual(view.keywordsAt(2), ['$Junk']);
    await expunge(other, [1]);
    assert.deepEqual((await sync(view)).expunged, [{ seq: 1, uid: 1 }]);
    assert.equal(mine.highestModSeq, theirs.highestModSeq);
    await peer.close();
  });

  it('give the flags of one of two changes made at once, and report what they could not change', async () => {
    await using world = await MaildirWorld.make();
    const mine = await world.create('A');
    await fill(mine, 1);
    const peer = world.newDriver();
    const theirs = await world.open('A', {}, peer);
    await using view = await openView(mine);
    await using other = await openView(theirs);
    const before = view.modSeqAt(1);
    await addFlags(other, [1], seen);
    const change = { mode: 'add', flags: { system: flagged, keywords: [] }, unchangedSince: before } as const;
    assert.deepEqual((await view.store([1], change, { silent: false }, never)).modified, [1]);
    await peer.close();
  });

  it('wake an idle session of the other', async () => {
    await using world = await MaildirWorld.make();
    const mine = await world.create('A');
    const peer = world.newDriver();
    const theirs = await world.open('A', {}, peer);
    await using view = await openView(mine);
    const { called, stop } = nextCall((onChange) => view.watch(onChange));
    await append(theirs);
    await called;
    stop();
    assert.equal((await sync(view)).exists, 1);
    await peer.close();
  });

  it('do not wait for ever when a lock is held', async () => {
    await using world = await MaildirWorld.make({ lockTimeoutMs: 30 });
    const mailbox = await world.create('A');
    const { takeDotLock } = await import('#util/dot-lock.js');
    using _lock = await takeDotLock(`${world.paths('A').controlDir}/dovecot-uidlist`, { timeoutMs: 1000 });
    await rejectsWith(append(mailbox), 'in-use');
    assert.deepEqual(
      (await readdir(`${world.paths('A').mailDir}/tmp`)).filter((name) => !name.endsWith('.lock')),
      [],
    );
    assert.deepEqual(await readdir(`${world.paths('A').mailDir}/new`), []);
  });

  it('find the UIDs of the other when the index is not shared', async () => {
    await using world = await MaildirWorld.make();
    const mine = await world.create('A');
    const peer = world.newDriver();
    const apart = { ...world.paths('A'), indexDir: undefined };
    const theirs = await peer.open(
      apart,
      {
        name: 'A',
        quota: unlimitedQuota,
        isReadOnly: false,
        log: (await import('#log/logger.js')).silentLogger,
      },
      never,
    );
    await using view = await openView(mine);
    await using other = await openView(theirs);
    for (let round = 0; round < 5; round += 1) {
      await fill(mine, 2);
      await fill(theirs, 2);
    }
    // A file that came in the same clock tick as a change of our own is found at the recheck, about a second later.
    for (const untilMs = Date.now() + patienceMs; view.count + other.count < 40 && Date.now() < untilMs; ) {
      await sync(view);
      await sync(other);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    assert.deepEqual(uidsOf(view), uidsOf(other));
    assert.equal(view.count, 20);
    await peer.close();
  });
});
