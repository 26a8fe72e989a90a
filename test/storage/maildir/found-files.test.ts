import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FoundFiles } from '#storage/maildir/found-files.js';
import { NameList } from '#storage/maildir/name-list.js';

/** File names: latin1, one character an octet. */
const name = fc.array(fc.integer({ min: 1, max: 255 }), { minLength: 1, maxLength: 255 }).map((codes) => String.fromCharCode(...codes));

describe('A list of file names', () => {
  it('gives back each name, octet by octet', () => {
    fc.assert(
      fc.property(fc.array(name, { maxLength: 300 }), (names) => {
        const list = NameList.of(names);
        assert.equal(list.length, names.length);
        assert.deepEqual(
          names.map((_, index) => list.at(index)),
          names,
        );
        const target = Buffer.alloc(300);
        for (const [index, text] of names.entries()) {
          list.copyTo(index, target, 3, text.length);
          assert.equal(target.toString('latin1', 3, 3 + text.length), text);
          assert.equal(list.isHidden(index), text.startsWith('.'));
        }
      }),
      { numRuns: 50 },
    );
  });

  it('holds many', () => {
    const list = new NameList();
    const nameOf = (index: number): string => `${1_700_000_000 + index}.M${index}P1.host:2,${'S'.repeat(index % 3)}`;
    for (let index = 0; index < 50_000; index += 1) list.push(nameOf(index));
    for (let index = 0; index < 50_000; index += 997) assert.equal(list.at(index), nameOf(index));
  });
});

describe('Found files', () => {
  it('are those of both folders, with their names', () => {
    const found = new FoundFiles({ inNew: NameList.of(['a', 'b']), inCur: NameList.of(['c:2,S', 'd:2,']) });
    found.push(1, true);
    found.push(0, false);
    found.push(0, true);
    for (let more = 0; more < 40; more += 1) found.push(1, false);
    assert.deepEqual([...found].slice(0, 4), [
      { fileName: 'b', isInNew: true },
      { fileName: 'c:2,S', isInNew: false },
      { fileName: 'a', isInNew: true },
      { fileName: 'd:2,', isInNew: false },
    ]);
    const inNew = found.filter(({ isInNew }) => isInNew);
    assert.deepEqual(
      [...inNew],
      [
        { fileName: 'b', isInNew: true },
        { fileName: 'a', isInNew: true },
      ],
    );
    assert.equal(inNew.nameAt(1), 'a');
    const target = Buffer.alloc(3);
    found.copyName(1, target, 1, 1);
    assert.equal(target.toString('latin1'), '\0c\0');
    assert.throws(() => new FoundFiles({ inNew: undefined, inCur: undefined }).nameAt(0), RangeError);
  });
});
