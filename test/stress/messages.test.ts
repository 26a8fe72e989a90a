import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { simpleParser } from 'mailparser';
import { firstPartOf, isBinary, messageOf, piecesOf, textOf } from './messages.js';

const plain = Array.from({ length: 40 }, (_, index) => `s${index % 7}-${index}`);

describe('Messages of the stress client', () => {
  it('have a first part that an independent parser reads as the same', async () => {
    let encoded = 0;
    for (const token of plain) {
      const message = messageOf(token);
      if (message.includes('base64')) encoded += 1;
      const { text, subject } = await simpleParser(Buffer.from(message, 'latin1'));
      assert.equal(subject, token);
      // It gives the second part as text, too.
      assert.ok(text?.startsWith(firstPartOf(token).replaceAll('\r\n', '\n').trimEnd()), token);
    }
    assert.ok(encoded > 0);
  });

  it('are the same when their pieces are put together', () => {
    for (const how of ['t', 'w'])
      for (const source of ['s1-5', 'z-s1-6', ...plain]) {
        const token = `s3-14+${how}${source}`;
        const octets = piecesOf(token).map((piece) => {
          if ('text' in piece) return piece.text;
          return piece.section === 'TEXT' ? textOf(messageOf(piece.token)) : messageOf(piece.token);
        });
        assert.equal(octets.join(''), messageOf(token));
        assert.ok(messageOf(token).includes(textOf(messageOf(source))));
        assert.ok(messageOf(token).includes(firstPartOf(token)));
      }
  });

  it('have a NUL where they are to be sent as binary, and nowhere else', () => {
    assert.ok(messageOf('z-s1-1').includes('\0') && isBinary('z-s1-1'));
    for (const token of plain) assert.ok(!messageOf(token).includes('\0') && !isBinary(token));
  });
});
