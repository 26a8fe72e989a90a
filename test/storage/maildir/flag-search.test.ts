import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { MailboxView } from '#storage/mailbox.js';
import type { SearchQuery } from '#storage/search.js';
import { evaluateSearch } from '#storage/search-run.js';
import type { SearchSource } from '#storage/search-source.js';
import { flagBit } from '#storage/types.js';
import { append, never, openView } from '../../contract/world.js';
import { MaildirWorld } from './world.js';

/** The view as one that is asked about each message. */
function oneByOne(view: MailboxView): SearchSource {
  const source = new Proxy(view, {
    get(target, key) {
      if (key === 'flagMatches' || key === 'knownFact') return undefined;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return source as unknown as SearchSource;
}

const range = fc.tuple(fc.integer({ min: 1, max: 45 }), fc.nat(20)).map(([first, more]): [number, number] => [first, first + more]);
const ranges = fc.array(range, { maxLength: 3 });
const day = fc.option(fc.integer({ min: 18_000, max: 18_006 }), { nil: undefined });
const { query } = fc.letrec<{ query: SearchQuery }>((tie) => ({
  query: fc.oneof(
    { depthSize: 'small' },
    fc.constant<SearchQuery>({ kind: 'all' }),
    fc.constantFrom(1, 4, 5, 8, 32).map((system): SearchQuery => ({ kind: 'flags', system })),
    fc.constantFrom('work', 'HOME', 'nowhere').map((keyword): SearchQuery => ({ kind: 'keyword', keyword })),
    ranges.map((list): SearchQuery => ({ kind: 'uid', ranges: list })),
    ranges.map((list): SearchQuery => ({ kind: 'sequence', ranges: list })),
    fc.nat(120).map((octets): SearchQuery => ({ kind: 'larger', octets })),
    fc.tuple(day, day).map(([fromDay, beforeDay]): SearchQuery => ({ kind: 'internal-date', fromDay, beforeDay })),
    tie('query').map((inner): SearchQuery => ({ kind: 'not', query: inner })),
    fc.array(tie('query'), { maxLength: 4 }).map((queries): SearchQuery => ({ kind: 'and', queries })),
    fc.array(tie('query'), { maxLength: 3 }).map((queries): SearchQuery => ({ kind: 'or', queries })),
  ),
}));

async function check(view: MailboxView): Promise<void> {
  const seqs = Array.from({ length: view.count }, (_, index) => index + 1);
  const isUnseen = (seq: number): boolean => !view.isExpunged(seq) && (view.systemFlagsAt(seq) & flagBit.seen) === 0;
  assert.equal(view.firstUnseen(), seqs.find(isUnseen) ?? 0);
  await fc.assert(
    fc.asyncProperty(query, async (tree) => {
      assert.deepEqual(await view.search(tree, never), await evaluateSearch(tree, oneByOne(view), never));
    }),
    { numRuns: 60 },
  );
}

describe('a search by flags of a Maildir', () => {
  it('means the same as asking each message, with gaps, recent messages, keywords and what is not known yet', async () => {
    await using world = await MaildirWorld.make();
    const mailbox = await world.create('A');
    const add = (index: number): Promise<unknown> =>
      append(mailbox, `Subject: ${'x'.repeat(index)}\r\n\r\n`, {
        flags: [0, 1, 4, 5, 8][index % 5] ?? 0,
        keywords: index % 3 === 0 ? ['Work'] : index % 7 === 0 ? ['home', 'work'] : [],
        dateMs: 18_000 * 86_400_000 + index * 9_000_000,
      });
    for (let index = 0; index < 20; index += 1) await add(index);
    {
      await using first = await openView(mailbox);
      await check(first);
    }
    for (let index = 20; index < 40; index += 1) await add(index);
    await using view = await openView(mailbox);
    await using other = await openView(mailbox);
    await check(view);
    await check(other);
    await view.expunge(undefined, never);
    await check(other);
    await view.sync({ allowExpunge: true }, never);
    await add(41);
    await view.sync({ allowExpunge: true }, never);
    await check(view);
    const everything = Array.from({ length: view.count }, (_, index) => index + 1);
    const read = { system: flagBit.seen, keywords: [] };
    await view.store(everything, { mode: 'add', flags: read, unchangedSince: undefined }, { silent: true }, never);
    assert.equal(view.firstUnseen(), 0);
    await view.store([17], { mode: 'remove', flags: read, unchangedSince: undefined }, { silent: true }, never);
    assert.equal(view.firstUnseen(), 17);
    assert.equal(other.firstUnseen(), other.seqOf(view.uidAt(17)));
  });
});
