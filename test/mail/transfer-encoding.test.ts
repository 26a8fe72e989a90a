import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createTransferDecoder, decodeTransfer } from '#mail/transfer-encoding.js';

function decodePieces(encoded: Buffer, encoding: string, size: number): Buffer {
  const decoder = createTransferDecoder(encoding);
  assert.ok(decoder);
  const pieces: Buffer[] = [];
  for (let at = 0; at < encoded.length; at += size) pieces.push(decoder.push(Buffer.from(encoded.subarray(at, at + size))));
  return Buffer.concat([...pieces, decoder.end()]);
}

/** Strict encoder for the round trip: every octet escaped or literal, soft breaks at 70 characters. */
function encodeQuotedPrintable(octets: Buffer): string {
  let text = '';
  let line = 0;
  for (const octet of octets) {
    const isPlain = octet > 0x20 && octet < 0x7f && octet !== 0x3d;
    const piece = isPlain ? String.fromCharCode(octet) : `=${octet.toString(16).toUpperCase().padStart(2, '0')}`;
    if (line + piece.length > 70) {
      text += '=\r\n';
      line = 0;
    }
    text += piece;
    line += piece.length;
  }
  return text;
}

describe('base64', () => {
  const cases: readonly (readonly [encoded: string, expected: string])[] = [
    ['', ''],
    ['QUJD', 'ABC'],
    ['QUI=', 'AB'],
    ['QQ==', 'A'],
    ['QQ', 'A'],
    ['QUJ', 'AB'],
    ['Q', ''],
    ['QU\r\nJD\r\n', 'ABC'],
    ['Q*U-J D', 'ABC'],
    ['QQ==QUJD', 'AABC'],
    ['====', ''],
  ];
  for (const [encoded, expected] of cases) {
    it(`${JSON.stringify(encoded)} is ${expected}`, () =>
      assert.equal(decodeTransfer(Buffer.from(encoded), 'base64').toString(), expected));
  }
  it('any octets come back, however the text is cut', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 1, max: 20 }), (octets, size) => {
        const encoded = (
          Buffer.from(octets)
            .toString('base64')
            .match(/.{1,76}/g) ?? []
        ).join('\r\n');
        assert.deepEqual([...decodePieces(Buffer.from(encoded), 'base64', size)], [...octets]);
      }),
    );
  });
});

describe('quoted-printable', () => {
  const cases: readonly (readonly [encoded: string, expected: string])[] = [
    ['a=20b', 'a b'],
    ['a=\r\nb', 'ab'],
    ['a=\nb', 'ab'],
    ['a= \t\r\nb', 'ab'],
    ['a  \t\r\nb', 'a\r\nb'],
    ['a  b', 'a  b'],
    ['trailing  ', 'trailing'],
    ['a=zzb', 'a=zzb'],
    ['a=4', 'a=4'],
    ['a=4x', 'a=4x'],
    ['a=', 'a'],
    ['=3D=3d', '=='],
    ['==41', '=A'],
    ['a \r b', 'a \r b'],
    [`a${' '.repeat(999)}\r\nb`, 'a\r\nb'],
    [`a${' '.repeat(1000)}\r\nb`, `a${' '.repeat(1000)}\r\nb`],
    [`a${' '.repeat(2500)}b`, `a${' '.repeat(2500)}b`],
    [`a=${' '.repeat(1500)}b`, `a=${' '.repeat(1500)}b`],
  ];
  for (const [encoded, expected] of cases) {
    it(`${JSON.stringify(encoded.slice(0, 20))} (${encoded.length}) is decoded the same whole and in pieces`, () => {
      assert.equal(decodeTransfer(Buffer.from(encoded), 'quoted-printable').toString('latin1'), expected);
      for (const size of [1, 2, 3, 7])
        assert.equal(decodePieces(Buffer.from(encoded), 'quoted-printable', size).toString('latin1'), expected, `pieces of ${size}`);
    });
  }
  it('any octets come back, however the text is cut', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 1, max: 20 }), (octets, size) => {
        const encoded = encodeQuotedPrintable(Buffer.from(octets));
        assert.deepEqual([...decodePieces(Buffer.from(encoded), 'quoted-printable', size)], [...octets]);
      }),
    );
  });
  it('any input is decoded the same whole and in pieces', () => {
    const piece = fc.constantFrom('=', ' ', '\t', '\r', '\n', '\r\n', 'a', '4', 'F', '=41', '=\r\n');
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), fc.integer({ min: 1, max: 5 }), (pieces, size) => {
        const encoded = Buffer.from(pieces.join(''));
        assert.equal(decodePieces(encoded, 'quoted-printable', size).toString(), decodeTransfer(encoded, 'quoted-printable').toString());
      }),
    );
  });
});

describe('a transfer encoding', () => {
  it('that is none keeps the octets', () => {
    for (const encoding of ['7bit', '8bit', 'binary'])
      assert.equal(decodePieces(Buffer.from('a\0\xff'), encoding, 1).toString(), 'a\0\xff');
  });
  it('that is not known has no decoder', () => assert.equal(createTransferDecoder('x-unknown'), undefined));
});
