import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  addFlags,
  append,
  contentOf,
  crlfMessage,
  deleted,
  expunge,
  fill,
  flagged,
  type MakeWorld,
  never,
  openView,
  rejectsWith,
  seen,
  sync,
  uidsOf,
} from './world.js';

/** What the two sessions of a numbering case do, in order. */
type Step = readonly ['expunge' | 'flag', uid: number] | readonly ['append'] | readonly ['sync' | 'syncNoExpunge'];

interface NumberingCase {
  readonly title: string;
  readonly steps: readonly Step[];
  /** The watching view at the end: UIDs by sequence number, 0 in front of those known to be expunged. */
  readonly uids: readonly number[];
  readonly expunged: readonly number[];
}

const cases: readonly NumberingCase[] = [
  { title: 'nothing happens', steps: [], uids: [1, 2, 3, 4], expunged: [] },
  { title: 'one is expunged and not told', steps: [['expunge', 2]], uids: [1, 2, 3, 4], expunged: [2] },
  { title: 'one is expunged and told', steps: [['expunge', 2], ['sync']], uids: [1, 3, 4], expunged: [] },
  { title: 'one is expunged, a sync may not tell', steps: [['expunge', 2], ['syncNoExpunge']], uids: [1, 2, 3, 4], expunged: [2] },
  { title: 'two in ascending order', steps: [['expunge', 2], ['expunge', 3], ['sync']], uids: [1, 4], expunged: [] },
  { title: 'two in descending order', steps: [['expunge', 3], ['expunge', 2], ['sync']], uids: [1, 4], expunged: [] },
  { title: 'first and last', steps: [['expunge', 1], ['expunge', 4], ['sync']], uids: [2, 3], expunged: [] },
  { title: 'all of them', steps: [['expunge', 1], ['expunge', 2], ['expunge', 3], ['expunge', 4], ['sync']], uids: [], expunged: [] },
  { title: 'one arrives and is not told', steps: [['append']], uids: [1, 2, 3, 4], expunged: [] },
  { title: 'one arrives and is told', steps: [['append'], ['sync']], uids: [1, 2, 3, 4, 5], expunged: [] },
  {
    title: 'one arrives while an expunge waits',
    steps: [['expunge', 2], ['append'], ['syncNoExpunge']],
    uids: [1, 2, 3, 4, 5],
    expunged: [2],
  },
  {
    title: 'an expunge is told after an arrival was',
    steps: [['expunge', 2], ['append'], ['syncNoExpunge'], ['sync']],
    uids: [1, 3, 4, 5],
    expunged: [],
  },
  { title: 'an arrival is expunged before it is told', steps: [['append'], ['expunge', 5], ['sync']], uids: [1, 2, 3, 4], expunged: [] },
  {
    title: 'an arrival is expunged after it was told',
    steps: [['append'], ['sync'], ['expunge', 5]],
    uids: [1, 2, 3, 4, 5],
    expunged: [5],
  },
  {
    title: 'the last of two arrivals is expunged untold',
    steps: [['append'], ['append'], ['expunge', 6], ['sync']],
    uids: [1, 2, 3, 4, 5],
    expunged: [],
  },
  {
    title: 'the first of two arrivals is expunged untold',
    steps: [['append'], ['append'], ['expunge', 5], ['sync']],
    uids: [1, 2, 3, 4, 6],
    expunged: [],
  },
  {
    title: 'expunge, arrival, expunge, told at once',
    steps: [['expunge', 4], ['append'], ['expunge', 1], ['sync']],
    uids: [2, 3, 5],
    expunged: [],
  },
  { title: 'expunges told one after the other', steps: [['expunge', 1], ['sync'], ['expunge', 4], ['sync']], uids: [2, 3], expunged: [] },
  { title: 'a flag change moves nothing', steps: [['flag', 3], ['expunge', 1], ['sync']], uids: [2, 3, 4], expunged: [] },
];

