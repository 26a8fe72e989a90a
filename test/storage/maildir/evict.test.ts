// Mailboxes whose memory goes to others while they are being opened.
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
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

  it('keep it until their sizes are counted', async () => {
    await using world = await MaildirWorld.make({ idleMailboxes: 1 });
    await world.create('A');
    await world.create('B');
    await world.create('C');
    const { mailDir } = world.paths('A');
    const text = 'Subject: without its size in the name\n\n';
    for (let number = 1; number <= 60; number += 1) writeFileSync(join(mailDir, 'cur', `17000000${number}.M1P1.host:2,`), text);
    for (let round = 0; round < 5; round += 1) {
      await world.restart();
      rmSync(join(mailDir, 'roost.index'));
      const mailbox = await world.open('A');
      let isCounted = false;
      const status = mailbox.status({ size: true }, never).finally(() => {
        isCounted = true;
      });
      while (!isCounted) for (const name of ['B', 'C']) await world.open(name);
      assert.deepEqual([(await status).messages, (await status).size], [60, 60 * (text.length + 2)]);
    }
  });
});
