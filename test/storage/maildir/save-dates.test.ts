// RFC 8514 3 for messages that no session has saved.
import assert from 'node:assert/strict';
import { utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { MailboxDriver } from '#storage/driver.js';
import { never, openView } from '../../contract/world.js';
import { MaildirWorld } from './world.js';

const now = (): number => Math.floor(Date.now() / 1000);
const hour = 3600;

function deliver(world: MaildirWorld, seconds: number, folder = 'new'): void {
  const suffix = folder === 'cur' ? ':2,S' : '';
  writeFileSync(join(world.paths('box').mailDir, folder, `${seconds}.M1P1.outside${suffix}`), 'Subject: x\n\n');
}

/** A mailbox that was last looked at when it had last changed, an hour ago. */
async function knownMailbox(count: number): Promise<MaildirWorld> {
  const world = await MaildirWorld.make();
  const mailDir = await world.foreign('box', {});
  for (let number = 0; number < count; number++) deliver(world, now() - 2 * hour + number, 'cur');
  for (const folder of ['cur', 'new']) utimesSync(join(mailDir, folder), now() - hour, now() - hour);
  await (await openView(await world.open('box')))[Symbol.asyncDispose]();
  await world.restart();
  return world;
}

async function saveDateOfLast(world: MaildirWorld, driver?: MailboxDriver): Promise<number> {
  await using view = await openView(await world.open('box', {}, driver));
  assert.deepEqual(await view.prepare([view.count], { saveDate: true }, never), []);
  return view.saveDateAt(view.count) / 1000;
}

describe('The date of saving of a delivered message', () => {
  for (const count of [0, 2]) {
    for (const folder of ['new', 'cur']) {
      it(`is the second that its name in ${folder}/ tells, when the mailbox had ${count} messages and nobody had looked since`, async () => {
        await using world = await knownMailbox(count);
        const delivered = now() - hour / 2;
        deliver(world, delivered, folder);
        assert.equal(await saveDateOfLast(world), delivered);
        await world.restart();
        assert.equal(await saveDateOfLast(world), delivered);
        // As another process learns it from the index.
        const peer = world.newDriver();
        assert.equal(await saveDateOfLast(world, peer), delivered);
        await peer.close();
      });
    }
  }

  for (const [what, offset] of [
    ['older than the last change that was seen: the file came from elsewhere', -2 * hour],
    ['in the future', hour],
  ] as const) {
    it(`is that of the first look when its name is ${what}`, async () => {
      await using world = await knownMailbox(1);
      const before = now();
      deliver(world, before + offset);
      const saved = await saveDateOfLast(world);
      assert.ok(saved >= before && saved <= now(), `${saved} is not between ${before} and ${now()}`);
    });
  }

  it('is not before somebody looked and it was not there', async () => {
    await using world = await knownMailbox(1);
    const before = now();
    await using view = await openView(await world.open('box'));
    deliver(world, before - hour / 2);
    await view.sync({ allowExpunge: true }, never);
    await view.prepare([2], { saveDate: true }, never);
    assert.ok(view.saveDateAt(2) / 1000 >= before);
  });

  it('is that of the file when the index knows nothing', async () => {
    await using world = await MaildirWorld.make();
    await world.foreign('box', {});
    const before = now();
    deliver(world, before - hour);
    const saved = await saveDateOfLast(world);
    assert.ok(saved >= before && saved <= now());
  });
});
