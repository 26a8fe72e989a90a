import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HeaderFacts } from '#delivery/header-facts.js';

interface Facts {
  readonly id: string;
  readonly from: string;
  readonly subject: string;
  readonly received: number;
}

function factsOf(chunks: readonly Buffer[]): Facts {
  const headers = new HeaderFacts();
  for (const chunk of chunks) headers.push(chunk);
  return {
    id: headers.field('message-id'),
    from: headers.field('from'),
    subject: headers.field('subject'),
    received: headers.receivedCount(),
  };
}

const none: Facts = { id: '', from: '', subject: '', received: 0 };
const cases: readonly (readonly [message: string, facts: Facts])[] = [
  [
    'Received: a\r\n\tb\r\nreceived: c\r\nMESSAGE-ID: <1@x>\r\nFrom: a\r\nSubject: one\r\n two\r\n\r\nSubject: three\r\nReceived: d\r\n',
    { id: '<1@x>', from: 'a', subject: 'one  two', received: 2 },
  ],
  ['Message-ID: <1@x>\nSubject: a\n\nFrom: b\r\n\r\nReceived: c\r\n', { ...none, id: '<1@x>', subject: 'a' }],
  ['Subject: a\r\n\nFrom: b\r\n\r\n', { ...none, subject: 'a' }],
  ['Subject: first\r\nSubject: second\r\n\r\n', { ...none, subject: 'first' }],
  ['Subject: a\u0007b\r\nX-From: c\r\n\r\n', { ...none, subject: 'a b' }],
  ['\r\nSubject: of the body\r\n\r\nFrom: b\r\n', none],
  ['\nSubject: of the body\n\nFrom: b\n', none],
  ['Subject: no end of the header\r\nFrom: a', { ...none, subject: 'no end of the header', from: 'a' }],
  ['', none],
];

describe('header facts of a message', () => {
  for (const [message, facts] of cases) {
    it(`are those of ${JSON.stringify(message)}, whole and at every split`, () => {
      const octets = Buffer.from(message, 'latin1');
      assert.deepEqual(factsOf([octets]), facts);
      for (let at = 0; at <= octets.length; at++)
        assert.deepEqual(factsOf([octets.subarray(0, at), octets.subarray(at)]), facts, `cut at ${at}`);
    });
  }

  it('are looked for in the first 64 KB', () => {
    const long = `X: ${'x'.repeat(64 * 1024 - 5 - 'Subject: a\r\n'.length)}\r\n`;
    assert.equal(factsOf([Buffer.from(`${long}Subject: a\r\nFrom: b\r\n\r\n`)]).subject, 'a');
    assert.equal(factsOf([Buffer.from(`${long}Subject: a\r\nFrom: b\r\n\r\n`)]).from, '');
    assert.equal(factsOf([Buffer.from(long), Buffer.from('Subject: a\r\nFrom: b\r\n\r\n')]).from, '');
  });

  it('are cut to 200 characters', () => {
    assert.equal(factsOf([Buffer.from(`Subject: ${'s'.repeat(300)}\r\n\r\n`)]).subject, 's'.repeat(200));
  });
});
