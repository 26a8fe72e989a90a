import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parsePath } from '#protocol/smtp/address.js';
import { parseSmtpCommand } from '#protocol/smtp/commands.js';
import { encodeReply, reply } from '#protocol/smtp/reply.js';

const parse = (line: string) => parseSmtpCommand(Buffer.from(line));

describe('SMTP path', () => {
  const good: readonly (readonly [string, string, string, string])[] = [
    ['<a@example.test>', 'a', 'example.test', ''],
    [' <a@Example.TEST> SIZE=5', 'a', 'example.test', 'SIZE=5'],
    ['a@example.test', 'a', 'example.test', ''],
    ['<postmaster>', 'postmaster', '', ''],
    ['<>', '', '', ''],
    ['<@relay.test,@b.test:a@example.test>', 'a', 'example.test', ''],
    ['<"a b>c\\"d"@example.test>', 'a b>c"d', 'example.test', ''],
    ['<a+b=c@example.test>', 'a+b=c', 'example.test', ''],
    ['<a@[127.0.0.1]>', 'a', '[127.0.0.1]', ''],
    ['<a@[IPv6:::1]>', 'a', '[ipv6:::1]', ''],
    ['<jürgen@bücher.example>', 'jürgen', 'bücher.example', ''],
  ];
  for (const [text, localPart, domain, rest] of good) {
    it(`accepts ${text}`, () => {
      const parsed = parsePath(text);
      assert.deepEqual([parsed?.path.localPart, parsed?.path.domain, parsed?.rest], [localPart, domain, rest]);
    });
  }
  for (const text of [
    '',
    '<',
    '<a@b',
    '<a@>',
    '<@b>',
    '<a..b@c>',
    '<.a@c>',
    '<a@b c>',
    '<a@-b>',
    '<a\x01@b>',
    '<a@b>x',
    '<a b@c>',
    `<${'a'.repeat(257)}@b>`,
    `<a@${'b'.repeat(256)}>`,
    '<"a@b>',
    '<a@b@c>',
    '<../../x@b/c>',
  ]) {
    it(`refuses ${JSON.stringify(text.slice(0, 40))}`, () => assert.equal(parsePath(text), undefined));
  }
  it('never throws and never gives control characters', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 80 }), (text) => {
        const parsed = parsePath(text);
        if (parsed !== undefined) assert.doesNotMatch(parsed.path.text, /[\u0000-\u001f]/);
      }),
    );
  });
});

describe('SMTP command', () => {
  it('is read with parameters, names in upper case', () => {
    const command = parse('mail from:<a@b.test> size=100 BODY=8BITMIME smtputf8');
    assert.equal(command.kind, 'mail');
    if (command.kind === 'mail')
      assert.deepEqual(
        [...command.parameters],
        [
          ['SIZE', '100'],
          ['BODY', '8BITMIME'],
          ['SMTPUTF8', undefined],
        ],
      );
  });
  it('accepts blanks around the colon', () => assert.equal(parse('RCPT TO: <a@b.test>').kind, 'rcpt'));
  it('reads BDAT', () => assert.deepEqual(parse('BDAT 86 LAST'), { kind: 'bdat', size: 86, isLast: true }));
  const refused: readonly (readonly [string, number])[] = [
    ['', 500],
    ['FROB', 500],
    ['EHLO', 501],
    ['EHLO a b', 501],
    ['MAIL', 501],
    ['MAIL TO:<a@b>', 501],
    ['MAIL FROM:<a@b> SIZE=1 SIZE=2', 501],
    ['MAIL FROM:<a@b> =x', 501],
    ['RCPT TO:<>', 501],
    ['DATA now', 501],
    ['BDAT -1', 501],
    ['BDAT 9999999999999999', 501],
    ['NOOP\0', 500],
  ];
  for (const [line, code] of refused) {
    it(`refuses ${JSON.stringify(line)} with ${code}`, () => {
      const command = parse(line);
      assert.equal(command.kind, 'bad');
      if (command.kind === 'bad') assert.equal(command.code, code);
    });
  }
  it('refuses octets that are no UTF-8', () =>
    assert.equal(parseSmtpCommand(Buffer.from([0x4e, 0x4f, 0x4f, 0x50, 0x20, 0xff])).kind, 'bad'));
  it('never throws', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => void parseSmtpCommand(Buffer.from(bytes))));
  });
});

describe('SMTP reply', () => {
  it('marks all but the last line with a hyphen', () =>
    assert.equal(encodeReply(reply(250, undefined, 'host', 'SIZE 10')), '250-host\r\n250 SIZE 10\r\n'));
  it('never lets quoted client text end the line', () =>
    assert.equal(encodeReply(reply(550, '5.1.1', 'a\r\n250 b')), '550 5.1.1 a??250 b\r\n'));
});
