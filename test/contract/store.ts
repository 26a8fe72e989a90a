import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  addFlags,
  answered,
  append,
  crlfMessage,
  deleted,
  draft,
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
} from './world.js';

export function storeContract(makeWorld: MakeWorld): void {
  describe('store', () => {
    for (const { mode, before, change, after } of [
      { mode: 'add', before: seen, change: flagged, after: seen | flagged },
      { mode: 'remove', before: seen | flagged, change: flagged | draft, after: seen },
      { mode: 'replace', before: seen | flagged, change: answered, after: answered },
      { mode: 'replace', before: seen | deleted, change: 0, after: 0 },
      { mode: 'add', before: 0, change: seen | answered | flagged | deleted | draft, after: seen | answered | flagged | deleted | draft },
    ] as const) {
      it(`${mode} ${change} turns ${before} into ${after}`, async () => {
        await using world = await makeWorld();
        const mailbox = await world.create('box');
        await fill(mailbox, 2, { flags: before });
        await using view = await openView(mailbox);
        const result = await view.store(
          [2],
          { mode, flags: { system: change, keywords: [] }, unchangedSince: undefined },
          { silent: false },
          never,
        );
        assert.deepEqual(result, { modified: [], expunged: [] });
        assert.equal(flagsAt(view, 2), after);
        assert.equal(flagsAt(view, 1), before);
        assert.deepEqual((await sync(view)).flagsChanged, [2]);
        await using later = await openView(mailbox);
        assert.equal(flagsAt(later, 2), after);
      });
    }

    it('never sets or clears recent', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 1);
      await using taker = await openView(mailbox);
      await using view = await openView(mailbox);
      await addFlags(view, [1], recent | seen);
      assert.equal(view.systemFlagsAt(1), seen);
      await taker.store([1], { mode: 'replace', flags: { system: 0, keywords: [] }, unchangedSince: undefined }, { silent: false }, never);
      assert.equal(taker.systemFlagsAt(1), recent);
    });

    it('is seen by other views at once and reported to them at their sync', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 3);
      await using actor = await openView(mailbox);
      await using peer = await openView(mailbox);
      await addFlags(actor, [1, 3], flagged);
      assert.deepEqual((await sync(peer)).flagsChanged, [1, 3]);
      assert.equal(flagsAt(peer, 3), flagged);
      assert.deepEqual((await sync(peer)).flagsChanged, []);
      assert.deepEqual((await sync(actor)).flagsChanged, [1, 3]);
    });

    it('is reported in the numbering after the expunges of the same sync', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 4);
      await using actor = await openView(mailbox);
      await using peer = await openView(mailbox);
      await addFlags(actor, [2, 4], flagged);
      await expunge(actor, [1, 3]);
      const changes = await sync(peer);
      assert.equal(changes.expunged.length, 2);
      assert.deepEqual(changes.flagsChanged, [1, 2]);
    });

    it('is not reported for messages that are gone or new', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 2);
      await using actor = await openView(mailbox);
      await using peer = await openView(mailbox);
      await append(mailbox);
      await sync(actor);
      await addFlags(actor, [1, 3], flagged);
      await expunge(actor, [1]);
      const changes = await sync(peer, false);
      assert.deepEqual(changes.flagsChanged, []);
      assert.equal(changes.exists, 3);
    });

    it('is hidden from its own view when silent, and only from that', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 2);
      await using actor = await openView(mailbox);
      await using peer = await openView(mailbox);
      await addFlags(actor, [1], flagged, [], true);
      assert.deepEqual((await sync(actor)).flagsChanged, []);
      assert.deepEqual((await sync(peer)).flagsChanged, [1]);
    });

    for (const order of ['before', 'after'] as const) {
      it(`is told of a peer's change that came ${order} its own silent one`, async () => {
        await using world = await makeWorld();
        const mailbox = await world.create('box');
        await fill(mailbox, 1);
        await using actor = await openView(mailbox);
        await using peer = await openView(mailbox);
        if (order === 'before') await addFlags(peer, [1], answered);
        await addFlags(actor, [1], flagged, [], true);
        if (order === 'after') await addFlags(peer, [1], answered);
        assert.deepEqual((await sync(actor)).flagsChanged, [1]);
      });
    }

    it('that is silent hides an earlier silent one as well, but not one that was not', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 2);
      await using view = await openView(mailbox);
      await addFlags(view, [1], flagged, [], true);
      await addFlags(view, [1], seen, [], true);
      await addFlags(view, [2], flagged);
      await addFlags(view, [2], seen, [], true);
      assert.deepEqual((await sync(view)).flagsChanged, [2]);
    });

    it('gives one new modseq to all messages it changes and none to the others', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 3);
      await using view = await openView(mailbox);
      await addFlags(view, [2], flagged);
      const before = mailbox.highestModSeq;
      const untouched = view.modSeqAt(2);
      await addFlags(view, [1, 2, 3], flagged);
      assert.ok(mailbox.highestModSeq > before);
      assert.equal(view.modSeqAt(1), mailbox.highestModSeq);
      assert.equal(view.modSeqAt(3), mailbox.highestModSeq);
      assert.equal(view.modSeqAt(2), untouched);
    });

    it('that changes nothing takes no modseq and is not reported', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 1, { flags: seen, keywords: ['a'] });
      await using view = await openView(mailbox);
      const before = mailbox.highestModSeq;
      await addFlags(view, [1], seen, ['A']);
      await view.store(
        [1],
        { mode: 'remove', flags: { system: draft, keywords: ['b'] }, unchangedSince: undefined },
        { silent: false },
        never,
      );
      assert.equal(mailbox.highestModSeq, before);
      assert.deepEqual((await sync(view)).flagsChanged, []);
      assert.deepEqual(mailbox.keywords, ['a'], 'a keyword is not created to be removed');
    });

    it('leaves messages alone that changed since the given modseq', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 3);
      await using actor = await openView(mailbox);
      await using peer = await openView(mailbox);
      const since = mailbox.highestModSeq;
      await addFlags(peer, [2], answered);
      await expunge(peer, [3]);
      const change = { mode: 'add', flags: { system: flagged, keywords: [] }, unchangedSince: since } as const;
      assert.deepEqual(await actor.store([1, 2, 3], change, { silent: false }, never), { modified: [2], expunged: [3] });
      assert.deepEqual([flagsAt(actor, 1), flagsAt(actor, 2)], [flagged, answered]);
      assert.deepEqual(await actor.store([1], { ...change, unchangedSince: 0 }, { silent: false }, never), { modified: [1], expunged: [] });
    });

    it('is refused in a read-only view', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 1, { flags: deleted });
      await using view = await openView(mailbox, true);
      assert.equal(view.isReadOnly, true);
      await rejectsWith(addFlags(view, [1], seen), 'read-only');
      await rejectsWith(view.expunge(undefined, never), 'read-only');
      await rejectsWith(view.move([1], mailbox, never), 'read-only');
      await sync(view);
      assert.equal(flagsAt(view, 1), deleted);
    });

    it('stops before it begins when aborted', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 1);
      await using view = await openView(mailbox);
      const reason = new Error('session ended');
      const change = { mode: 'add', flags: { system: seen, keywords: [] }, unchangedSince: undefined } as const;
      await assert.rejects(view.store([1], change, { silent: false }, AbortSignal.abort(reason)), reason);
      assert.equal(flagsAt(view, 1), 0);
    });
  });

  describe('keywords', () => {
    it('compare without case and keep their first spelling', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await append(mailbox, crlfMessage, { keywords: ['$Junk', 'Work'] });
      await using view = await openView(mailbox);
      assert.deepEqual([...view.keywordsAt(1)].sort(), ['$Junk', 'Work']);
      await addFlags(view, [1], 0, ['WORK', 'new']);
      assert.deepEqual([...view.keywordsAt(1)].sort(), ['$Junk', 'Work', 'new']);
      await view.store(
        [1],
        { mode: 'remove', flags: { system: 0, keywords: ['$JUNK'] }, unchangedSince: undefined },
        { silent: false },
        never,
      );
      assert.deepEqual([...view.keywordsAt(1)].sort(), ['Work', 'new']);
      assert.deepEqual([...mailbox.keywords].sort(), ['$Junk', 'Work', 'new']);
      assert.deepEqual(await view.search({ kind: 'keyword', keyword: 'wOrK' }, never), [1]);
    });

    it('are the same array for the same set', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await append(mailbox, crlfMessage, { keywords: ['a', 'b'] });
      await append(mailbox, crlfMessage, { keywords: ['B', 'A'] });
      await append(mailbox);
      await append(mailbox);
      await using view = await openView(mailbox);
      assert.equal(view.keywordsAt(1), view.keywordsAt(2));
      assert.equal(view.keywordsAt(3), view.keywordsAt(4));
      assert.deepEqual(view.keywordsAt(3), []);
    });

    it('that are new are announced once to each view', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await append(mailbox, crlfMessage, { keywords: ['old'] });
      await using actor = await openView(mailbox);
      await using peer = await openView(mailbox);
      await addFlags(actor, [1], 0, ['old', 'fresh']);
      assert.equal((await sync(actor)).newKeywords, true);
      assert.equal((await sync(peer)).newKeywords, true);
      assert.equal((await sync(peer)).newKeywords, false);
    });

    it('and flags outside of what may be changed stay when the others are replaced', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await append(mailbox, crlfMessage, { flags: seen | flagged | deleted, keywords: ['a'] });
      await using view = await openView(mailbox);
      const change = { system: answered | flagged, keywords: ['b'] };
      const replace = async (system: number, keywords: boolean): Promise<readonly [number, readonly string[]]> => {
        const within = { system, keywords };
        await view.store([1], { mode: 'replace', flags: change, within, unchangedSince: undefined }, { silent: false }, never);
        return [flagsAt(view, 1), view.keywordsAt(1)];
      };
      assert.deepEqual(await replace(seen, false), [flagged | deleted, ['a']]);
      assert.deepEqual(await replace(deleted | answered, true), [answered | flagged, ['b']]);
    });

    it('are replaced together with the flags', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await append(mailbox, crlfMessage, { flags: seen, keywords: ['a', 'b'] });
      await using view = await openView(mailbox);
      await view.store(
        [1],
        { mode: 'replace', flags: { system: flagged, keywords: ['b', 'c'] }, unchangedSince: undefined },
        { silent: false },
        never,
      );
      assert.equal(flagsAt(view, 1), flagged);
      assert.deepEqual([...view.keywordsAt(1)].sort(), ['b', 'c']);
    });

    it('longer than the limit are refused and nothing is changed', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 1);
      await using view = await openView(mailbox);
      await addFlags(view, [1], 0, ['k'.repeat(50)]);
      await rejectsWith(addFlags(view, [1], seen, ['fine', 'k'.repeat(51)]), 'limit');
      assert.equal(flagsAt(view, 1), 0);
      assert.deepEqual(mailbox.keywords, ['k'.repeat(50)]);
    });

    it('more than 26, as many as a file name has letters for, are kept', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 1);
      await using view = await openView(mailbox);
      const keywords = Array.from({ length: 40 }, (_, index) => `k${String(index).padStart(2, '0')}`);
      await addFlags(view, [1], 0, keywords);
      await sync(view);
      assert.deepEqual([...view.keywordsAt(1)].sort(), keywords);
      await using later = await openView(mailbox);
      assert.deepEqual([...later.keywordsAt(1)].sort(), keywords);
    });

    it('are refused, all or nothing, when there are too many', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 1);
      await using view = await openView(mailbox);
      let created = 0;
      while (mailbox.canCreateKeywords && created < 10_000) {
        try {
          await addFlags(
            view,
            [1],
            0,
            Array.from({ length: 50 }, (_, index) => `k${created + index}`),
          );
          created += 50;
        } catch {
          await addFlags(view, [1], 0, [`k${created}`]);
          created += 1;
        }
      }
      assert.equal(mailbox.canCreateKeywords, false, 'there is a limit');
      assert.equal(mailbox.keywords.length, created);
      await rejectsWith(addFlags(view, [1], flagged, ['one-too-many']), 'limit');
      assert.equal(flagsAt(view, 1), 0);
      await addFlags(view, [1], flagged, ['K0']);
      assert.equal(flagsAt(view, 1), flagged);
      await rejectsWith(append(mailbox, crlfMessage, { keywords: ['one-too-many'] }), 'limit');
      await sync(view);
      assert.equal(view.count, 1);
    });
  });
}
