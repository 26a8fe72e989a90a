import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { blockFrom, insertBlock, type KeyBlock, keyOutcome, keyOutcomes } from '#storage/key-blocks.js';

const keys = fc.array(fc.constantFrom('', 'A', 'AB', 'BA', 'ABAB', 'C'), { maxLength: 40 });
const needles = ['A', 'B', 'AB', 'BA', 'ABA', 'ABAB', 'D'];

describe('Blocks of keys', () => {
  it('tell of each message what its key tells, and nothing of others', () => {
    fc.assert(
      fc.property(keys, fc.array(fc.boolean(), { minLength: 40, maxLength: 40 }), fc.nat(7), (texts, isKnown, each) => {
        const uids = texts.map((_, index) => index * 2 + 5);
        const blocks: KeyBlock[] = [];
        // From the last one on, as blocks may come in any order.
        for (let from = Math.floor(texts.length / (each + 1)) * (each + 1); from >= 0; from -= each + 1) {
          const part = texts
            .slice(from, from + each + 1)
            .flatMap((text, index) => (isKnown[from + index] ? [[from + index, text] as const] : []));
          const starts = part.map((_, index) => part.slice(0, index).reduce((sum, [, text]) => sum + text.length + 1, 0));
          insertBlock(blocks, {
            first: uids[from] ?? 1000,
            last: uids[Math.min(from + each, texts.length - 1)] ?? 1000,
            uids: Uint32Array.from(part, ([row]) => uids[row] as number),
            starts: Uint32Array.from(starts),
            text: part.map(([, text]) => text).join('\n'),
          });
        }
        // Some of the messages are gone, and there are new ones.
        const present = Uint32Array.from([...uids.filter((_, row) => row % 5 !== 3), 2000, 2001]);
        for (const needle of needles) {
          const expected = [...present].map((uid) => {
            const row = uids.indexOf(uid);
            if (row < 0 || !isKnown[row]) return keyOutcome.unknown;
            return texts[row]?.includes(needle) ? keyOutcome.yes : keyOutcome.no;
          });
          assert.deepEqual([...keyOutcomes(blocks, needle, present)], expected);
        }
        for (const uid of [1, ...uids, 1001])
          assert.equal(
            blockFrom(blocks, uid),
            blocks.find(({ last }) => last >= uid),
          );
      }),
    );
  });
});
