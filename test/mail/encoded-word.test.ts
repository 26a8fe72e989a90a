import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { decodeCharset, isKnownCharset, loadCharset } from '#mail/charset.js';
import { decodeWords, encodeWords } from '#mail/encoded-word.js';
import { cpuMs } from '../support/cpu-time.js';

describe('encoded words', () => {
  const cases: readonly (readonly [text: string, expected: string])[] = [
    ['plain', 'plain'],
    ['=?utf-8?Q?Gr=C3=BC=C3=9Fe?=', 'Grüße'],
    ['=?ISO-8859-1?q?a_b=20c?=', 'a b c'],
    ['=?utf-8?B?4oKs?= 5', '€ 5'],
    ['=?utf-8?q?a?= =?utf-8?q?b?=', 'ab'],
    ['=?utf-8?q?a?=\r\n =?iso-8859-1?q?=E4?=', 'aä'],
    ['=?utf-8?q?a?= x =?utf-8?q?b?=', 'a x b'],
    ['=?utf-8?B?4oI=?= =?utf-8?B?rA==?=', '€'],
    ['=?utf-8*de?q?=C3=A4?=', 'ä'],
    ['=?utf-8?q?What??=', 'What?'],
    ['=?utf-8?q?spaces in word?=', 'spaces in word'],
    ['=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=', '日本'],
    ['=?koi8-r?Q?=F0=D2=C9=D7=C5=D4?=', 'Привет'],
    ['=?gb2312?B?1tDOxA==?=', '中文'],
    ['=?utf-7?q?+AOQ-?=', 'ä'],
    ['=?x-nowhere?q?=C3=A4?=', 'ä'],
    ['=?utf-8?x?abc?=', '=?utf-8?x?abc?='],
    ['=?utf-8?q?open', '=?utf-8?q?open'],
    ['=?=?utf-8?q?a?=', '=?a'],
  ];
  for (const [text, expected] of cases) it(`${JSON.stringify(text)} read ${expected}`, () => assert.equal(decodeWords(text), expected));

  it('beside raw octets: those are UTF-8, else windows-1252', () => {
    assert.equal(decodeWords('raw \xc3\xa4'), 'raw ä');
    assert.equal(decodeWords('raw \xe4\x80'), 'raw ä€');
  });
  it('are written in pieces of at most 75 characters', () => {
    for (const text of ['ü'.repeat(300), `${'word '.repeat(50)}ü`, '日本語'.repeat(50), 'a=?b?= ']) {
      const encoded = encodeWords(text);
      for (const word of encoded.split(' ')) assert.ok(word.length <= 75 && /^=\?utf-8\?[bq]\?[\x21-\x3e\x40-\x7e]+\?=$/.test(word), word);
      assert.equal(decodeWords(encoded), text);
    }
  });
  it('any text survives encoding and decoding', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), (text) => assert.equal(decodeWords(encodeWords(text)), text)));
  });
  it('any octets are decoded without failing', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('=?', '?=', '?', 'q', 'B', 'utf-8', '_', '=', 'A4', ' ', '\xe4', '*') }), (text) =>
        assert.equal(typeof decodeWords(text), 'string'),
      ),
    );
  });
  it('take linear time', () => {
    for (const text of ['=?utf-8?q?', '=?', '=?utf-8?q?a?= ', '?=']) {
      const startedAt = cpuMs();
      decodeWords(text.repeat(100_000));
      decodeWords(`${text.repeat(100_000)}?=`);
      assert.ok(cpuMs() - startedAt < 2000, text);
    }
  });
});

describe('a charset', () => {
  const cases: readonly (readonly [charset: string | undefined, hex: string, expected: string])[] = [
    [undefined, 'c3a4', 'ä'],
    [undefined, 'e4', 'ä'],
    ['us-ascii', 'c3a4', 'ä'],
    ['UTF-8', 'c3a4ff', 'ä\ufffd'],
    ['iso-8859-15', 'a4', '€'],
    ['cp932', '93fa', '日'],
    ['ks_c_5601-1987', 'c7d1', '한'],
    ['utf-16', 'fffe4100', 'A'],
    ['utf-16', '0041', 'A'],
    ['utf-7', '2b414f512d', 'ä'],
    ['utf-7', '2b2d', '+'],
  ];
  for (const [charset, hex, expected] of cases) {
    it(`${charset}: ${hex} is ${expected}`, () => assert.equal(decodeCharset(Buffer.from(hex, 'hex'), charset), expected));
  }
  it('that only iconv-lite has is known once loaded', async () => {
    assert.equal(isKnownCharset('cp437'), false);
    assert.equal(await loadCharset('CP437'), true);
    assert.equal(decodeCharset(Buffer.from([0x84]), 'cp437'), 'ä');
    assert.equal(await loadCharset('x-nowhere'), false);
  });
});
