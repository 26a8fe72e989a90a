import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import type { MimePart } from '#mail/mime-part.js';
import { append, contentOf, crlfMessage, expunge, fill, type MakeWorld, never, openView, readAll, sync } from './world.js';

/** Every message is given back as it came, whatever its line ends. */
const exactMessages: readonly (readonly [title: string, content: string])[] = [
  ['an empty message', ''],
  ['CRLF lines', crlfMessage],
  ['bare LF lines', 'From: a@example.org\nSubject: one\n\nHello\n'],
  ['mixed line ends', 'From: a@example.org\r\nSubject: one\n\r\nHello\nthere\r\n'],
  ['a lone CR', 'Subject: one\r\n\r\nbefore\rafter\r\n'],
  ['CR CR LF', 'Subject: one\r\n\r\nline\r\r\n'],
  ['a CR at the very end', 'Subject: one\r\n\r\nline\r'],
  ['no final line end', 'Subject: one\r\n\r\nHello'],
  ['NUL octets', 'Subject: one\r\n\r\n\0a\0\0b\r\n'],
  [
    '8-bit octets everywhere',
    `Subject: ${String.fromCharCode(...Array.from({ length: 128 }, (_, index) => 128 + index))}\r\n\r\n\xff\xfe\r\n`,
  ],
  ['only a header', 'Subject: one\r\n'],
  ['only an empty line', '\r\n'],
  ['one LF', '\n'],
  ['a body without header', '\r\nHello\r\n'],
  ['lines that look like an mbox', 'From me Mon Jan  1 00:00:00 2024\r\nSubject: x\r\n\r\nFrom here\r\n.\r\n'],
  ['a very long line', `Subject: one\r\n\r\n${'x'.repeat(200_000)}\r\n`],
];

const multipart = [
  'From: Ann <ann@example.org>\r\n',
  'To: bob@example.org\r\n',
  'Subject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\n',
  'Date: Tue, 02 Jan 2024 03:04:05 +0600\r\n',
  'Message-ID: <1@example.org>\r\n',
  'X-Twice: first\r\n',
  'X-Twice: second,\r\n continued\r\n',
  'Content-Type: multipart/mixed; boundary=b\r\n',
  '\r\n',
  'preamble\r\n',
  '--b\r\n',
  'Content-Type: text/plain; charset=utf-8\r\n',
  '\r\n',
  'Hello\r\n',
  '--b\r\n',
  'Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n',
  '\r\n',
  'AAEC\r\n',
  '--b--\r\n',
].join('');

