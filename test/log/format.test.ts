import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatLine, formatTimestamp, levelOf } from '#log/format.js';

const at = new Date(2026, 6, 1, 12, 3, 4);

describe('The time stamp of text lines', () => {
  const patterns: readonly (readonly [string, string])[] = [
    ['%b %d %H:%M:%S ', 'Jul 01 12:03:04 '],
    ['%Y-%m-%d %H:%M:%S ', '2026-07-01 12:03:04 '],
    ['%F %T ', '2026-07-01 12:03:04 '],
    ['%a %e %h %y%% ', 'Wed  1 Jul 26% '],
    ['%Q ', '%Q '],
    ['', ''],
  ];
  for (const [pattern, expected] of patterns) {
    it(`is ${JSON.stringify(expected)} for ${JSON.stringify(pattern)}`, () => {
      assert.equal(formatTimestamp(pattern, at), expected);
    });
  }
});

describe('A JSON line as text', () => {
  const line = (fields: object): string => JSON.stringify({ level: 'info', time: at.getTime(), pid: 1, prefix: 'imap: ', ...fields });

  it('has time stamp, prefix, level and message', () => {
    const text = formatLine(line({ event: 'session.login', message: 'Login: user=<bob>' }), '%b %d %H:%M:%S ');
    assert.equal(text, 'Jul 01 12:03:04 imap: Info: Login: user=<bob>');
  });

  it('cannot be broken into two by what a client sent, nor speak to the terminal', () => {
    assert.equal(formatLine(line({ message: 'user=<a\nb\r\x1b[2J>' }), ''), 'imap: Info: user=<a\\nb\\x0d\\x1b[2J>');
  });

  it('shows the stack of an error on lines of its own', () => {
    assert.equal(
      formatLine(line({ level: 'error', message: 'no', error: { stack: 'Error: x\n  at y' } }), ''),
      'imap: Error: no\n    Error: x\n      at y',
    );
  });

  for (const foreign of ['', 'out of memory', '{"a":', '[]', '{"message":1}']) {
    it(`is undefined for ${JSON.stringify(foreign)}`, () => {
      assert.equal(formatLine(foreign, ''), undefined);
    });
  }
});

describe('The level of a line', () => {
  for (const level of ['debug', 'info', 'warning', 'error'] as const) {
    it(`is found at its beginning: ${level}`, () => {
      assert.equal(levelOf(`{"level":"${level}","time":1}`), level);
    });
  }
  it('is unknown for other lines', () => {
    assert.equal(levelOf('FATAL ERROR: heap'), undefined);
    assert.equal(levelOf('{"time":1,"level":"info"}'), undefined);
  });
});
