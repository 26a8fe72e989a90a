import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { htmlToText } from '#mail/html-text.js';
import { renderMessageText } from '#mail/mailparser-text.js';
import { parseStructure } from '#mail/mime-tree.js';
import { previewOf } from '#mail/preview.js';
import { allParts, bufferSource, partTexts, searchKey, windowBytes } from '#mail/text.js';
import { cpuMs } from '../support/cpu-time.js';
import { crlf, messageNames, readMessage } from './messages.js';

/** All text parts of a message, one after the other. */
async function bodyText(message: Buffer): Promise<string> {
  let text = '';
  for (const part of allParts(parseStructure(message))) {
    if (part.type === 'text') for await (const piece of partTexts(bufferSource(message), part)) text += piece;
  }
  return text;
}

const searchBody = async (message: Buffer, text: string): Promise<boolean> => searchKey(await bodyText(message)).includes(searchKey(text));
const preview = (message: Buffer): Promise<string> => previewOf(bufferSource(message), parseStructure(message));

const mixed = crlf(
  [
    'Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\nContent-Type: multipart/mixed; boundary=b\n\n--b',
    'Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nK=E4se und=\n Brot\n--b',
    'Content-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: base64\n\nPHA+VGhlICZldXJvOyA8Yj5wcmk8L2I+Y2U8L3A+PGEgaHJlZj0iaHR0cDovL3gub3JnLyI+eDwvYT4=\n--b',
    'Content-Type: application/pdf; name=hidden.pdf\n\nneedle in pdf\n--b',
    'Content-Type: message/rfc822\n\nSubject: inner subject\n\ninner text\n--b--\n',
  ].join('\n'),
);

describe('the text of a body, compared as SEARCH does', () => {
  const cases: readonly (readonly [text: string, isFound: boolean])[] = [
    ['käse', true],
    ['KÄSE UND BROT', true],
    ['käse  und\tbrot', true],
    ['€ price', true],
    ['http://x.org', true],
    ['<b>', false],
    ['inner text', true],
    ['inner subject', false],
    ['grüße', false],
    ['needle in pdf', false],
    ['boundary', false],
    ['', true],
  ];
  for (const [text, isFound] of cases)
    it(`${JSON.stringify(text)} ${isFound ? 'is' : 'is not'} found`, async () => assert.equal(await searchBody(mixed, text), isFound));

  it('comes whole from a part larger than a window, cut at line ends', async () => {
    for (const line of ['x'.repeat(76), 'ü€'.repeat(20)]) {
      const body = `${line}\r\n`.repeat(Math.ceil((2.5 * windowBytes) / line.length));
      const message = Buffer.from(`Content-Type: text/plain; charset=utf-8\r\n\r\n${body}`);
      const pieces: string[] = [];
      for await (const piece of partTexts(bufferSource(message), parseStructure(message))) pieces.push(piece);
      assert.ok(pieces.length > 2);
      assert.equal(pieces.join(''), body);
      for (const piece of pieces) assert.ok(piece.endsWith('\n'));
    }
  });
  it('reads charsets that only iconv-lite has', async () => {
    assert.equal(await searchBody(Buffer.from('Content-Type: text/plain; charset=cp850\r\n\r\n\x84rger', 'latin1'), 'ärger'), true);
  });
});

describe('text of HTML', () => {
  const cases: readonly (readonly [html: string, expected: string])[] = [
    ['a <b>b</b>c', 'a bc'],
    ['<p>one</p><p>two', '\none\n\ntwo'],
    ['<td>a</td><td>b</td>', ' a  b '],
    ['&lt;&amp;&eacute;&#233;&#xE9;&nbsp;&bogus; &', '<&ééé\u00a0&bogus; &'],
    ['<style>p { x: "</p>" }</style>a<script>b</script>c', '\na\nc'],
    ['<!-- a > b -->c', 'c'],
    ['<!-- never closed', ''],
    ['1 < 2 > 0', '1 < 2 > 0'],
    ['<a title="x > y">z</a>', 'z'],
    ['<a title="never closed>z</a>', 'z'],
    ['cut <a href=', 'cut '],
    ['&#0;&#xD800;&#x110000;', '\ufffd\ufffd\ufffd'],
  ];
  for (const [html, expected] of cases)
    it(`${JSON.stringify(html)} is ${JSON.stringify(expected)}`, () => assert.equal(htmlToText(html), expected));
  it('keeps link targets when asked', () => {
    assert.equal(htmlToText('<a href="http://x/">y</a>', { keepLinks: true }).trim(), 'http://x/ y');
  });
  for (const piece of ['<', '<a "', '<!--', '<script>', '</script', '&#', '<a>', '<style></style', "<b '>", '&amp']) {
    it(`takes linear time for 200,000 times ${JSON.stringify(piece)}`, () => {
      const startedAt = cpuMs();
      htmlToText(piece.repeat(200_000), { keepLinks: true });
      assert.ok(cpuMs() - startedAt < 2000);
    });
  }
});

describe('PREVIEW', () => {
  const cases: readonly (readonly [title: string, message: string, expected: string])[] = [
    ['plain text on one line', 'Subject: x\n\n  Hello\n\n  world  \n', 'Hello world'],
    ['what is not quoted', 'Subject: x\n\n> old\n> older\nnew\n', 'new'],
    ['quotes when there is nothing else', 'Subject: x\n\n> old\n', '> old'],
    [
      'HTML without its head and quotes',
      'Content-Type: text/html\n\n<head><style>p{}</style></head><p>New<blockquote>old</blockquote>',
      'New',
    ],
    [
      'the plain alternative',
      'Content-Type: multipart/alternative; boundary=b\n\n--b\nContent-Type: text/html\n\nH\n--b\n\nP\n--b--\n',
      'P',
    ],
    [
      'HTML when the plain alternative is empty',
      'Content-Type: multipart/alternative; boundary=b\n\n--b\n\n \n--b\nContent-Type: text/html\n\nH\n--b--\n',
      'H',
    ],
    ['no attachment', 'Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Disposition: attachment\n\nA\n--b\n\nT\n--b--\n', 'T'],
    ['nothing for a picture', 'Content-Type: image/png\n\nx\n', ''],
    ['an embedded message when there is nothing else', 'Content-Type: message/rfc822\n\nSubject: s\n\ninner\n', 'inner'],
    ['no padding', 'Content-Type: text/html; charset=utf-8\n\nHi&#847;&zwnj;&nbsp;&#8203;&#65279;there', 'Hi there'],
  ];
  for (const [title, message, expected] of cases) it(`is ${title}`, async () => assert.equal(await preview(crlf(message)), expected));

  it('has at most 200 characters and cuts none in two', async () => {
    for (const letter of ['x', 'ü', '日', '\u{1f600}']) {
      for (const shift of ['', 'a', 'ab', 'abc']) {
        const message = Buffer.from(`Content-Type: text/plain; charset=utf-8\r\n\r\n${shift}${letter.repeat(20_000)}`);
        const text = await preview(message);
        assert.equal([...text].length, 200);
        assert.ok(!text.includes('\ufffd'));
      }
    }
  });
});

describe('text of any example message', () => {
  for (const name of messageNames()) {
    it(`${name}: body and preview come to an end`, async () => {
      const message = readMessage(name);
      assert.equal(await searchBody(message, 'certainly not in there'), false);
      assert.ok((await preview(message)).length <= 400);
    });
  }
  it('can be rendered through mailparser', async () => {
    assert.match(await renderMessageText(mixed), /Käse und/);
  });
});
