import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { compilePattern } from '#storage/list/pattern.js';
import { cpuMs } from '../../support/cpu-time.js';

/** The definition, written down: exponential, but plainly right. */
function naive(pattern: string, name: string, separator: string): boolean {
  if (pattern === '') return name === '';
  const rest = pattern.slice(1);
  const wildcard = pattern[0];
  if (wildcard === '*' || wildcard === '%') {
    for (let taken = 0; taken <= name.length; taken += 1) {
      if (wildcard === '%' && name.slice(0, taken).includes(separator)) return false;
      if (naive(rest, name.slice(taken), separator)) return true;
    }
    return false;
  }
  return name !== '' && wildcard === name[0] && naive(rest, name.slice(1), separator);
}

const matches = (pattern: string, name: string, separator = '/'): boolean => compilePattern(pattern, separator).matches(name);

describe('LIST pattern', () => {
  for (const [pattern, name, expected] of [
    ['*', 'a/b', true],
    ['%', 'a', true],
    ['%', 'a/b', false],
    ['%/%', 'a/b', true],
    ['a*', 'a', true],
    ['a%', 'a/b', false],
    ['a/%', 'a/b', true],
    ['*b', 'a/b', true],
    ['%b', 'a/b', false],
    ['a*c', 'a/b/c', true],
    ['%*', 'a/b', true],
    ['*%', 'a/b', true],
    ['a', 'A', false],
    ['inbox', 'INBOX', true],
    ['InBoX', 'INBOX', true],
    ['inb%', 'INBOX', true],
    ['inbox/sub', 'INBOX/sub', true],
    ['inbox/SUB', 'INBOX/sub', false],
    ['inboxes', 'INBOXES', false],
    ['', 'a', false],
    ['[a.b]', '[a.b]', true],
    ['%ü', 'süü', true],
    ['*😀', 'x/😀', true],
    ['%%%%%%a', 'bba', true],
  ] as const) {
    it(`${pattern} ${expected ? 'matches' : 'does not match'} ${name}`, () => assert.equal(matches(pattern, name), expected));
  }

  it('stops % at the separator of the namespace', () => {
    assert.equal(matches('%', 'a/b', '.'), true);
    assert.equal(matches('%', 'a.b', '.'), false);
  });

  it('means what the definition says', () => {
    const text = (alphabet: string): fc.Arbitrary<string> => fc.string({ unit: fc.constantFrom(...alphabet), maxLength: 9 });
    fc.assert(
      fc.property(text('ab/*%'), text('ab/'), (pattern, name) => {
        assert.equal(matches(pattern, name), naive(pattern, name, '/'));
      }),
      { numRuns: 3000 },
    );
  });

  it('answers a hostile pattern at once', () => {
    const startedAt = cpuMs();
    assert.equal(matches(`${'%a*'.repeat(300)}b`, 'a'.repeat(2000)), false);
    assert.equal(matches(`${'*a'.repeat(100)}`, `${'a'.repeat(3000)}b`), false);
    assert.ok(cpuMs() - startedAt < 2000);
  });
});
