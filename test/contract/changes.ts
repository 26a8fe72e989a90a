import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  addFlags,
  append,
  crlfMessage,
  deleted,
  expunge,
  fill,
  flagged,
  type MakeWorld,
  never,
  nextCall,
  openView,
  seen,
  settle,
  sync,
  uidsOf,
} from './world.js';

export function changesContract(makeWorld: MakeWorld): void {
  describe('modseq', () => {
    it('only grows, and each message has at most the highest', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      let highest = mailbox.highestModSeq;
      assert.ok(highest >= 1);
      const grows = (): void => {
        assert.ok(mailbox.highestModSeq > highest);
        highest = mailbox.highestModSeq;
      };
      await fill(mailbox, 2);
      await using view = await openView(mailbox);
      grows();
      await addFlags(view, [1], seen);
      grows();
      assert.equal(view.modSeqAt(1), highest);
      await expunge(view, [2]);
      grows();
      await sync(view);
      assert.ok(view.modSeqAt(1) < highest);
      assert.equal(view.highestModSeq, highest);
    });

    it('of a view does not run ahead of what it was told', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 3);
      await using actor = await openView(mailbox);
      await using view = await openView(mailbox);
      const atOpen = view.highestModSeq;
      assert.equal(atOpen, mailbox.highestModSeq);
      await addFlags(actor, [1], seen);
      assert.equal(view.highestModSeq, atOpen);
      await sync(view);
      const told = view.highestModSeq;
      assert.ok(told > atOpen);
      await expunge(actor, [2]);
      await addFlags(actor, [3], flagged);
      await sync(view, false);
      assert.ok(view.highestModSeq < mailbox.highestModSeq, 'an expunge is still to be told');
      assert.deepEqual(await view.vanishedSince(view.highestModSeq, undefined, never), [], 'what this view counts has not vanished for it');
      await sync(view);
      assert.equal(view.highestModSeq, mailbox.highestModSeq);
    });
  });

  describe('expunge', () => {
    it('takes marked messages, or any that are named when told so, and counts them', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 4);
      await using view = await openView(mailbox);
      await using peer = await openView(mailbox);
      const [first, second, fourth] = [view.uidAt(1), view.uidAt(2), view.uidAt(4)];
      await addFlags(view, [4], deleted);
      assert.equal(await view.expunge([first, second], never), 0, 'not marked');
      assert.equal(await view.expunge([second], never, 'any'), 1);
      assert.equal(await peer.expunge([second], never, 'any'), 0, 'gone already');
      assert.equal(await peer.expunge(undefined, never), 1, 'the marked one');
      assert.deepEqual(new Set((await sync(view)).expunged.map(({ uid }) => uid)), new Set([second, fourth]));
      assert.equal(view.count, 2);
    });
  });

  describe('raiseModSeq', () => {
    it('raises what views are told by their next sync, and changes no message', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 2);
      await using view = await openView(mailbox);
      const before = view.highestModSeq;
      await mailbox.raiseModSeq(never);
      assert.ok(mailbox.highestModSeq > before);
      assert.deepEqual(await sync(view), { expunged: [], flagsChanged: [], exists: undefined, recent: undefined, newKeywords: false });
      assert.equal(view.highestModSeq, mailbox.highestModSeq);
      assert.deepEqual(
        [1, 2].filter((seq) => view.modSeqAt(seq) > before),
        [],
      );
    });
  });

  describe('vanishedSince', () => {
    it('names what was expunged after a modseq, as ranges', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 10);
      await using view = await openView(mailbox);
      const start = mailbox.highestModSeq;
      await expunge(view, [2, 3, 4, 8]);
      await sync(view);
      const middle = mailbox.highestModSeq;
      await expunge(view, [view.seqOf(6), view.seqOf(7)]);
      await sync(view);
      assert.deepEqual(await view.vanishedSince(start, undefined, never), [
        [2, 4],
        [6, 8],
      ]);
      assert.deepEqual(await view.vanishedSince(middle, undefined, never), [[6, 7]]);
      assert.deepEqual(await view.vanishedSince(mailbox.highestModSeq, undefined, never), []);
      assert.deepEqual(await view.vanishedSince(mailbox.highestModSeq + 100, undefined, never), []);
    });

    it('is restricted to what the client knows', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 10);
      await using view = await openView(mailbox);
      const start = mailbox.highestModSeq;
      await expunge(view, [2, 3, 4, 8, 10]);
      await sync(view);
      assert.deepEqual(
        await view.vanishedSince(
          start,
          [
            [3, 5],
            [8, 0xffff_ffff],
          ],
          never,
        ),
        [
          [3, 4],
          [8, 8],
          [10, 10],
        ],
      );
      assert.deepEqual(await view.vanishedSince(start, [], never), []);
    });

    it('is complete when the history is shorter', async () => {
      await using world = await makeWorld({ maxExpungeHistory: 3 });
      const mailbox = await world.create('box');
      await fill(mailbox, 10);
      await using view = await openView(mailbox);
      const start = mailbox.highestModSeq;
      for (const uid of [1, 2, 5, 6, 9]) {
        await expunge(view, [view.seqOf(uid)]);
        await sync(view);
      }
      assert.deepEqual(await view.vanishedSince(start, undefined, never), [
        [1, 2],
        [5, 6],
        [9, 9],
      ]);
      assert.deepEqual(await view.vanishedSince(0, undefined, never), [
        [1, 2],
        [5, 6],
        [9, 9],
      ]);
      assert.deepEqual(await view.vanishedSince(start, [[2, 5]], never), [
        [2, 2],
        [5, 5],
      ]);
    });

    it('leaves out what the view still counts', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 3);
      await using actor = await openView(mailbox);
      await using view = await openView(mailbox);
      const start = mailbox.highestModSeq;
      await expunge(actor, [2]);
      await sync(view, false);
      assert.deepEqual(await view.vanishedSince(start, undefined, never), []);
      await sync(view);
      assert.deepEqual(await view.vanishedSince(start, undefined, never), [[2, 2]]);
    });
  });

  describe('status', () => {
    it('counts the mailbox as it is', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await append(mailbox, 'x'.repeat(10), { flags: seen });
      await append(mailbox, 'x'.repeat(20), { flags: deleted });
      await append(mailbox, 'x'.repeat(40), { flags: seen | deleted });
      await using view = await openView(mailbox);
      await expunge(view, [1]);
      await append(mailbox, 'x'.repeat(80));
      assert.deepEqual(await mailbox.status({ size: true }, never), {
        messages: 3,
        recent: 1,
        unseen: 2,
        deleted: 2,
        uidNext: 5,
        uidValidity: mailbox.uidValidity,
        highestModSeq: mailbox.highestModSeq,
        size: 140,
        guid: mailbox.guid,
      });
      assert.equal((await mailbox.status({ size: false }, never)).size, undefined);
    });

    it('of an empty mailbox has nothing', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      const status = await mailbox.status({ size: true }, never);
      assert.deepEqual([status.messages, status.recent, status.unseen, status.deleted, status.size], [0, 0, 0, 0, 0]);
      assert.equal(status.uidNext, 1);
      assert.ok(status.uidValidity > 0 && status.uidValidity <= 0xffff_ffff);
    });
  });

  describe('sync', () => {
    it('reports expunges, flags and arrivals together', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 4);
      await using actor = await openView(mailbox);
      await using view = await openView(mailbox);
      await addFlags(actor, [3], seen, ['fresh']);
      await expunge(actor, [1]);
      await append(mailbox, crlfMessage);
      assert.deepEqual(await sync(view), {
        expunged: [{ seq: 1, uid: 1 }],
        flagsChanged: [2],
        exists: 4,
        recent: 1,
        newKeywords: true,
      });
      assert.deepEqual(uidsOf(view), [2, 3, 4, 5]);
      assert.deepEqual(await sync(view), { expunged: [], flagsChanged: [], exists: undefined, recent: undefined, newKeywords: false });
    });

    it('keeps flag changes of messages whose expunge waits to itself', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 3);
      await using actor = await openView(mailbox);
      await using view = await openView(mailbox);
      await addFlags(actor, [1, 3], seen);
      await expunge(actor, [1]);
      const changes = await sync(view, false);
      assert.deepEqual(changes, { expunged: [], flagsChanged: [3], exists: undefined, recent: undefined, newKeywords: false });
      assert.deepEqual((await sync(view)).flagsChanged, []);
    });
  });

  describe('watch', () => {
    it('calls a view back for what others do', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 3);
      await using actor = await openView(mailbox);
      await using view = await openView(mailbox);
      for (const change of [
        () => append(mailbox),
        () => addFlags(actor, [1], flagged),
        () => addFlags(actor, [2], flagged, [], true),
        () => expunge(actor, [3]),
      ]) {
        const watch = nextCall((onChange) => view.watch(onChange));
        await change();
        await watch.called;
        watch.stop();
        await sync(view);
      }
    });

    it('does not call back for its own silent changes, nor after it was stopped', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 2);
      await using view = await openView(mailbox);
      let calls = 0;
      const stop = view.watch(() => {
        calls += 1;
      });
      await addFlags(view, [1], flagged, [], true);
      await settle();
      assert.equal(calls, 0);
      stop();
      stop();
      await append(mailbox);
      await settle();
      assert.equal(calls, 0);
    });

    it('never calls back from inside the change, and once for changes that come together', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 1);
      await using actor = await openView(mailbox);
      await using view = await openView(mailbox);
      let calls = 0;
      view.watch(() => {
        calls += 1;
      });
      const change = addFlags(actor, [1], flagged);
      assert.equal(calls, 0);
      await change;
      const watch = nextCall((onChange) => view.watch(onChange));
      await append(mailbox);
      await watch.called;
      await settle();
      assert.ok(calls >= 1 && calls <= 2);
      watch.stop();
    });

    it('stays when the view is parked', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await using view = await openView(mailbox);
      const watch = nextCall((onChange) => view.watch(onChange));
      view.park();
      await append(mailbox);
      await watch.called;
      watch.stop();
      assert.equal((await sync(view)).exists, 1);
    });

    it('tells of a mailbox that was deleted', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await using view = await openView(mailbox);
      const watch = nextCall((onChange) => mailbox.watch(onChange));
      await world.delete('box');
      await watch.called;
      watch.stop();
      assert.equal(view.count, 0);
    });

    it('of the mailbox calls back for any change', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      const watch = nextCall((onChange) => mailbox.watch(onChange));
      await append(mailbox);
      await watch.called;
      watch.stop();
    });
  });
}
