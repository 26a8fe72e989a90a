import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseAddressList } from '#mail/address.js';
import { cpuMs } from '../support/cpu-time.js';

/** `name|route|mailbox|host` with - for NIL. */
const shown = (text: string): string[] =>
  parseAddressList(text).map(({ name, route, mailbox, host }) => [name, route, mailbox, host].map((part) => part ?? '-').join('|'));

describe('an address list', () => {
  const cases: readonly (readonly [text: string, expected: readonly string[]])[] = [
    ['', []],
    ['joe@example.org', ['-|-|joe|example.org']],
    ['Joe Q. Public <joe@x>', ['Joe Q. Public|-|joe|x']],
    ['"Joe, Q" <joe@x>, b@c', ['Joe, Q|-|joe|x', '-|-|b|c']],
    ['joe@x (Joe \\) P (nested))', ['Joe ) P (nested)|-|joe|x']],
    ['Pete(A) <pete(B)@silly.test(C)>', ['Pete|-|pete|silly.test']],
    ['<@a,@b:joe@x>', ['-|@a,@b|joe|x']],
    ['"john doe"@x, "a\\"b"@y', ['-|-|john doe|x', '-|-|a"b|y']],
    ['jdoe@test  . example', ['-|-|jdoe|test.example']],
    ['x@[127.0.0.1]', ['-|-|x|[127.0.0.1]']],
    ['Group: a@b, C <c@d>;, e@f', ['-|-|Group|-', '-|-|a|b', 'C|-|c|d', '-|-|-|-', '-|-|e|f']],
    ['undisclosed-recipients:;', ['-|-|undisclosed-recipients|-', '-|-|-|-']],
    ['Group: a@b', ['-|-|Group|-', '-|-|a|b', '-|-|-|-']],
    [', ,a@b,,', ['-|-|a|b']],
    ['postmaster', ['-|-|postmaster|MISSING_DOMAIN']],
    ['no address here', ['no address here|-|MISSING_MAILBOX|MISSING_DOMAIN']],
    ['<>', ['-|-|MISSING_MAILBOX|MISSING_DOMAIN']],
    ['Name <local>', ['Name|-|local|MISSING_DOMAIN']],
    ['@host', ['-|-|MISSING_MAILBOX|host']],
    ['a@b@c, d@e', ['-|-|a|b', '-|-|d|e']],
    ['J\xf6rg <j@x>', ['J\xf6rg|-|j|x']],
    ['=?utf-8?q?J?= =?utf-8?q?R?= <j@x>', ['=?utf-8?q?J?= =?utf-8?q?R?=|-|j|x']],
    ['a@b\r\n , c@d', ['-|-|a|b', '-|-|c|d']],
    [')]<', ['-|-|MISSING_MAILBOX|MISSING_DOMAIN']],
  ];
  for (const [text, expected] of cases)
    it(`${JSON.stringify(text)} is ${expected.join(', ')}`, () => assert.deepEqual(shown(text), expected));

  it('can stop at the first entry', () => {
    assert.equal(parseAddressList('a@b, c@d', 1).length, 1);
    assert.equal(parseAddressList('Group: a@b;', 1).length, 1);
  });
  for (const text of ['(', '<', '"', ',', ';', ':', '@', 'a ', 'a@', '<a@b', '([', '\\', ')', 'a:']) {
    it(`of 200,000 times ${JSON.stringify(text)} takes linear time`, () => {
      const startedAt = cpuMs();
      parseAddressList(text.repeat(200_000));
      assert.ok(cpuMs() - startedAt < 2000);
    });
  }
});
