import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type Listed, type ListingItem, listingItems, writeListing } from '#services/imap/fetch-listing.js';
import { planFetch } from '#services/imap/fetch-plan.js';
import { FlagText } from '#services/imap/flag-text.js';
import type { Session } from '#services/imap/session.js';
import { never } from '../../contract/world.js';

/** A session with these UIDs as its messages, which keeps what is written. */
function listingOf(uids: readonly number[], options: { readonly keywords?: readonly string[]; readonly isUidOnly?: boolean } = {}) {
  const written: Buffer[] = [];
  const { keywords = [] } = options;
  const session = {
    output: { octets: (block: Buffer) => written.push(block), drain: async () => undefined },
    view: {
      uidAt: (seq: number) => uids[seq - 1],
      systemFlagsAt: (seq: number) => seq & 1,
      keywordsAt: () => keywords,
      modSeqAt: (seq: number) => Number.MAX_SAFE_INTEGER - seq,
    },
    flagText: new FlagText(),
    has: (name: string) => name === 'UIDONLY' && options.isUidOnly === true,
  } as unknown as Session;
  return async (seqs: Iterable<number>, items: readonly ListingItem[]): Promise<string> => {
    written.length = 0;
    await writeListing(session, { seqs }, items, never);
    return Buffer.concat(written).toString('latin1');
  };
}

describe('FETCH of UIDs and flags', () => {
  it('takes the fast way for UID FETCH, which tells the UID first', () => {
    const session = { has: () => false, view: { isReadOnly: false }, flagText: new FlagText() } as unknown as Session;
    const plan = planFetch(session, [{ kind: 'simple', name: 'FLAGS' }], true, false);
    assert.deepEqual(listingItems(plan), ['UID', 'FLAGS']);
  });

  it('writes numbers of any length', async () => {
    const uids = [1, 9, 10, 99, 100, 2147483647, 2147483648, 4294967295];
    const list = listingOf(uids);
    const expected = uids.map((uid, index) => `* ${index + 1} FETCH (UID ${uid})\r\n`).join('');
    assert.equal(await list([1, 2, 3, 4, 5, 6, 7, 8], ['UID']), expected);
  });

  it('keeps the order of the items', async () => {
    const list = listingOf([7]);
    const modSeq = Number.MAX_SAFE_INTEGER - 1;
    assert.equal(await list([1], ['MODSEQ', 'FLAGS', 'UID']), `* 1 FETCH (MODSEQ (${modSeq}) FLAGS (\\Seen) UID 7)\r\n`);
  });

  it('begins replies with the UID under UIDONLY', async () => {
    assert.equal(await listingOf([70], { isUidOnly: true })([1], ['FLAGS']), '* 70 UIDFETCH (FLAGS (\\Seen))\r\n');
  });

  it('writes nothing for no messages', async () => {
    assert.equal(await listingOf([])([], ['UID', 'FLAGS']), '');
  });

  it('loses nothing between blocks, with flags longer than a block too', async () => {
    for (const keywords of [['work'], ['k'.repeat(100_000)]]) {
      const uids = Array.from({ length: 5000 }, (_, index) => 1_000_000 + index);
      const seqs = uids.slice(0, keywords[0]?.length === 4 ? 5000 : 20).map((_, index) => index + 1);
      const flags = (seq: number): string => ((seq & 1) === 1 ? `\\Seen ${keywords[0]}` : `${keywords[0]}`);
      const expected = seqs.map((seq) => `* ${seq} FETCH (UID ${uids[seq - 1]} FLAGS (${flags(seq)}))\r\n`).join('');
      assert.ok((await listingOf(uids, { keywords })(seqs, ['UID', 'FLAGS'])) === expected);
    }
  });

  it('writes runs from columns as it writes one by one', async () => {
    const written: Buffer[] = [];
    const numbers = fc.array(fc.constantFrom(1, 1, 1, 2, 9, 90, 899_999, 2 ** 31), { minLength: 1, maxLength: 300 });
    await fc.assert(
      fc.asyncProperty(numbers, fc.nat(300), fc.boolean(), fc.boolean(), async (steps, split, hasUid, isSent) => {
        let last = 0;
        const uids = steps.map((step) => (last = (last + step) % 4_294_967_296)).sort((a, b) => a - b);
        const sets = [[], ['work'], ['a', 'b']];
        const view = {
          uidAt: (seq: number) => uids[seq - 1],
          systemFlagsAt: (seq: number) => (seq * 7) & 31,
          keywordsAt: (seq: number) => sets[seq % 3],
          // Only up to some message, as where those behind it are recent.
          flagColumns: (_first: number, end: number) =>
            end > split
              ? undefined
              : {
                  uid: Uint32Array.from(uids),
                  flags: Uint8Array.from(uids, (_, row) => ((row + 1) * 7) & 31),
                  keywordSet: Uint32Array.from(uids, (_, row) => (row + 1) % 3),
                  keywordsOf: (set: number) => sets[set],
                },
        };
        const session = {
          output: { octets: (block: Buffer) => written.push(Buffer.from(block)), drain: async () => undefined, isSent },
          view,
          flagText: new FlagText(),
          has: () => false,
        } as unknown as Session;
        const list = async (listed: Listed): Promise<string> => {
          written.length = 0;
          await writeListing(session, listed, hasUid ? ['UID', 'FLAGS'] : ['FLAGS'], never);
          return Buffer.concat(written).toString('latin1');
        };
        const cut = Math.min(split, uids.length);
        const runs = [[1, cut] as const, [cut + 1, uids.length] as const].filter(([from, to]) => from <= to);
        assert.equal(await list({ runs }), await list({ seqs: uids.map((_, index) => index + 1) }));
      }),
      { numRuns: 300 },
    );
  });

  it('writes runs of many blocks, and flags longer than one', async () => {
    for (const keyword of ['work', 'k'.repeat(200_000)]) {
      const uids = Uint32Array.from({ length: keyword === 'work' ? 20_000 : 3 }, (_, row) => row * 3 + 1);
      const written: Buffer[] = [];
      const session = {
        output: { octets: (block: Buffer) => written.push(Buffer.from(block)), drain: async () => undefined, isSent: true },
        view: {
          uidAt: (seq: number) => uids[seq - 1],
          systemFlagsAt: () => 0,
          keywordsAt: () => [keyword],
          flagColumns: () => ({
            uid: uids,
            flags: new Uint8Array(uids.length),
            keywordSet: new Uint32Array(uids.length),
            keywordsOf: () => [keyword],
          }),
        },
        flagText: new FlagText(),
        has: () => false,
      } as unknown as Session;
      await writeListing(session, { runs: [[1, uids.length]] }, ['UID', 'FLAGS'], never);
      const expected = Array.from(uids, (uid, row) => `* ${row + 1} FETCH (UID ${uid} FLAGS (${keyword}))\r\n`).join('');
      assert.ok(Buffer.concat(written).toString('latin1') === expected);
    }
  });
});
