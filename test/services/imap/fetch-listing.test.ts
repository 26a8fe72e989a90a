import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type ListingItem, writeListing } from '#services/imap/fetch-listing.js';
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
    await writeListing(session, seqs, items, never);
    return Buffer.concat(written).toString('latin1');
  };
}

describe('FETCH of UIDs and flags', () => {
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
});
