import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { SortKeys } from '#services/imap/sort-messages.js';
import { SortedResult } from '#services/imap/sorted-result.js';

const criteria = [
  { key: 'SIZE', isReverse: true },
  { key: 'SUBJECT', isReverse: false },
] as const;

describe('a sorted result kept up to date', () => {
  it('leads a client that follows the positions to the result of a new sort', () => {
    const message = fc.record({ uid: fc.integer({ min: 1, max: 40 }), size: fc.nat(3), subject: fc.constantFrom('a', 'b', 'c') });
    fc.assert(
      fc.property(fc.uniqueArray(message, { selector: ({ uid }) => uid }), fc.array(fc.nat(39)), (all, removals) => {
        const keysOf = new Map<number, SortKeys>(all.map(({ uid, size, subject }) => [uid, [size, subject]]));
        const sorted = new SortedResult(criteria, []);
        const client: number[] = [];
        for (const { uid } of all) client.splice(sorted.insert(uid, keysOf.get(uid) ?? []) - 1, 0, uid);
        for (const uid of removals) {
          const position = sorted.remove(uid);
          assert.equal(position > 0, client.includes(uid));
          if (position > 0) assert.deepEqual(client.splice(position - 1, 1), [uid]);
        }
        const expected = all
          .filter(({ uid }) => client.includes(uid))
          .sort((a, b) => b.size - a.size || a.subject.localeCompare(b.subject) || a.uid - b.uid)
          .map(({ uid }) => uid);
        assert.deepEqual(client, expected);
      }),
    );
  });
});
