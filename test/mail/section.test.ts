import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseStructure } from '#mail/mime-tree.js';
import { findPart, findSection, type SectionKind } from '#mail/section.js';
import { crlf, readMessageCrlf } from './messages.js';

function sectionText(message: Buffer, section: string): string | undefined {
  const match = /^([\d.]*?)\.?(MIME|HEADER|TEXT)?$/.exec(section);
  const path = match?.[1] ? match[1].split('.').map(Number) : [];
  const kind = (match?.[2]?.toLowerCase() ?? 'all') as SectionKind;
  const range = findSection(parseStructure(message), path, kind);
  return range === undefined ? undefined : message.toString('latin1', range.start, range.end);
}

const single = crlf('Subject: s\n\nbody\n');
const mixed = crlf(
  'Content-Type: multipart/mixed; boundary=b\n\n--b\nX: 1\n\none\n--b\nContent-Type: message/rfc822\nX: 2\n\nSubject: in\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\ndeep\n--c--\n--b\nContent-Type: message/rfc822\n\nSubject: flat\n\ntext\n--b--\n',
);

describe('section', () => {
  const cases: readonly (readonly [message: Buffer, section: string, expected: string | undefined])[] = [
    [single, '', 'Subject: s\r\n\r\nbody\r\n'],
    [single, 'HEADER', 'Subject: s\r\n\r\n'],
    [single, 'TEXT', 'body\r\n'],
    [single, 'MIME', undefined],
    [single, '1', 'body\r\n'],
    [single, '1.MIME', 'Subject: s\r\n\r\n'],
    [single, '1.HEADER', undefined],
    [single, '1.1', undefined],
    [single, '2', undefined],
    [single, '0', undefined],
    [mixed, '1', 'one'],
    [mixed, '1.MIME', 'X: 1\r\n\r\n'],
    [mixed, '1.TEXT', undefined],
    [mixed, '2.MIME', 'Content-Type: message/rfc822\r\nX: 2\r\n\r\n'],
    [mixed, '2.HEADER', 'Subject: in\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n'],
    [mixed, '2.TEXT', '--c\r\n\r\ndeep\r\n--c--'],
    [mixed, '2.1', 'deep'],
    [mixed, '2.1.MIME', '\r\n'],
    [mixed, '2.2', undefined],
    [mixed, '3', 'Subject: flat\r\n\r\ntext'],
    [mixed, '3.1', 'text'],
    [mixed, '3.1.MIME', 'Subject: flat\r\n\r\n'],
    [mixed, '3.1.1', undefined],
    [mixed, '4', undefined],
  ];
  for (const [message, section, expected] of cases) {
    it(`[${section}] of a ${message === single ? 'simple' : 'nested'} message is ${JSON.stringify(expected)}`, () =>
      assert.equal(sectionText(message, section), expected));
  }
  it('[1] of a multipart without parts does not exist', () => {
    assert.equal(sectionText(readMessageCrlf('no-parts'), '1'), undefined);
  });
  it('[1.HEADER] reaches into a message that is nothing but an embedded message', () => {
    assert.match(sectionText(readMessageCrlf('message-rfc822'), '1.HEADER') ?? '', /^From: Inner/);
    assert.equal(sectionText(readMessageCrlf('message-rfc822'), '1.2'), 'h');
  });
  it('finds the part itself for BINARY', () => {
    assert.equal(findPart(parseStructure(mixed), [3, 1])?.encoding, '7bit');
    assert.equal(findPart(parseStructure(mixed), [9]), undefined);
  });
});
