import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { QuotaGuard } from '#storage/driver.js';
import { StorageError } from '#storage/errors.js';
import {
  addMessage,
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

/** Counts as a backend would; `limitBytes` is enforced. */
function countingQuota(limitBytes: number): QuotaGuard & { bytes: number; messages: number } {
  return {
    bytes: 0,
    messages: 0,
    beginSave() {
      return {
        reserve: async (bytes) => {
          if (this.bytes + bytes > limitBytes) throw new StorageError('over-quota', 'full', { clientText: 'Quota exceeded' });
        },
        settle: async () => undefined,
        commit: (bytes, messages) => this.changed(bytes, messages),
        [Symbol.dispose]: () => undefined,
      };
    },
    changed(bytes, messages) {
      this.bytes += bytes;
      this.messages += messages;
    },
  };
}

export function appendContract(makeWorld: MakeWorld): void {
  describe('append', () => {
    it('keeps flags, keywords and date, and tells the UID', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      const dateMs = Date.UTC(2003, 1, 4, 5, 6, 7);
      const before = mailbox.highestModSeq;
      await using transaction = mailbox.beginAppend('append');
      await addMessage(transaction, crlfMessage, { flags: seen | flagged | recent, keywords: ['$Forwarded'], dateMs });
      assert.deepEqual(await transaction.commit(never), { uidValidity: mailbox.uidValidity, uids: [1] });
      await using view = await openView(mailbox);
      assert.equal(flagsAt(view, 1), seen | flagged);
      assert.deepEqual(view.keywordsAt(1), ['$Forwarded']);
      assert.deepEqual(await view.prepare([1], { internalDate: true, size: true, saveDate: true }, never), []);
      assert.equal(view.internalDateAt(1), dateMs);
      assert.ok(Math.abs(view.saveDateAt(1) - Date.now()) < 60_000);
      assert.equal(view.sizeAt(1), crlfMessage.length);
      assert.ok(view.modSeqAt(1) > before || view.modSeqAt(1) === mailbox.highestModSeq);
    });

    it('dates a message now when told nothing', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await append(mailbox);
      await using view = await openView(mailbox);
      await view.prepare([1], { internalDate: true }, never);
      assert.ok(Math.abs(view.internalDateAt(1) - Date.now()) < 60_000);
    });

    it('gives contiguous UIDs to the messages of one transaction, in their order', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      assert.deepEqual(
        await fill(mailbox, 20),
        Array.from({ length: 20 }, (_, index) => index + 1),
      );
      await using view = await openView(mailbox);
      for (const seq of [1, 7, 20]) assert.ok((await contentOf(view, seq)).toString('latin1').startsWith(`Subject: number ${seq}\r\n`));
    });

    it('shows nothing before the commit', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await using view = await openView(mailbox);
      await using transaction = mailbox.beginAppend('append');
      await addMessage(transaction, crlfMessage);
      assert.equal((await sync(view)).exists, undefined);
      assert.equal((await mailbox.status({ size: false }, never)).messages, 0);
      await transaction.commit(never);
      assert.equal((await sync(view)).exists, 1);
    });

    it('leaves nothing when aborted or disposed of', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      const aborted = mailbox.beginAppend('append');
      await addMessage(aborted, crlfMessage);
      await aborted.abort();
      await aborted.abort();
      {
        await using disposed = mailbox.beginAppend('append');
        const writer = await disposed.add(
          { flags: { system: 0, keywords: [] }, internalDateMs: undefined, expectedBytes: undefined },
          never,
        );
        await writer.write(Buffer.from('half a mess'));
      }
      await using view = await openView(mailbox);
      assert.equal(view.count, 0);
      assert.equal(mailbox.uidNext, 1);
    });

    it('keeps what was committed when aborted or disposed of later', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      const transaction = mailbox.beginAppend('append');
      await addMessage(transaction, crlfMessage);
      await transaction.commit(never);
      await transaction.abort();
      await transaction[Symbol.asyncDispose]();
      assert.equal((await mailbox.status({ size: false }, never)).messages, 1);
    });

    it('of no message is nothing', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      const before = mailbox.highestModSeq;
      assert.deepEqual(await mailbox.beginAppend('append').commit(never), { uidValidity: mailbox.uidValidity, uids: [] });
      assert.equal(mailbox.highestModSeq, before);
    });

    it('refuses a second message before the first has ended, and a commit', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      const options = { flags: { system: 0, keywords: [] }, internalDateMs: undefined, expectedBytes: undefined };
      await using one = mailbox.beginAppend('append');
      await one.add(options, never);
      await rejectsWith(one.add(options, never), 'cannot');
      await using two = mailbox.beginAppend('append');
      await two.add(options, never);
      await rejectsWith(two.commit(never), 'cannot');
      assert.equal((await mailbox.status({ size: false }, never)).messages, 0);
    });

    it('interleaves with other transactions', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await using one = mailbox.beginAppend('append');
      await using two = mailbox.beginAppend('append');
      await addMessage(one, 'Subject: one\r\n\r\n');
      await addMessage(two, 'Subject: two\r\n\r\n');
      const [second, first] = await Promise.all([two.commit(never), one.commit(never)]);
      assert.deepEqual([...first.uids, ...second.uids].sort(), [1, 2]);
      await using view = await openView(mailbox);
      assert.equal((await contentOf(view, view.seqOf(first.uids[0] ?? 0))).toString('latin1'), 'Subject: one\r\n\r\n');
      assert.equal((await contentOf(view, view.seqOf(second.uids[0] ?? 0))).toString('latin1'), 'Subject: two\r\n\r\n');
    });

    it('is refused before the first octet when it cannot fit, and takes nothing', async () => {
      await using world = await makeWorld();
      const quota = countingQuota(1000);
      const mailbox = await world.create('box', { quota });
      await using transaction = mailbox.beginAppend('append');
      const options = { flags: { system: 0, keywords: [] }, internalDateMs: undefined, expectedBytes: 1001 };
      await rejectsWith(transaction.add(options, never), 'over-quota');
      assert.equal(quota.bytes, 0);
    });

    it('counts what it has taken, and what an expunge gives back', async () => {
      await using world = await makeWorld();
      const quota = countingQuota(1000);
      const mailbox = await world.create('box', { quota });
      await append(mailbox, Buffer.alloc(300, 'x'));
      await append(mailbox, Buffer.alloc(400, 'x'));
      assert.deepEqual([quota.bytes, quota.messages], [700, 2]);
      await using view = await openView(mailbox);
      await expunge(view, [1]);
      await sync(view);
      assert.deepEqual([quota.bytes, quota.messages], [400, 1]);
    });

    it('is all or nothing when a later message of the transaction does not fit', async () => {
      await using world = await makeWorld();
      const quota = countingQuota(1000);
      const mailbox = await world.create('box', { quota });
      await using transaction = mailbox.beginAppend('append');
      await addMessage(transaction, Buffer.alloc(600, 'x'));
      await rejectsWith(addMessage(transaction, Buffer.alloc(600, 'x')), 'over-quota');
      await rejectsWith(transaction.commit(never), 'cannot');
      assert.equal(quota.bytes, 0);
      assert.equal((await mailbox.status({ size: false }, never)).messages, 0);
    });

    it('is refused when more octets come than fit, though fewer were expected', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box', { quota: countingQuota(1000) });
      await using transaction = mailbox.beginAppend('append');
      const writer = await transaction.add({ flags: { system: 0, keywords: [] }, internalDateMs: undefined, expectedBytes: 10 }, never);
      await rejectsWith(
        (async () => {
          await writer.write(Buffer.alloc(1001, 'x'));
          await writer.end();
        })(),
        'over-quota',
      );
      assert.equal((await mailbox.status({ size: false }, never)).messages, 0);
    });

    it('is refused by a read-only mailbox', async () => {
      await using world = await makeWorld();
      await world.create('box');
      const mailbox = await world.open('box', { isReadOnly: true });
      assert.equal(mailbox.isReadOnly, true);
      await rejectsWith(append(mailbox), 'read-only');
      await using view = await openView(mailbox);
      assert.equal(view.isReadOnly, true);
    });

    for (const kind of ['append', 'deliver'] as const)
      it(`is refused when the mailbox is deleted before or during the ${kind === 'append' ? 'save' : 'delivery'}`, async () => {
        await using world = await makeWorld();
        for (const when of ['before', 'after the first octet', 'before the commit']) {
          const mailbox = await world.create('box');
          await using transaction = mailbox.beginAppend(kind);
          const save = async (): Promise<void> => {
            if (when === 'before') await world.delete('box');
            const writer = await transaction.add(
              { flags: { system: 0, keywords: [] }, internalDateMs: undefined, expectedBytes: undefined },
              never,
            );
            await writer.write(Buffer.alloc(when === 'after the first octet' ? 200_000 : 1_000, 'a line\r\n'));
            if (when === 'after the first octet') await world.delete('box');
            await writer.write(Buffer.alloc(200_000, 'a line\r\n'));
            await writer.end();
            if (when === 'before the commit') await world.delete('box');
            await transaction.commit(never);
          };
          await rejectsWith(save(), 'not-found');
          await rejectsWith(world.open('box'), 'not-found');
        }
      });

    it('as a delivery tells no UID, and the next sync shows the message', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 1);
      await using view = await openView(mailbox);
      await using transaction = mailbox.beginAppend('deliver');
      await addMessage(transaction, 'Subject: delivered\r\n\r\n');
      assert.deepEqual((await transaction.commit(never)).uids, []);
      const changes = await sync(view);
      assert.equal(changes.exists, 2);
      assert.deepEqual(uidsOf(view), [1, 2]);
      assert.equal(view.systemFlagsAt(2), recent);
      assert.equal((await contentOf(view, 2)).toString('latin1'), 'Subject: delivered\r\n\r\n');
    });

    it('as a delivery keeps flags and keywords', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await using transaction = mailbox.beginAppend('deliver');
      await addMessage(transaction, crlfMessage, { flags: flagged, keywords: ['list'] });
      await transaction.commit(never);
      await using view = await openView(mailbox);
      assert.equal(flagsAt(view, 1), flagged);
      assert.deepEqual(view.keywordsAt(1), ['list']);
    });
  });

  describe('recent', () => {
    it('is taken by the first read-write view only', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 2);
      assert.equal((await mailbox.status({ size: false }, never)).recent, 2);
      await using looker = await openView(mailbox, true);
      assert.equal(looker.recentCount, 2);
      await using first = await openView(mailbox);
      assert.equal(first.recentCount, 2);
      assert.equal(first.systemFlagsAt(1), recent);
      await using second = await openView(mailbox);
      assert.equal(second.recentCount, 0);
      assert.equal(second.systemFlagsAt(1), 0);
      assert.equal(looker.recentCount, 2, 'what a view has, it keeps');
      assert.equal((await mailbox.status({ size: false }, never)).recent, 0);
    });

    it('goes to the view that sees an arrival first', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await using one = await openView(mailbox);
      await using two = await openView(mailbox);
      await append(mailbox);
      assert.equal((await sync(two)).recent, 1);
      assert.equal((await sync(one)).recent, undefined);
      assert.equal(one.systemFlagsAt(1), 0);
      assert.equal(two.systemFlagsAt(1), recent);
      assert.deepEqual(await two.search({ kind: 'flags', system: recent }, never), [1]);
    });

    it('is told anew when its messages go', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 3);
      await using view = await openView(mailbox);
      await expunge(view, [1]);
      assert.equal((await sync(view)).recent, 2);
      assert.equal(view.recentCount, 2);
      assert.equal((await sync(view)).recent, undefined);
    });
  });
}