export function numberingContract(makeWorld: MakeWorld): void {
  describe('numbering', () => {
    for (const { title, steps, uids, expunged } of cases) {
      it(`is kept for a peer when ${title}`, async () => {
        await using world = await makeWorld();
        const mailbox = await world.create('box');
        await fill(mailbox, 4);
        await using actor = await openView(mailbox);
        await using watcher = await openView(mailbox);
        const told = uidsOf(watcher);
        for (const [kind, uid] of steps) {
          await sync(actor);
          if (kind === 'expunge') await expunge(actor, [actor.seqOf(uid)]);
          else if (kind === 'flag') await addFlags(actor, [actor.seqOf(uid)], flagged);
          else if (kind === 'append') await append(mailbox);
          else await replay(watcher, told, kind === 'sync');
        }
        assert.deepEqual(uidsOf(watcher), uids);
        assert.equal(watcher.count, uids.length);
        // What another process has expunged is known when this one has looked.
        if (world.hasPeers !== true || steps.at(-1)?.[0] !== 'expunge')
          assert.deepEqual(
            uidsOf(watcher).filter((_, index) => watcher.isExpunged(index + 1)),
            expunged,
          );
      });
    }

    /** Applies what the sync reports to the client's own list, as a client does. */
    async function replay(view: Awaited<ReturnType<typeof openView>>, told: number[], allowExpunge: boolean): Promise<void> {
      const changes = await sync(view, allowExpunge);
      for (const { seq, uid } of changes.expunged) {
        assert.equal(told[seq - 1], uid, 'the expunge names the message at that number');
        told.splice(seq - 1, 1);
      }
      if (changes.exists !== undefined) {
        assert.ok(changes.exists > told.length, 'EXISTS only grows');
        while (told.length < changes.exists) told.push(view.uidAt(told.length + 1));
      }
      assert.deepEqual(told, uidsOf(view), 'the client and the view agree');
    }

    it('finds messages by UID', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 5);
      await using view = await openView(mailbox);
      await expunge(view, [2, 3]);
      await sync(view);
      assert.deepEqual(uidsOf(view), [1, 4, 5]);
      assert.deepEqual(
        [0, 1, 2, 3, 4, 5, 6].map((uid) => view.seqOf(uid)),
        [0, 1, 0, 0, 2, 3, 0],
      );
      assert.deepEqual(
        [0, 1, 2, 3, 4, 5, 6, 0xffff_ffff].map((uid) => view.lowerBound(uid)),
        [1, 1, 2, 2, 2, 3, 4, 4],
      );
    });

    it('refuses sequence numbers outside of the view', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 2);
      await using view = await openView(mailbox);
      for (const seq of [0, 3, -1]) {
        assert.throws(() => view.uidAt(seq), RangeError);
        assert.throws(() => view.systemFlagsAt(seq), RangeError);
        assert.throws(() => view.keywordsAt(seq), RangeError);
        assert.throws(() => view.modSeqAt(seq), RangeError);
        assert.throws(() => view.isExpunged(seq), RangeError);
        assert.throws(() => view.guidAt(seq), RangeError);
      }
    });

    it('is empty for an empty mailbox', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await using view = await openView(mailbox);
      assert.equal(view.count, 0);
      assert.equal(view.recentCount, 0);
      assert.equal(view.firstUnseen(), 0);
      assert.equal(view.seqOf(1), 0);
      assert.equal(view.lowerBound(1), 1);
      assert.deepEqual(await sync(view), { expunged: [], flagsChanged: [], exists: undefined, recent: undefined, newKeywords: false });
      assert.equal(mailbox.uidNext, 1);
    });

    it('is not given to a UID twice', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 3);
      await using view = await openView(mailbox);
      await expunge(view, [3]);
      await sync(view);
      assert.equal(await append(mailbox), 4);
      assert.equal(mailbox.uidNext, 5);
    });

    it('names the first unseen message', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 3);
      await using view = await openView(mailbox);
      assert.equal(view.firstUnseen(), 1);
      await addFlags(view, [1, 2], seen);
      assert.equal(view.firstUnseen(), 3);
      await addFlags(view, [3], seen);
      assert.equal(view.firstUnseen(), 0);
    });

    it('expunges only messages marked deleted', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 4);
      await using view = await openView(mailbox);
      await addFlags(view, [2, 3], deleted);
      await view.expunge([view.uidAt(1), view.uidAt(3)], never);
      assert.deepEqual((await sync(view)).expunged, [{ seq: 3, uid: 3 }]);
      await view.expunge(undefined, never);
      assert.deepEqual((await sync(view)).expunged, [{ seq: 2, uid: 2 }]);
      assert.deepEqual(uidsOf(view), [1, 4]);
    });

    it('expunges only messages that the view knows', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 1, { flags: deleted });
      await using view = await openView(mailbox);
      await append(mailbox, crlfMessage, { flags: deleted });
      await view.expunge(undefined, never);
      await sync(view);
      assert.deepEqual(uidsOf(view), [2]);
    });

    it('forgets nothing of an expunged message before it is told', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 2, { flags: flagged, keywords: ['kept'] });
      await using actor = await openView(mailbox);
      await using view = await openView(mailbox);
      const guid = view.guidAt(1);
      await expunge(actor, [1]);
      await sync(view, false);
      assert.equal(view.uidAt(1), 1);
      assert.equal(view.guidAt(1), guid);
      assert.equal(view.systemFlagsAt(1) & flagged, flagged);
      assert.deepEqual(view.keywordsAt(1), ['kept']);
      assert.equal(view.isExpunged(1), true);
      assert.equal(view.isExpunged(2), false);
      assert.deepEqual(await view.prepare([1, 2], { size: true }, never), [1]);
      assert.equal(view.sizeAt(2), 'Subject: number 2\r\n\r\nBody of 2\r\n'.length);
      await rejectsWith(view.openMessage(1, never), 'expunged');
      assert.deepEqual(await view.search({ kind: 'all' }, never), [2]);
      assert.deepEqual(await view.search({ kind: 'not', query: { kind: 'flags', system: seen } }, never), [2]);
    });

    it('survives a message that is expunged while it is read', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await append(mailbox);
      await using view = await openView(mailbox);
      const reader = await view.openMessage(1, never);
      await expunge(view, [1]);
      assert.equal((await reader.read(0, reader.size)).toString('latin1'), crlfMessage);
      await reader.close();
      await reader.close();
    });

    it('stays valid when parked', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 3);
      await using actor = await openView(mailbox);
      await using view = await openView(mailbox);
      view.park();
      await expunge(actor, [1]);
      view.park();
      assert.deepEqual(uidsOf(view), [1, 2, 3]);
      assert.deepEqual((await sync(view)).expunged, [{ seq: 1, uid: 1 }]);
      view.park();
      assert.equal((await contentOf(view, 1)).toString('latin1'), 'Subject: number 2\r\n\r\nBody of 2\r\n');
    });

    it('ends with the mailbox', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 2);
      await using view = await openView(mailbox);
      await world.delete('box');
      await rejectsWith(sync(view), 'not-found');
      await rejectsWith(addFlags(view, [1], seen), 'not-found');
      await rejectsWith(world.open('box'), 'not-found');
    });

    it('can be closed twice', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      const view = await openView(mailbox);
      await view[Symbol.asyncDispose]();
      await view[Symbol.asyncDispose]();
    });

    it('keeps UIDs, UIDVALIDITY and GUID through a rename', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      const { guid, uidValidity } = mailbox;
      await fill(mailbox, 3);
      await world.rename('box', 'other');
      await rejectsWith(world.open('box'), 'not-found');
      const renamed = await world.open('other');
      assert.equal(renamed.uidValidity, uidValidity);
      assert.equal(renamed.guid, guid);
      await using view = await openView(renamed);
      assert.deepEqual(uidsOf(view), [1, 2, 3]);
    });

    it('begins anew, with a higher UIDVALIDITY, when a mailbox is created again', async () => {
      await using world = await makeWorld();
      const { uidValidity, guid } = await world.create('box');
      await world.delete('box');
      const again = await world.create('box');
      assert.ok(again.uidValidity > uidValidity);
      assert.notEqual(again.guid, guid);
      assert.match(again.guid, /^[0-9a-f]{32}$/);
      assert.equal(again.uidNext, 1);
    });

    it('is refused for a second mailbox of the same place', async () => {
      await using world = await makeWorld();
      await world.create('box');
      await rejectsWith(world.create('box'), 'exists');
    });
  });
}
