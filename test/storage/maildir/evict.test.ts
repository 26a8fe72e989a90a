// Mailboxes whose memory goes to others while they are being opened.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fill, never, openView, sync, uidsOf } from '../../contract/world.js';
import { MaildirWorld } from './world.js';

describe('Mailboxes of a process that keeps one idle mailbox in memory', () => {
  it('are whole whenever they are opened, asked for or gone back to, many at once', async () => {
    await using world = await MaildirWorld.make({ idleMailboxes: 1 });
    const names = ['A', 'B', 'C', 'D'];
    for (const [index, name] of names.entries()) await fill(await world.create(name), index + 1);
    await world.restart();
    const boxes = await Promise.all(names.map((name) => world.open(name)));
    const validities = boxes.map(({ uidValidity }) => uidValidity);
    const work = async (turn: number): Promise<void> => {
      const index = turn % names.length;
      const mailbox = turn % 3 === 0 ? await world.open(names[index] as string) : (boxes[index] as (typeof boxes)[number]);
      if (turn % 5 === 0) {
        const status = await mailbox.status({ size: turn % 2 === 0 }, never);
        assert.deepEqual([status.messages, status.uidValidity], [index + 1, validities[index]]);
        return;
      }
      await using view = await openView(mailbox, turn % 2 === 0);
      assert.deepEqual([view.count, view.mailbox.uidValidity], [index + 1, validities[index]]);
      view.park();
      // Others may take the memory now.
      if (turn % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
      assert.deepEqual((await sync(view)).expunged, []);
      assert.equal(uidsOf(view).length, index + 1);
    };
    for (let round = 0; round < 20; round += 1) await Promise.all(Array.from({ length: 24 }, (_, turn) => work(round * 7 + turn)));
  });
});
