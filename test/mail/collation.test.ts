import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { baseSubject } from '#mail/base-subject.js';
import { casemap, collationKey, compareKeys } from '#mail/collation.js';
import { addressKey, displayKey, sentDateMs, subjectKey } from '#mail/sort-key.js';
import { cpuMs } from '../support/cpu-time.js';

describe('i;unicode-casemap', () => {
  const equal: readonly (readonly [string, string])[] = [
    ['abc', 'ABC'],
    ['Grüße', 'GRÜßE'],
    ['é', 'e\u0301'],
    ['Å', '\u212b'],
    ['ﬁ', 'ﬁ'],
    ['①', '1'],
    ['Ω', 'ω'],
    ['ǅ', 'ǆ'],
    ['straße ä', 'Straße Ä'],
  ];
  for (const [a, b] of equal) it(`takes ${a} and ${b} for the same`, () => assert.equal(casemap(a), casemap(b)));
  const different: readonly (readonly [string, string])[] = [
    ['e', 'é'],
    ['ß', 'ss'],
    ['a', 'b'],
  ];
  for (const [a, b] of different) it(`tells ${a} from ${b}`, () => assert.notEqual(casemap(a), casemap(b)));
  it('maps every character to one, whatever JavaScript makes of it', () => {
    for (let code = 0x80; code < 0x20000; code += 1) {
      if (code >= 0xd800 && code < 0xe000) continue;
      const character = String.fromCodePoint(code);
      const upper = character.toUpperCase();
      assert.equal(
        casemap(`a${character}`),
        `A${(upper.length === character.length ? upper : character).normalize('NFKD')}`,
        code.toString(16),
      );
    }
  });
  it('sorts by code points, also beyond the first 65,536', () => {
    const sorted = ['\u{1f600}', '\uff21\uffee', 'b', 'A', '\ue000'].sort((a, b) => compareKeys(collationKey(a), collationKey(b)));
    const bySlowWay = [...sorted].sort((a, b) => Buffer.compare(Buffer.from(casemap(a)), Buffer.from(casemap(b))));
    assert.deepEqual(sorted, bySlowWay);
    assert.equal(sorted.at(-1), '\u{1f600}');
  });
});

describe('the base subject (RFC 5256 2.1)', () => {
  const cases: readonly (readonly [subject: string, expected: string, isReply: boolean])[] = [
    ['hello', 'hello', false],
    ['Re: hello', 'hello', true],
    ['RE : re: FWD: fw: hello', 'hello', true],
    ['Re[2]: hello', 'hello', true],
    ['[list] Re: [other] hello', 'hello', true],
    ['[list] hello', 'hello', false],
    ['[only]', '[only]', false],
    ['[a] [b]', '[b]', false],
    ['hello (fwd) (FWD) ', 'hello', true],
    ['[Fwd: hello]', 'hello', true],
    ['[fwd: Re: [x] hello (fwd)]', 'hello', true],
    ['Re:', '', true],
    ['', '', false],
    ['  many   spaces\there ', 'many spaces here', false],
    ['=?utf-8?q?Re=3A_gr=C3=BCn?=', 'grün', true],
    ['Regards: x', 'Regards: x', false],
    ['AW: hallo', 'AW: hallo', false],
  ];
  for (const [subject, expected, isReply] of cases) {
    it(`of ${JSON.stringify(subject)} is ${JSON.stringify(expected)}${isReply ? ', a reply' : ''}`, () =>
      assert.deepEqual(baseSubject(subject), { text: expected, isReplyOrForward: isReply }));
  }
  for (const piece of ['[', '[a]', 're:', ' ', '[fwd:', '(fwd)', ']', 're[']) {
    it(`of a million times ${JSON.stringify(piece)} is found at once`, () => {
      const startedAt = cpuMs();
      baseSubject(piece.repeat(1_000_000));
      assert.ok(cpuMs() - startedAt < 1000);
    });
  }
});

describe('sort keys', () => {
  it('of addresses are the mailbox of the first', () => {
    assert.equal(addressKey('Zed <anna@x>, b@y'), 'ANNA');
    assert.equal(addressKey('Group: a@b;'), 'GROUP');
    assert.equal(addressKey(undefined), '');
  });
  it('for display are the name, else the address (RFC 5957)', () => {
    assert.equal(displayKey('=?utf-8?q?=C3=84nne?= <a@x>'), casemap('Änne'));
    assert.equal(displayKey('a@x'), 'A@X');
    assert.equal(displayKey(''), '');
  });
  it('of subjects are the base subject', () => assert.equal(subjectKey('Re: Hello'), subjectKey('hello')));
  it('of dates fall back to the internal date', () => {
    assert.equal(sentDateMs('1 Jan 1970 01:00:00 +0100', 5), 0);
    assert.equal(sentDateMs('nonsense', 5), 5);
    assert.equal(sentDateMs(undefined, 5), 5);
  });
});
