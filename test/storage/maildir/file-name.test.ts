import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseSuffix, suffixText } from '#storage/index/suffix-table.js';
import { arrivalOf, baseLength, NameMaker, withoutSizes } from '#storage/maildir/file-name.js';
import { assignLetters, formatKeywordsFile, parseKeywordsFile } from '#storage/maildir/keywords-file.js';
import { flagBit } from '#storage/types.js';

const { seen, answered, flagged, deleted, draft } = flagBit;

function compareArrival(a: string, b: string): number {
  const [aSeconds, aMicros] = arrivalOf(a);
  const [bSeconds, bMicros] = arrivalOf(b);
  return aSeconds - bSeconds || aMicros - bMicros || (a < b ? -1 : a > b ? 1 : 0);
}

describe('Maildir file name', () => {
  for (const { suffix, flags, letters, foreign, tail } of [
    { suffix: '', flags: 0, letters: 0, foreign: '', tail: '' },
    { suffix: ':2,', flags: 0, letters: 0, foreign: '', tail: '' },
    { suffix: ':2,S', flags: seen, letters: 0, foreign: '', tail: '' },
    { suffix: ':2,DFRST', flags: draft | flagged | answered | seen | deleted, letters: 0, foreign: '', tail: '' },
    { suffix: ':2,FSac', flags: flagged | seen, letters: 0b101, foreign: '', tail: '' },
    { suffix: ':2,PSXz', flags: seen, letters: 1 << 25, foreign: 'PX', tail: '' },
    { suffix: ':2,S,more=1', flags: seen, letters: 0, foreign: '', tail: ',more=1' },
    { suffix: ':1,exp', flags: 0, letters: 0, foreign: '', tail: '' },
  ]) {
    it(`${JSON.stringify(suffix)} is understood`, () => {
      assert.deepEqual(parseSuffix(suffix), { text: suffix, flags, letters, foreign, tail });
    });
  }

  for (const { from, flags, letters, to } of [
    { from: '', flags: seen, letters: 0, to: ':2,S' },
    { from: ':2,S', flags: 0, letters: 0, to: ':2,' },
    { from: ':2,PS,tail', flags: flagged | deleted, letters: 0b11, to: ':2,FPTab,tail' },
    { from: ':2,XS', flags: draft, letters: 0, to: ':2,DX' },
  ]) {
    it(`keeps what is foreign: ${JSON.stringify(from)} becomes ${JSON.stringify(to)}`, () => {
      assert.equal(suffixText(flags, letters, parseSuffix(from)), to);
    });
  }

  it('is never made twice, even when the clock stands still or goes back', () => {
    const maker = new NameMaker('a/b:c,d', 12);
    const names = [maker.next(1_700_000_000_000), maker.next(1_700_000_000_000), maker.next(1_600_000_000_000)];
    assert.equal(new Set(names).size, 3);
    assert.deepEqual([...names].sort(compareArrival), names);
    assert.match(names[0] ?? '', /^1700000000\.M0P12R[0-9a-f]{12}\.a\\057b\\072c\\054d$/);
  });

  it('is never made twice by two makers of one host and pid at one moment', () => {
    const names = Array.from({ length: 100 }, () => new NameMaker('host', 1).next(1_700_000_000_000));
    assert.equal(new Set(names).size, 100);
  });

  it('tells the order of arrival', () => {
    const names = ['1700000001.M5P1.h', '1700000000.M10P1.h', '1700000000.M9P1.h', 'foreign', '999.x'];
    assert.deepEqual(names.sort(compareArrival), ['999.x', '1700000000.M9P1.h', '1700000000.M10P1.h', '1700000001.M5P1.h', 'foreign']);
  });

  for (const [name, seconds, micros] of [
    ['1700000000.M12P3.host', 1_700_000_000, 12],
    ['1700000000.V802I5M999999P3.host', 1_700_000_000, 999_999],
    ['1700000000.P3Q1.host', 1_700_000_000, 0],
    ['1700000000.MxM5.host', 1_700_000_000, 5],
    ['1700000000.P3,M5', 1_700_000_000, 0],
    ['1700000000.P3:2,M5', 1_700_000_000, 0],
    ['1700000000.M1234567', 1_700_000_000, 123_456],
    [`1700000000.${'x'.repeat(40)}M5`, 1_700_000_000, 5],
    [`1700000000.${'x'.repeat(41)}M5`, 1_700_000_000, 0],
    ['1700000000', Number.MAX_SAFE_INTEGER, 0],
    ['1234567890123.M5', Number.MAX_SAFE_INTEGER, 0],
    ['.M5', Number.MAX_SAFE_INTEGER, 0],
    ['', Number.MAX_SAFE_INTEGER, 0],
  ] as const) {
    it(`came at ${seconds} and ${micros} when it is ${JSON.stringify(name)}`, () => assert.deepEqual(arrivalOf(name), [seconds, micros]));
  }

  it('has a base name up to the first colon', () => {
    assert.equal('a,S=1:2,S'.slice(0, baseLength('a,S=1:2,S')), 'a,S=1');
    assert.equal(baseLength('abc'), 3);
    assert.equal(withoutSizes('1.M2P3.h,S=10,W=11,X=1'), '1.M2P3.h,X=1');
  });
});

describe('dovecot-keywords', () => {
  it('is read with its gaps, without what is broken or beyond z', () => {
    assert.deepEqual(parseKeywordsFile('0 $Forwarded\n2 Junk\nx\n3\n26 late\n'), ['$Forwarded', '', 'Junk']);
  });
  it('is written as it is read', () => {
    const letters = ['one', '', 'three'];
    assert.equal(formatKeywordsFile(letters), '0 one\n2 three\n');
    assert.deepEqual(parseKeywordsFile(formatKeywordsFile(letters)), letters);
  });
  it('gives free letters, the lowest first, and none twice', () => {
    assert.deepEqual(assignLetters(['one', '', 'three'], ['ONE', 'four', 'five']), ['one', 'four', 'three', 'five']);
    const full = Array.from({ length: 26 }, (_, index) => `k${index}`);
    assert.deepEqual(assignLetters(full, ['more']), full);
  });
});
