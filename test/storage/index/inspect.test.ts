import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { applyRecord } from '#storage/index/apply-record.js';
import { emptyCachedMessage, encodeCacheHeader, encodeCacheRecord } from '#storage/index/cache-record.js';
import { IndexState } from '#storage/index/index-state.js';
import { inspectFile } from '#storage/index/inspect.js';
import { encodeKeyBlock, encodeKeyFileHeader } from '#storage/index/key-file.js';
import { encodeLogHeader, logHeaderBytes } from '#storage/index/log-reader.js';
import { modSeqRecord, recentRecord, resetRecord } from '#storage/index/log-record.js';
import { encodeSnapshot } from '#storage/index/snapshot.js';

const bootId = Buffer.alloc(16, 7);
const guid = '0123456789abcdef0123456789abcdef';

function snapshot(): Buffer {
  const state = new IndexState({ maxKeywordLength: 50, maxHistoryRanges: 100 }, 1000);
  applyRecord(state, resetRecord(42, guid));
  return Buffer.concat(encodeSnapshot(state, { logId: 5, offset: 64 }, bootId));
}

const log = Buffer.concat([encodeLogHeader(5, bootId), recentRecord(3), modSeqRecord(2000)]);
const cache = Buffer.concat([
  encodeCacheHeader({ cacheId: 9, uidValidity: 42 }),
  encodeCacheRecord(7, 0, { ...emptyCachedMessage(), envelope: Buffer.from('(NIL)') }),
]);

const keys = Buffer.concat([
  encodeKeyFileHeader({ guid, uidValidity: 42 }),
  encodeKeyBlock('subject', { first: 1, last: 9, uids: Uint32Array.of(2, 5), starts: Uint32Array.of(0, 6), text: 'HELLO\nX' }),
]);

describe('inspecting index files', () => {
  it('shows the header of a snapshot', () => {
    const [header] = inspectFile('roost.index', snapshot()) ?? [];
    assert.equal(header?.part, 'header');
    const { rows, log_id: logId, guid: shownGuid, uid_validity: uidValidity } = header.values;
    assert.deepEqual([rows, logId, shownGuid, uidValidity], [0, 5, guid, 42]);
  });

  it('shows the records of a log', () => {
    const parts = inspectFile('roost.index.log', log) ?? [];
    assert.deepEqual(
      parts.map(({ part, values }) => values['kind'] ?? part),
      ['header', 'recent', 'modSeq'],
    );
    assert.equal(parts[1]?.at, logHeaderBytes);
  });

  it('shows the records of a cache', () => {
    const parts = inspectFile('roost.cache', cache) ?? [];
    assert.deepEqual(
      parts.map(({ values }) => [values['cache_id'], values['uid']]),
      [
        [9, undefined],
        [undefined, 7],
      ],
    );
  });

  it('shows the blocks of searched fields', () => {
    const [header, block] = inspectFile('roost.keys', keys) ?? [];
    assert.deepEqual(header?.values, { guid, uid_validity: 42 });
    assert.deepEqual(block?.values, { field: 'subject', first_uid: 1, last_uid: 9, messages: 2, octets: 56 });
  });

  it('knows no other file', () => assert.equal(inspectFile('dovecot-uidlist', Buffer.alloc(0)), undefined));

  for (const [name, whole] of [
    ['roost.index', snapshot()],
    ['roost.index.log', log],
    ['roost.cache', cache],
    ['roost.keys', keys],
  ] as const) {
    it(`says so when ${name} is cut off, wherever`, () => {
      for (let length = 0; length < whole.length; length += 1) {
        const parts = inspectFile(name, whole.subarray(0, length)) ?? [];
        const isWhole = parts.every(({ values }) => values['invalid'] === undefined);
        // A log or a cache without its last record is whole as well.
        if (isWhole) assert.ok(name !== 'roost.index' && parts.length > 0, `${length} octets`);
        else assert.notEqual(parts.at(-1)?.values['invalid'], undefined);
      }
    });

    it(`does not fail over ${name} with any octet changed`, () => {
      fc.assert(
        fc.property(fc.nat(whole.length - 1), fc.nat(255), (at, octet) => {
          const changed = Buffer.from(whole);
          changed[at] = octet;
          assert.ok((inspectFile(name, changed) ?? []).length > 0);
        }),
      );
    });
  }
});
