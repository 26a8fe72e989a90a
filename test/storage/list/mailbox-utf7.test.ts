import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { decodeMailboxUtf7, encodeMailboxUtf7 } from '#storage/list/mailbox-utf7.js';

describe('modified UTF-7', () => {
  for (const [text, encoded] of [
    ['INBOX', 'INBOX'],
    ['a & b', 'a &- b'],
    ['&', '&-'],
    ['Entwürfe', 'Entw&APw-rfe'],
    ['~peter/mail/台北/日本語', '~peter/mail/&U,BTFw-/&ZeVnLIqe-'],
    ['☺!', '&Jjo-!'],
    ['😀', '&2D3eAA-'],
    ['tab\tbed', 'tab&AAk-bed'],
  ] as const) {
    it(`writes ${JSON.stringify(text)} as ${encoded} and reads it back`, () => {
      assert.equal(encodeMailboxUtf7(text), encoded);
      assert.equal(decodeMailboxUtf7(encoded), text);
    });
  }

  for (const encoded of [
    '&',
    '&Jjo',
    'ü',
    '&AGE-',
    '&Jjo-&Jjo-',
    '&U,BTFw-&ZeVnLIqe-',
    '&AC8-',
    '&AC4-',
    '&Jjp-',
    '&2D0-',
    '&A-',
    'a\tb',
    '&Jjo!-',
  ]) {
    it(`does not take ${JSON.stringify(encoded)} for a name`, () => {
      assert.equal(decodeMailboxUtf7(encoded), undefined);
    });
  }

  it('gives back every text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        assert.equal(decodeMailboxUtf7(encodeMailboxUtf7(text)), text);
      }),
    );
  });

  it('never reads two names as one text', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'&-AaJjo,/.+=b') }), (encoded) => {
        const text = decodeMailboxUtf7(encoded);
        if (text !== undefined) assert.equal(encodeMailboxUtf7(text), encoded);
      }),
    );
  });
});
