import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PasswordMask } from '#services/imap/password-mask.js';
import { everySplit } from '../../support/each-split.js';

function maskAll(chunks: readonly Buffer[]): string {
  const mask = new PasswordMask();
  return chunks.map((chunk) => mask.push(chunk).toString('latin1')).join('');
}

describe('passwords in a raw log', () => {
  for (const [text, expected] of [
    ['a NOOP\r\nb LOGIN bob secret\r\nc NOOP\r\n', 'a NOOP\r\nb LOGIN <hidden>\r\nc NOOP\r\n'],
    ['b login bob {6+}\r\nsecret\r\nc NOOP\r\n', 'b login <hidden>\r\nc NOOP\r\n'],
    ['b LOGIN {3}\r\nbob {7}\r\nsec\r\n1! \r\nc NOOP\r\n', 'b LOGIN <hidden>\r\nc NOOP\r\n'],
    ['b AUTHENTICATE PLAIN AGJvYgBzZWNyZXQ=\r\nc X\r\n', 'b AUTHENTICATE <hidden>\r\nc X\r\n'],
    ['a APPEND x {5+}\r\nLOGIN\r\nc X\r\n', 'a APPEND x {5+}\r\nLOGIN\r\nc X\r\n'],
    [`${'x'.repeat(300)} LOGIN a b\r\nc X\r\n`, `${'x'.repeat(300)} LOGIN a b\r\nc X\r\n`],
    ['b LOGINX bob\r\n', 'b LOGINX bob\r\n'],
  ] as const) {
    it(`${JSON.stringify(text.slice(0, 60))}, cut anywhere`, () => {
      for (const chunks of everySplit(Buffer.from(text, 'latin1'))) assert.equal(maskAll(chunks), expected);
    });
  }
});
