import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { QuotaGuard } from '#storage/driver.js';
import { StorageError } from '#storage/errors.js';
import {
  append,
  contentOf,
  crlfMessage,
  expunge,
  fill,
  flagged,
  flagsAt,
  type MakeWorld,
  never,
  openView,
  recent,
  rejectsWith,
  seen,
  sync,
  uidsOf,
} from './world.js';

const full: QuotaGuard = {
  beginSave: () => ({
    reserve: async () => {
      throw new StorageError('over-quota', 'full');
    },
    settle: async () => undefined,
    commit: () => undefined,
    [Symbol.dispose]: () => undefined,
  }),
  changed: () => undefined,
};

export function copyContract(makeWorld: MakeWorld): void {
  for (const verb of ['copy', 'move'] as const) {
    describe(verb, () => {
      it('keeps content, flags, keywords, date and id, and pairs the UIDs', async () => {
        await using world = await makeWorld();
        const source = await world.create('source');
        const target = await world.create('target');
        await fill(target, 2);
        const dateMs = Date.UTC(1999, 11, 31, 23, 59, 58);
        await fill(source, 2);
        await append(source, 'Subject: this\r\n\r\n', { flags: seen | flagged, keywords: ['Blue'], dateMs });
        await using view = await openView(source);
        const guid = view.guidAt(3);
        assert.deepEqual(await view[verb]([1, 3], target, never), {
          uidValidity: target.uidValidity,
          sourceUids: [1, 3],
          targetUids: [3, 4],
        });
        await using copies = await openView(target);
        assert.equal(flagsAt(copies, 4), seen | flagged);
        assert.deepEqual(copies.keywordsAt(4), ['Blue']);
        assert.equal(copies.guidAt(4), guid);
        assert.equal(copies.systemFlagsAt(4) & recent, recent);
        await copies.prepare([4], { internalDate: true, saveDate: true }, never);
        assert.equal(copies.internalDateAt(4), dateMs);
        assert.ok(Math.abs(copies.saveDateAt(4) - Date.now()) < 60_000);
        assert.equal((await contentOf(copies, 4)).toString('latin1'), 'Subject: this\r\n\r\n');
        assert.equal((await contentOf(copies, 3)).toString('latin1'), 'Subject: number 1\r\n\r\nBody of 1\r\n');
      });

      it('into the same mailbox makes new messages', async () => {
        await using world = await makeWorld();
        const mailbox = await world.create('box');
        await fill(mailbox, 2);
        await using view = await openView(mailbox);
        assert.deepEqual((await view[verb]([2], mailbox, never)).targetUids, [3]);
        await sync(view);
        assert.deepEqual(uidsOf(view), verb === 'copy' ? [1, 2, 3] : [1, 3]);
      });

      it('of nothing does nothing', async () => {
        await using world = await makeWorld();
        const mailbox = await world.create('box');
        const target = await world.create('target');
        await using view = await openView(mailbox);
        assert.deepEqual(await view[verb]([], target, never), { uidValidity: target.uidValidity, sourceUids: [], targetUids: [] });
      });

      it('is all or nothing when one message is gone', async () => {
        await using world = await makeWorld();
        const source = await world.create('source');
        const target = await world.create('target');
        await fill(source, 3);
        await using actor = await openView(source);
        await using view = await openView(source);
        await expunge(actor, [2]);
        if (verb === 'move' && world.hasPeers === true) {
          // The view does not know yet.
          const { targetUids } = await view.move([1, 2, 3], target, never);
          assert.equal(targetUids.length, 2);
          return;
        }
        await rejectsWith(view[verb]([1, 2, 3], target, never), 'expunged');
        assert.equal((await target.status({ size: false }, never)).messages, 0);
        assert.equal((await source.status({ size: false }, never)).messages, 2);
      });

      it('is all or nothing when the target is full', async () => {
        await using world = await makeWorld();
        const source = await world.create('source');
        const target = await world.create('target', { quota: full });
        await fill(source, 2);
        await using view = await openView(source);
        await rejectsWith(view[verb]([1, 2], target, never), 'over-quota');
        assert.equal((await target.status({ size: false }, never)).messages, 0);
        assert.equal((await source.status({ size: false }, never)).messages, 2);
      });

      it('into a read-only mailbox is refused', async () => {
        await using world = await makeWorld();
        const source = await world.create('source');
        await world.create('target');
        const target = await world.open('target', { isReadOnly: true });
        await fill(source, 1);
        await using view = await openView(source);
        await rejectsWith(view[verb]([1], target, never), 'read-only');
      });

      it('into a deleted mailbox is refused', async () => {
        await using world = await makeWorld();
        const source = await world.create('source');
        const target = await world.create('target');
        await fill(source, 1);
        await using view = await openView(source);
        await world.delete('target');
        await rejectsWith(view[verb]([1], target, never), 'not-found');
        assert.equal((await source.status({ size: false }, never)).messages, 1);
      });

      it('drops keywords that the target can not create', async () => {
        await using world = await makeWorld();
        const source = await world.create('source');
        const target = await world.create('target');
        let created = 0;
        while (target.canCreateKeywords && created < 10_000) {
          const batch = Array.from({ length: 50 }, (_, index) => `k${created + index}`);
          await append(target, crlfMessage, { keywords: batch }).catch(() => append(target, crlfMessage, { keywords: batch.slice(0, 1) }));
          created = target.keywords.length;
        }
        await append(source, crlfMessage, { flags: flagged, keywords: ['other', 'K1'] });
        await using view = await openView(source);
        const { targetUids } = await view[verb]([1], target, never);
        await using copies = await openView(target);
        const seq = copies.seqOf(targetUids[0] ?? 0);
        assert.equal(flagsAt(copies, seq), flagged);
        assert.deepEqual(copies.keywordsAt(seq), ['k1']);
      });
    });
  }

  describe('move', () => {
    it('takes the messages away at the next sync', async () => {
      await using world = await makeWorld();
      const source = await world.create('source');
      const target = await world.create('target');
      await fill(source, 3);
      await using view = await openView(source);
      await view.move([1, 2], target, never);
      assert.deepEqual(uidsOf(view), [1, 2, 3]);
      const changes = await sync(view);
      assert.deepEqual(changes.expunged.map(({ uid }) => uid).sort(), [1, 2]);
      assert.deepEqual(uidsOf(view), [3]);
      assert.equal(view.mailbox.uidNext, 4);
    });

    it('needs no room when both mailboxes count into one full account', async () => {
      await using world = await makeWorld();
      const quota: QuotaGuard = { ...full, sharesUsageWith: () => true };
      const source = await world.create('source');
      const target = await world.create('target', { quota });
      await fill(source, 1);
      await using view = await openView(source);
      assert.deepEqual((await view.move([1], target, never)).targetUids, [1]);
    });
  });
}
