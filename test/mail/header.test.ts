import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FieldSet, fieldText, findField, selectFields, splitHeader } from '#mail/header.js';
import { crlf } from './messages.js';

const block = crlf('From: a@b\nSubject: one\n two\n\tthree \nX-Odd\t : y\nnot a field\nTo:c@d\nsubject: again\n\nbody: no\n');

describe('a header block', () => {
  it('is split into fields up to the empty line', () => {
    assert.deepEqual(
      splitHeader(block).map((field) => [field.name, fieldText(block, field)]),
      [
        ['from', 'a@b'],
        ['subject', 'one two three'],
        ['x-odd', 'y'],
        ['', 'not a field'],
        ['to', 'c@d'],
        ['subject', 'again'],
      ],
    );
  });
  it('is covered by its fields without gaps', () => {
    let at = 0;
    for (const field of splitHeader(block)) {
      assert.equal(field.start, at);
      at = field.end;
    }
    assert.equal(block.toString('latin1', at, at + 2), '\r\n');
  });
  it('can be searched for some fields only', () => {
    assert.deepEqual(
      splitHeader(block, new FieldSet(['to', 'subject'])).map(({ name }) => name),
      ['subject', 'to', 'subject'],
    );
    assert.equal(findField(block, 'subject'), 'one two three');
    assert.equal(findField(block, 'cc'), undefined);
  });
  it('knows a field by its name where the name has octets that Latin-1 calls letters', () => {
    const odd = Buffer.from('X-\xc0\xDE: 1\n', 'latin1');
    assert.deepEqual(
      splitHeader(odd).map(({ name }) => name),
      ['x-\xc0\xde'],
    );
    assert.deepEqual(selectFields(odd, ['x-\xc0\xde']), odd);
    assert.equal(selectFields(odd, ['x-\xc0\xde'], false).length, 0);
  });
  it('with LF line ends is read the same way', () => {
    const names = (text: string): string[] => splitHeader(Buffer.from(text)).map(({ name }) => name);
    assert.deepEqual(names('A: 1\nB: 2\n 3\n\nC: 4\n'), ['a', 'b']);
    assert.deepEqual(names('A: 1'), ['a']);
    assert.deepEqual(names(''), []);
    assert.deepEqual(names('\r\nA: 1'), []);
  });
  it('of a name of 999 octets has no field', () => {
    assert.equal(splitHeader(Buffer.from(`${'x'.repeat(997)}: y`))[0]?.name.length, 997);
    assert.equal(splitHeader(Buffer.from(`${'x'.repeat(999)}: y`))[0]?.name, '');
  });
});

describe('selected fields (BODY[HEADER.FIELDS])', () => {
  it('are the raw octets in message order', () => {
    assert.equal(
      selectFields(block, ['to', 'subject']).toString('latin1'),
      'Subject: one\r\n two\r\n\tthree \r\nTo:c@d\r\nsubject: again\r\n',
    );
    assert.equal(selectFields(block, ['bcc']).length, 0);
  });
  it('and the others make up the whole', () => {
    assert.equal(selectFields(block, ['subject'], false).toString('latin1'), 'From: a@b\r\nX-Odd\t : y\r\nnot a field\r\nTo:c@d\r\n');
  });
});
