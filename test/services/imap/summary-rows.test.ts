// FETCH of envelopes and structures of whole mailboxes, which is put together out of pieces of the cache, says what the same FETCH of each message says.
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import fc from 'fast-check';
import { storages } from '../../support/imap-storages.js';
import { createImapWorld } from '../../support/imap-world.js';
import type { LineClient } from '../../support/line-client.js';

const count = 150;
const orders = [
  'UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE',
  'FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY',
  'BODYSTRUCTURE ENVELOPE',
  'ENVELOPE',
  'RFC822.SIZE BODY BODYSTRUCTURE ENVELOPE',
  'INTERNALDATE FLAGS UID BODYSTRUCTURE BODY',
];

function message(index: number): string {
  // Sizes of one to five digits, and some with more in a header than others have in all.
  const body = 'x'.repeat([0, 5, 80, 900, 9_500, 12_000][index % 6] ?? 0);
  const subject = index % 11 === 0 ? `=?utf-8?q?gr=C3=BC=C3=9Fe_${index}?=` : `Number ${index} ${'"\\'.repeat(index % 3)}`;
  const type = index % 5 === 0 ? 'Content-Type: multipart/mixed; boundary=b\r\n' : '';
  return `Subject: ${subject}\r\nFrom: a${index}@example.test\r\n${type}\r\n${index % 5 === 0 ? `--b\r\n\r\n${body}\r\n--b--\r\n` : body}`;
}

async function fill(client: LineClient, from: number, to: number): Promise<void> {
  for (let index = from; index < to; index += 1) {
    const flags = ['\\Seen', '\\Flagged work', '', '\\Seen \\Answered other'][index % 4] ?? '';
    // Dates in several months, some the same as that before.
    const day = 1 + ((index >> 1) % 28);
    const date = `${String(day).padStart(2, ' ')}-${['Jan', 'Jul', 'Dec'][index % 3]}-2020 0${index % 10}:00:0${(index >> 1) % 10} +0000`;
    const octets = message(index);
    await client.ok(`APPEND INBOX (${flags}) "${date}" {${octets.length}+}\r\n${octets}`);
  }
}

/** Replies to FETCH of few messages at a time, which are made one by one. */
async function oneByOne(client: LineClient, command: string, total: number, items: string): Promise<string[]> {
  const lines: string[] = [];
  for (let first = 1; first <= total; first += 40) {
    const last = Math.min(total, first + 39);
    lines.push(...(await client.ok(`${command} ${first}:${last} (${items})`)));
  }
  return lines;
}

describe('FETCH of envelopes and structures of many messages', () => {
  for (const [kind, makeOpen] of Object.entries(storages)) {
    it(`says the same as that of each one, over ${kind}`, async (test) => {
      const openUser = makeOpen(test as TestContext);
      await using world = await createImapWorld({ openUser });
      const { client } = await world.connect();
      await fill(client, 0, count);
      // The second time none of them is recent.
      await client.ok('SELECT INBOX');
      await client.ok('SELECT INBOX');
      for (const items of orders) {
        // Without a cache of it, then with one.
        const fresh = await client.ok(`FETCH 1:* (${items})`);
        const cached = await client.ok(`FETCH 1:* (${items})`);
        const expected = await oneByOne(client, 'FETCH', count, items);
        assert.equal(expected.length, count);
        assert.deepEqual(cached, expected, items);
        assert.deepEqual(fresh, expected, items);
      }
      const uids = await client.ok('UID FETCH 1:* (ENVELOPE)');
      assert.deepEqual(uids, await oneByOne(client, 'UID FETCH', count, 'ENVELOPE'));
    });
  }

  it('goes on around messages that are new, changed or gone', async (test) => {
    const openUser = storages['maildir']?.(test as TestContext);
    assert.ok(openUser !== undefined);
    await using world = await createImapWorld({ openUser });
    const { client } = await world.connect();
    const { client: peer } = await world.connect();
    await fill(client, 0, count);
    for (const one of [peer, peer, client]) await one.ok('SELECT INBOX');
    const items = orders[0] ?? '';
    let added = count;
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(count - 20), { maxLength: 3 }), fc.nat(3), async (flagged, arrivals) => {
        for (const at of flagged) await peer.ok(`STORE ${at + 1} +FLAGS (\\Deleted)`);
        await fill(peer, added, added + arrivals);
        added += arrivals;
        // The client has not been told of what goes now, and of some messages nothing is known yet.
        await peer.ok('EXPUNGE');
        const before = (await client.ok(`FETCH 1:* (${items})`)).filter((line) => / FETCH /.test(line));
        assert.equal(before.length, new Set(before.map((line) => line.split(' ')[1])).size);
        await client.ok('NOOP');
        await peer.ok('NOOP');
        const again = await client.ok(`FETCH 1:* (${items})`);
        assert.deepEqual(again, await oneByOne(client, 'FETCH', again.length, items));
      }),
      { numRuns: 8 },
    );
  });
});
