import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { extensionField, formatUidListHeader, formatUidListRecord, parseUidList } from '#storage/maildir/uid-list.js';

const guid = '0123456789abcdef0123456789abcdef';
const header = `3 V1719900000 N4 G${guid}\n`;

function records(text: string): [number, string, string][] {
  const { records: columns } = parseUidList(Buffer.from(text, 'latin1'));
  return Array.from({ length: columns.length }, (_, row) => [columns.uid[row] as number, columns.extensionOf(row), columns.nameOf(row)]);
}

describe('dovecot-uidlist', () => {
  it('version 3 is read', () => {
    const text = `${header}1 :1719900001.M100P10.host,S=512,W=526\n3 W1040 :1719900003.M300P12.host,S=1020\n`;
    const list = parseUidList(Buffer.from(text));
    assert.deepEqual(list.header, { version: 3, uidValidity: 1719900000, uidNext: 4, guid, extras: [] });
    assert.equal(list.needsRewrite, false);
    assert.deepEqual(records(text), [
      [1, '', '1719900001.M100P10.host,S=512,W=526'],
      [3, 'W1040 ', '1719900003.M300P12.host,S=1020'],
    ]);
  });

  it('version 1 is read and has to be replaced', () => {
    const list = parseUidList(Buffer.from('1 1719900000 9\n3 1719900001.M1P1.host:2,S\n7 x\n'));
    assert.equal(list.header?.uidNext, 9);
    assert.equal(list.needsRewrite, true);
    assert.deepEqual(records('1 1719900000 9\n3 1719900001.M1P1.host:2,S\n7 x\n'), [
      [3, '', '1719900001.M1P1.host'],
      [7, '', 'x'],
    ]);
  });

  it('keeps header keys it does not know', () => {
    const list = parseUidList(Buffer.from(`3 V1 N2 G${guid} P%v.%u Xfoo\n`));
    assert.deepEqual(list.header?.extras, ['P%v.%u', 'Xfoo']);
    assert.equal(formatUidListHeader({ uidValidity: 1, uidNext: 2, guid, extras: ['P%v.%u', 'Xfoo'] }), `3 V1 N2 G${guid} P%v.%u Xfoo\n`);
  });

  it('takes the next UID from the last record when the header is behind', () => {
    assert.equal(parseUidList(Buffer.from(`${header}9 :a\n`)).header?.uidNext, 10);
  });

  for (const { title, text, count, broken } of [
    { title: 'an empty file', text: '', count: 0, broken: 'line 1: no valid header' },
    { title: 'an unknown version', text: '2 V1 N1\n', count: 0, broken: 'line 1: no valid header' },
    { title: 'UIDVALIDITY 0', text: `3 V0 N1 G${guid}\n`, count: 0, broken: 'line 1: no valid header' },
    { title: 'a UID that does not grow', text: `${header}2 :a\n2 :b\n`, count: 1, broken: 'line 3: UID 2 after 2' },
    { title: 'a UID of 2^32-1', text: `${header}4294967295 :a\n`, count: 0, broken: 'line 2: UID 4294967295 after 0' },
    { title: 'a record without a name', text: `${header}1 :\n`, count: 0, broken: 'line 2: bad file name' },
    { title: 'a record without a colon', text: `${header}1 abc\n`, count: 0, broken: 'line 2: no file name' },
    { title: 'rubbish', text: `${header}hello\n`, count: 0, broken: 'line 2: no UID' },
    { title: 'a last line cut off', text: `${header}1 :a\n2 :b`, count: 1, broken: undefined },
  ]) {
    it(`stops at ${title}`, () => {
      const list = parseUidList(Buffer.from(text));
      assert.equal(list.broken, broken);
      assert.equal(list.records.length, count);
      assert.equal(list.needsRewrite, true);
    });
  }

  it('never throws, whatever the octets are', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => parseUidList(Buffer.from(bytes)).records.length >= 0));
    fc.assert(fc.property(fc.string(), (text) => parseUidList(Buffer.from(header + text)).header !== undefined));
  });

  it('reads back what it writes', () => {
    const name = fc.stringMatching(/^[!-9;-~][ -9;-~]{0,40}$/);
    const extension = fc.constantFrom('', 'W12 ', 'Gabc P1 ', 'S1 W2 O3 ');
    fc.assert(
      fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 4294967290 })), name, extension, (uids, baseName, fields) => {
        const sorted = uids.sort((a, b) => a - b);
        const text = header + sorted.map((uid) => formatUidListRecord(uid, fields, baseName)).join('');
        assert.deepEqual(
          records(text),
          sorted.map((uid) => [uid, fields, baseName]),
        );
      }),
    );
  });

  it('finds extension fields', () => {
    assert.equal(extensionField('W12 Gabc ', 'G'), 'abc');
    assert.equal(extensionField('W12 Gabc ', 'P'), undefined);
  });
});
