// A mailbox that is renamed by another process, and another one in its place.
import assert from 'node:assert/strict';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { StorageError } from '#storage/errors.js';
import { addFlags, fill, flagged, never, openView, rejectsWith, sync, uidsOf } from '../../contract/world.js';
import { makeStore } from '../support/store-world.js';
import { MaildirWorld } from './world.js';

describe('A mailbox that another process renames', () => {
  for (const isReplaced of [false, true]) {
    it(`is gone for its session and keeps everything under its new name${isReplaced ? ', whatever takes its place' : ''}`, async () => {
      await using world = await MaildirWorld.make();
      const peer = world.newDriver();
      await fill(await world.create('A'), 3);
      const mine = await world.open('A', {}, peer);
      await using view = await openView(mine);
      await addFlags(view, [2], flagged, ['strange-keyword']);
      const modSeqs = [1, 2, 3].map((seq) => view.modSeqAt(seq));
      const { uidValidity, guid } = mine;
      await world.rename('A', 'B');
      if (isReplaced) await fill(await world.create('A'), 1);

      await rejectsWith(sync(view), 'not-found');
      await rejectsWith(addFlags(view, [1], flagged), 'not-found');
      await rejectsWith(view.copy([1], mine, never), 'not-found');
      if (isReplaced) await rejectsWith(fill(mine, 1), 'not-found');

      await world.restart();
      const renamed = await world.open('B');
      await using after = await openView(renamed);
      assert.deepEqual([renamed.uidValidity, renamed.guid], [uidValidity, guid]);
      assert.deepEqual(uidsOf(after), [1, 2, 3]);
      assert.deepEqual(
        [1, 2, 3].map((seq) => after.modSeqAt(seq)),
        modSeqs,
      );
      assert.equal(after.systemFlagsAt(2) & flagged, flagged);
      assert.deepEqual(after.keywordsAt(2), ['strange-keyword']);
      if (!isReplaced) return;
      // What took its place is opened as itself, by the process that knew the other one, too.
      const other = await world.open('A', {}, peer);
      assert.notEqual(other.uidValidity, uidValidity);
      await using otherView = await openView(other);
      assert.deepEqual(uidsOf(otherView), [1]);
      await peer.close();
    });
  }

  it('is not taken for the one in its place where nobody has it selected', async () => {
    await using world = await MaildirWorld.make();
    const peer = world.newDriver();
    await fill(await world.create('A'), 3);
    const known = await world.open('A', {}, peer);
    assert.equal((await known.status({ size: false }, never)).messages, 3);
    await world.rename('A', 'B');
    await fill(await world.create('A'), 1);
    const status = await (await world.open('A', {}, peer)).status({ size: false }, never);
    assert.equal(status.messages, 1);
    assert.notEqual(status.uidValidity, known.uidValidity);
    assert.equal((await (await world.open('B', {}, peer)).status({ size: false }, never)).messages, 3);
    await peer.close();
  });
});

/** At which moment of the opening, in turns of the event loop. */
const moments = Array.from({ length: 24 }, (_, turns) => turns);

async function turnsLater(turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
}

describe('A mailbox that is being opened for the first time', () => {
  for (const [verb, end] of [
    ['renamed', (world: MaildirWorld) => world.rename('A', 'B')],
    ['deleted', (world: MaildirWorld) => world.delete('A')],
  ] as const) {
    for (const isPeer of [false, true]) {
      it(`leaves no folder behind when it is ${verb} meanwhile by ${isPeer ? 'another' : 'the same'} process`, async () => {
        for (const turns of moments) {
          await using world = await MaildirWorld.make();
          await world.create('A');
          await world.restart();
          const peer = isPeer ? world.newDriver() : undefined;
          const opening = world
            .open('A', {}, peer)
            .then((mailbox) => mailbox.status({ size: false }, never))
            .catch((error: unknown) => assert.ok(error instanceof StorageError, String(error)));
          await turnsLater(turns);
          await end(world);
          await opening;
          await peer?.close();
          assert.ok(!existsSync(join(world.paths('A').mailDir, 'roost.index')), `after ${turns} turns`);
        }
      });
    }
  }
});

describe('Deleting a mailbox', () => {
  it('succeeds while another process puts files into its folder', async (test) => {
    const world = makeStore(test, 'mail_location = maildir:~/Maildir\nnamespace inbox {\n  inbox = yes\n}\n');
    await using user = await world.open();
    for (let round = 0; round < 10; round++) {
      await user.create('A', { specialUse: [] }, never);
      const folder = join(world.folder, 'home', 'bob', 'Maildir', '.A');
      let written = 0;
      const write = (): void => {
        // Where the folder is gone there is nothing left to write.
        if (!existsSync(folder)) return;
        written += 1;
        writeFileSync(join(folder, `roost.index.${written}`), '');
        if (written < 120) setImmediate(write);
      };
      write();
      await user.delete('A', never);
      assert.ok(written > 0 && !existsSync(folder));
    }
  });
});

describe('A mailbox that is renamed while it is selected', () => {
  for (const isReplaced of [false, true]) {
    it(`makes its index anew where it is now${isReplaced ? ', not where another one has taken its place' : ''}`, async () => {
      await using world = await MaildirWorld.make({ compactLogBytes: 64 });
      const mailbox = await world.create('A');
      await fill(mailbox, 3);
      const view = await openView(mailbox);
      await world.rename('A', 'B');
      const other = isReplaced ? await world.create('A') : undefined;
      if (other !== undefined) await fill(other, 1);
      // The number of a file that was removed is given to the next one.
      const madeAt = (): bigint => statSync(`${world.paths('B').mailDir}/roost.index`, { bigint: true }).ctimeNs;
      const before = madeAt();
      for (let turn = 0; turn < 20; turn += 1) await addFlags(view, [1, 2, 3], 0, [`keyword${turn}`]);
      assert.notEqual(madeAt(), before);
      const modSeqs = [1, 2, 3].map((seq) => view.modSeqAt(seq));
      const { guid } = mailbox;
      const otherGuid = other?.guid;
      await view[Symbol.asyncDispose]();

      await world.restart();
      const renamed = await world.open('B');
      await using after = await openView(renamed);
      assert.equal(renamed.guid, guid);
      assert.deepEqual(
        [1, 2, 3].map((seq) => after.modSeqAt(seq)),
        modSeqs,
      );
      if (!isReplaced) return;
      const inItsPlace = await world.open('A');
      assert.equal(inItsPlace.guid, otherGuid);
      await using otherView = await openView(inItsPlace);
      assert.deepEqual(uidsOf(otherView), [1]);
    });
  }
});