export function contentContract(makeWorld: MakeWorld): void {
  describe('content', () => {
    for (const [title, content] of exactMessages) {
      it(`is given back octet for octet: ${title}`, async () => {
        await using world = await makeWorld();
        const mailbox = await world.create('box');
        const target = await world.create('target');
        await append(mailbox, content);
        await using view = await openView(mailbox);
        assert.equal((await contentOf(view, 1)).toString('latin1'), content);
        await view.prepare([1], { size: true }, never);
        assert.equal(view.sizeAt(1), content.length);
        assert.equal((await mailbox.status({ size: true }, never)).size, content.length);
        await view.copy([1], target, never);
        await using copies = await openView(target);
        assert.equal((await contentOf(copies, 1)).toString('latin1'), content);
      });
    }

    it('can be read from every offset, in every length', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      for (const content of ['S: 1\r\n\r\na\r\nbc\r\n', 'S: 1\n\na\nbc\n', 'S: 1\r\n\na\rbc\r\n\n']) {
        await append(mailbox, content);
        await using view = await openView(mailbox);
        const reader = await view.openMessage(view.count, never);
        assert.equal(reader.size, content.length);
        for (let offset = 0; offset <= content.length + 1; offset += 1) {
          for (let length = 0; length <= content.length + 1 - offset; length += 1) {
            assert.equal(
              (await reader.read(offset, length)).toString('latin1'),
              content.slice(offset, offset + length),
              `[${offset}, ${offset + length}) of ${JSON.stringify(content)}`,
            );
          }
        }
        await reader.close();
      }
    });

    it('in a buffer that is the caller’s', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await append(mailbox);
      await using view = await openView(mailbox);
      (await contentOf(view, 1)).fill(0);
      assert.equal((await contentOf(view, 1)).toString('latin1'), crlfMessage);
    });

    it('of a large message is written and read in pieces', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      const written = createHash('sha256');
      await using transaction = mailbox.beginAppend('append');
      const writer = await transaction.add(
        { flags: { system: 0, keywords: [] }, internalDateMs: undefined, expectedBytes: undefined },
        never,
      );
      let size = 0;
      for (let index = 0; index < 160; index += 1) {
        const chunk = Buffer.from(`line ${index}\r\n`.repeat(5000 + index), 'latin1');
        written.update(chunk);
        size += chunk.length;
        await writer.write(chunk);
      }
      await writer.end();
      await transaction.commit(never);
      await using view = await openView(mailbox);
      const reader = await view.openMessage(1, never);
      assert.equal(reader.size, size);
      const read = createHash('sha256');
      for (let offset = 0; offset < size; offset += 65_521) read.update(await reader.read(offset, 65_521));
      await reader.close();
      assert.equal(read.digest('hex'), written.digest('hex'));
    });

    it('cut anywhere between the writes is the same', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      const content = 'S: 1\r\n\r\na\rb\nc\r\n';
      await using transaction = mailbox.beginAppend('append');
      for (let cut = 0; cut <= content.length; cut += 1) {
        const writer = await transaction.add(
          { flags: { system: 0, keywords: [] }, internalDateMs: undefined, expectedBytes: undefined },
          never,
        );
        await writer.write(Buffer.from(content.slice(0, cut)));
        await writer.write(Buffer.from(content.slice(cut)));
        await writer.end();
      }
      await transaction.commit(never);
      await using view = await openView(mailbox);
      for (let seq = 1; seq <= view.count; seq += 1) assert.equal((await contentOf(view, seq)).toString('latin1'), content);
    });

    it('has a structure with offsets into it, whatever the line ends', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      for (const content of [multipart, multipart.replaceAll('\r\n', '\n')]) {
        await append(mailbox, content);
        await using view = await openView(mailbox);
        const reader = await view.openMessage(view.count, never);
        const root = await reader.structure();
        const bodyOf = (part: MimePart | undefined): string => content.slice(part?.bodyStart, part?.bodyEnd);
        assert.equal(`${root.type}/${root.subtype}`, 'multipart/mixed');
        assert.deepEqual(root.children.map(bodyOf), ['Hello', 'AAEC']);
        assert.equal(root.children[1]?.encoding, 'base64');
        await reader.close();
      }
    });
  });

  describe('prepare', () => {
    it('makes wire forms and header fields readable', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await append(mailbox, multipart);
      await append(mailbox, crlfMessage);
      await using view = await openView(mailbox);
      const needs = { envelope: true, body: true, bodyStructure: true, headers: ['subject', 'x-twice', 'x-none'] };
      assert.deepEqual(await view.prepare([1, 2], needs, never), []);
      assert.match(
        view.envelopeAt(1).toString('latin1'),
        /^\("Tue, 02 Jan 2024 03:04:05 \+0600" "=\?utf-8\?Q\?Gr=C3=BC=C3=9Fe\?=" .* "<1@example\.org>"\)$/,
      );
      assert.match(view.bodyAt(1).toString('latin1'), /^\(\("text" "plain" .*\) "mixed"\)$/i);
      assert.match(view.bodyStructureAt(1).toString('latin1'), /^\(\("text" "plain" .*\) "mixed" \("boundary" "b"\) NIL NIL NIL\)$/i);
      assert.equal(view.headerFieldsAt(1, ['x-twice']).toString('latin1'), 'X-Twice: first\r\nX-Twice: second,\r\n continued\r\n');
      assert.match(view.headerFieldsAt(1, ['x-twice', 'subject']).toString('latin1'), /^Subject: .*\r\nX-Twice: first\r\n/);
      assert.equal(view.headerFieldsAt(1, ['x-none']).length, 0);
      assert.equal(view.headerFieldsAt(2, ['subject']).toString('latin1'), 'Subject: one\r\n');
      // A second time, when a format has it cached.
      await view.prepare([1], needs, never);
      assert.equal(view.headerFieldsAt(1, ['x-twice']).toString('latin1'), 'X-Twice: first\r\nX-Twice: second,\r\n continued\r\n');
    });

    it('makes a preview readable', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await append(mailbox, multipart);
      await using view = await openView(mailbox);
      await view.prepare([1], { preview: true }, never);
      assert.equal(view.previewAt(1), 'Hello');
    });

    it('leaves messages that are gone out, and says so', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 4);
      await using view = await openView(mailbox);
      await expunge(view, [2, 4]);
      assert.deepEqual(await view.prepare([1, 2, 3, 4], { size: true, envelope: true }, never), [2, 4]);
      assert.match(view.envelopeAt(3).toString('latin1'), /"number 3"/);
    });

    it('is needed before an accessor is used', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 2);
      await using view = await openView(mailbox);
      assert.throws(() => view.envelopeAt(1));
      await view.prepare([1], { envelope: true }, never);
      view.envelopeAt(1);
      assert.throws(() => view.envelopeAt(2));
    });

    it('serves a thousand messages at once', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 1000);
      await using view = await openView(mailbox);
      const seqs = Array.from({ length: 1000 }, (_, index) => index + 1);
      assert.deepEqual(await view.prepare(seqs, { size: true, internalDate: true, envelope: true }, never), []);
      for (const seq of [1, 500, 1000]) assert.match(view.envelopeAt(seq).toString('latin1'), new RegExp(`"number ${seq}"`));
    });
  });

  describe('search', () => {
    it('finds messages by everything they have', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await append(mailbox, multipart, { flags: 1, keywords: ['Work'], dateMs: Date.UTC(2024, 0, 2, 12) });
      await append(mailbox, crlfMessage, { dateMs: Date.UTC(2023, 5, 15, 12) });
      await append(mailbox, 'Subject: three\r\nDate: Mon, 1 Jan 2024 23:59:59 -1200\r\n\r\nGR\xc3\x9c\xc3\x9fE\r\n', {
        flags: 4,
        dateMs: Date.UTC(2020, 1, 1, 12),
      });
      await using view = await openView(mailbox);
      const search = (query: Parameters<typeof view.search>[0]): Promise<number[]> => view.search(query, never);
      const day = (year: number, month: number, date: number): number => Date.UTC(year, month, date) / 86_400_000;
      assert.deepEqual(await search({ kind: 'all' }), [1, 2, 3]);
      assert.deepEqual(await search({ kind: 'flags', system: 1 }), [1]);
      assert.deepEqual(await search({ kind: 'not', query: { kind: 'flags', system: 1 } }), [2, 3]);
      assert.deepEqual(await search({ kind: 'uid', ranges: [[2, 7]] }), [2, 3]);
      assert.deepEqual(
        await search({
          kind: 'sequence',
          ranges: [
            [1, 1],
            [3, 3],
          ],
        }),
        [1, 3],
      );
      assert.deepEqual(await search({ kind: 'larger', octets: crlfMessage.length }), [1, 3]);
      assert.deepEqual(await search({ kind: 'smaller', octets: crlfMessage.length + 1 }), [2]);
      assert.deepEqual(await search({ kind: 'header', field: 'subject', text: 'grüsse' }), []);
      assert.deepEqual(await search({ kind: 'header', field: 'subject', text: 'GRÜ' }), [1]);
      assert.deepEqual(await search({ kind: 'header', field: 'x-twice', text: '' }), [1]);
      assert.deepEqual(await search({ kind: 'header', field: 'x-twice', text: 'second, cont' }), [1]);
      assert.deepEqual(await search({ kind: 'body', text: 'hello' }), [1, 2]);
      assert.deepEqual(await search({ kind: 'body', text: 'subject' }), []);
      assert.deepEqual(await search({ kind: 'text', text: 'ONE' }), [2]);
      assert.deepEqual(await search({ kind: 'internal-date', fromDay: day(2023, 0, 1), beforeDay: undefined }), [1, 2]);
      assert.deepEqual(await search({ kind: 'internal-date', fromDay: day(2023, 5, 15), beforeDay: day(2023, 5, 16) }), [2]);
      assert.deepEqual(await search({ kind: 'sent-date', fromDay: day(2024, 0, 1), beforeDay: day(2024, 0, 2) }), [3]);
      assert.deepEqual(await search({ kind: 'sent-date', fromDay: undefined, beforeDay: day(2030, 0, 1) }), [1, 3]);
      assert.deepEqual(await search({ kind: 'modseq', atLeast: view.modSeqAt(3) }), [3]);
      assert.deepEqual(await search({ kind: 'older', seconds: 3600 }), [1, 2, 3]);
      assert.deepEqual(await search({ kind: 'younger', seconds: 3600 }), []);
      assert.deepEqual(
        await search({
          kind: 'or',
          queries: [
            { kind: 'flags', system: 4 },
            { kind: 'header', field: 'from', text: 'ann' },
          ],
        }),
        [1, 3],
      );
      assert.deepEqual(
        await search({
          kind: 'and',
          queries: [
            { kind: 'body', text: 'hello' },
            { kind: 'not', query: { kind: 'text', text: 'grü' } },
          ],
        }),
        [2],
      );
    });

    it('stops when aborted', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 10);
      await using view = await openView(mailbox);
      const reason = new Error('client gone');
      await assert.rejects(view.search({ kind: 'text', text: 'x' }, AbortSignal.abort(reason)), reason);
    });

    it('does not see messages that arrived since the last sync', async () => {
      await using world = await makeWorld();
      const mailbox = await world.create('box');
      await fill(mailbox, 1);
      await using view = await openView(mailbox);
      await append(mailbox);
      assert.deepEqual(await view.search({ kind: 'all' }, never), [1]);
      await sync(view);
      assert.deepEqual(await view.search({ kind: 'all' }, never), [1, 2]);
      await readAll(await view.openMessage(2, never));
    });
  });
}
