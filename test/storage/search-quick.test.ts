import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { searchKey } from '#mail/text.js';
import { MemoryMessageReader } from '#storage/maildir/memory-reader.js';
import { isRuledOut, quickNeedle } from '#storage/search-quick.js';
import { scanMessage, TextNeedles } from '#storage/search-text.js';

function ruledOut(message: string | Buffer, text: string, inHeaders = true): boolean {
  return isRuledOut(Buffer.from(message as string, 'latin1'), [quickNeedle(searchKey(text), inHeaders)]);
}

/** What the search proper says. */
async function isFound(message: Buffer, text: string, inHeaders: boolean): Promise<boolean> {
  const needles = new TextNeedles();
  const needle = needles.add(text, inHeaders);
  needles.begin();
  const isDecided = (): boolean => needles.outcomeOf(needle) === 1;
  await scanMessage(new MemoryMessageReader(message, message.length), needles, isDecided, async () => undefined);
  return needles.outcomeOf(needle) === 1;
}

describe('Ruling out a message by its octets', () => {
  const plain = 'Subject: A Plain one\r\nTo: x@example.org\r\n\r\nSome words\r\nover lines\r\n';
  const typed = (type: string, body: string, encoding = '8bit'): string =>
    `Content-Type: ${type}\r\nContent-Transfer-Encoding: ${encoding}\r\n\r\n${body}\r\n`;

  for (const [title, message, text, expected] of [
    ['a word that is nowhere', plain, 'nowhere', true],
    ['words of which the longest is nowhere', plain, 'over nowhere', true],
    ['a word in other case', plain, 'WORDS', false],
    ['words on both sides of a line end', plain, 'words over', false],
    ['a word of the header', plain, 'plain', false],
    ['text beyond ASCII in an ASCII message', plain, 'Größe', true],
    ['octets beyond ASCII', 'Subject: x\r\n\r\ngr\xfcn\r\n', 'nowhere', false],
    ['an encoded word', 'Subject: =?utf-8?q?x?=\r\n\r\n\r\n', 'nowhere', false],
    ['base64 without the word', typed('text/plain', Buffer.from('some text').toString('base64'), 'base64'), 'nowhere', true],
    ['base64 with the word', typed('text/plain', Buffer.from('nowhere').toString('base64'), 'base64'), 'nowhere', false],
    ['quoted-printable without the word', typed('text/plain', 'a=20b', 'quoted-printable'), 'nowhere', true],
    ['quoted-printable with the word', typed('text/plain', 'no=\r\nwh=65re', 'quoted-printable'), 'nowhere', false],
    ['a charset not based on ASCII', typed('text/plain; charset=utf-7', 'x'), 'nowhere', false],
    ['HTML', typed('text/html', 'x'), 'nowhere', false],
    ['an attachment with the word', typed('application/x', 'nowhere'), 'nowhere', true],
  ] as const) {
    it(`${expected ? 'holds for' : 'does not hold for'} ${title}`, () => assert.equal(ruledOut(message, text), expected));
  }

  it('leaves headers to TEXT, those of forwarded messages apart', () => {
    const message = 'Subject: needle\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nbody\r\n';
    assert.equal(ruledOut(message, 'needle', false), true);
    assert.equal(ruledOut(message, 'needle', true), false);
    assert.equal(ruledOut(message, 'inner', false), false);
  });

  const word = fc.constantFrom(
    'alpha',
    'beta',
    'Gamma',
    'ﬁx',
    'é',
    'x y',
    '=41lpha',
    'b=\r\neta',
    '&amp;',
    '<b>al</b>pha',
    '=?utf-8?q?beta?=',
    '\u2003',
  );
  const body = fc.array(word, { maxLength: 4 }).chain((words) => fc.constantFrom(' ', '\r\n', '').map((gap) => words.join(gap)));
  const leaf = fc
    .tuple(
      body,
      fc.constantFrom(
        'text/plain',
        'text/html',
        'text/plain; charset=utf-7',
        'text/plain; charset=iso-2022-jp',
        'text/x; charset=none',
        'image/png',
      ),
      fc.constantFrom('7bit', '8bit', 'quoted-printable', 'base64', 'x-unknown'),
      body,
    )
    .map(([text, type, encoding, subject]) => {
      const content = encoding === 'base64' ? Buffer.from(text).toString('base64') : text;
      const header = subject.replaceAll('\r\n', '\r\n ');
      return `Subject: ${header}\r\nContent-Type: ${type}\r\nContent-Transfer-Encoding: ${encoding}\r\n\r\n${content}\r\n`;
    });
  const tree = fc.letrec<{ tree: string }>((tie) => ({
    tree: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      leaf,
      fc
        .array(tie('tree'), { maxLength: 3 })
        .map(
          (parts) =>
            `Content-Type: multipart/mixed; boundary=b${parts.length}\r\n\r\n${parts.map((part) => `--b${parts.length}\r\n${part}\r\n`).join('')}--b${parts.length}--\r\n`,
        ),
      tie('tree').map((inner) => `Content-Type: message/rfc822\r\nSubject: alpha\r\n\r\n${inner}`),
    ),
  })).tree;

  it('never rules out what the search would find', async () => {
    const text = fc.constantFrom(
      'alpha',
      'BETA',
      'gamma alpha',
      'e',
      'é',
      'fix',
      'ﬁx',
      'al',
      'subject: alpha',
      ' ',
      'beta beta',
      'content',
    );
    let found = 0;
    let out = 0;
    await fc.assert(
      fc.asyncProperty(tree, text, fc.boolean(), async (source, wanted, inHeaders) => {
        const message = Buffer.from(source);
        const isOut = isRuledOut(message, [quickNeedle(searchKey(wanted), inHeaders)]);
        const isThere = await isFound(message, wanted, inHeaders);
        if (isOut) out += 1;
        if (isThere) found += 1;
        assert.ok(!(isOut && isThere));
      }),
      { numRuns: 500 },
    );
    assert.ok(found > 20 && out > 20, `${found} found, ${out} ruled out`);
  });
});
