import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { silentLogger } from '#log/logger.js';
import { unlimitedQuota } from '#storage/driver.js';
import type { Mailbox, MailboxView } from '#storage/mailbox.js';
import { createMemoryDriver } from '#storage/memory/driver.js';
import type { SearchQuery } from '#storage/search.js';
import { flagTable, isOfFlags } from '#storage/search-flags.js';
import { evaluateSearch } from '#storage/search-run.js';
import type { SearchSource } from '#storage/search-source.js';
import { append, never, openView } from '../contract/world.js';

async function makeMailbox(): Promise<Mailbox> {
  const driver = createMemoryDriver();
  const paths = { mailDir: '/m', controlDir: '/m', indexDir: undefined, accountControlDir: '/' };
  await driver.create(paths, { isMaildirFolder: true }, never);
  return driver.open(paths, { name: 'box', quota: unlimitedQuota, isReadOnly: false, log: silentLogger }, never);
}

/** Counts what a search asks of the view. */
function counting(view: MailboxView): SearchSource & { readonly calls: Record<string, number> } {
  const calls: Record<string, number> = {};
  return new Proxy(view, {
    get(target, key) {
      if (key === 'calls') return calls;
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== 'function') return value;
      return (...given: unknown[]): unknown => {
        calls[String(key)] = (calls[String(key)] ?? 0) + 1;
        return value.apply(target, given);
      };
    },
  }) as unknown as SearchSource & { readonly calls: Record<string, number> };
}

const all = (...queries: SearchQuery[]): SearchQuery => ({ kind: 'and', queries });
const some = (...queries: SearchQuery[]): SearchQuery => ({ kind: 'or', queries });
const not = (query: SearchQuery): SearchQuery => ({ kind: 'not', query });
const flagged: SearchQuery = { kind: 'flags', system: 4 };

describe('search', () => {
  it('reads only messages that cheaper keys leave undecided', async () => {
    const mailbox = await makeMailbox();
    for (let index = 0; index < 20; index += 1) {
      await append(mailbox, `Subject: s${index % 4}\r\n\r\nneedle\r\n`, { flags: index < 10 ? 4 : 0 });
    }
    await using view = await openView(mailbox);
    const source = counting(view);
    const query = all({ kind: 'body', text: 'needle' }, { kind: 'header', field: 'subject', text: 's1' }, flagged);
    assert.deepEqual(await evaluateSearch(query, source, never), [2, 6, 10]);
    assert.equal(source.calls['openMessage'], 3);
    assert.equal(source.calls['prepare'], 1);
    assert.equal(source.calls['headerFieldsAt'], 10);
  });

  it('reads nothing when flags decide', async () => {
    const mailbox = await makeMailbox();
    for (let index = 0; index < 5; index += 1) await append(mailbox, 'x', { flags: 4 });
    await using view = await openView(mailbox);
    const source = counting(view);
    assert.deepEqual(await evaluateSearch(some({ kind: 'text', text: 'y' }, flagged), source, never), [1, 2, 3, 4, 5]);
    assert.deepEqual(await evaluateSearch(all({ kind: 'text', text: 'y' }, not(flagged)), source, never), []);
    assert.equal(source.calls['openMessage'], undefined);
    assert.equal(source.calls['prepare'], undefined);
  });

  it('looks only at the messages of a set', async () => {
    const mailbox = await makeMailbox();
    for (let index = 0; index < 50; index += 1) await append(mailbox, 'x');
    await using view = await openView(mailbox);
    const source = counting(view);
    assert.deepEqual(await evaluateSearch(all({ kind: 'uid', ranges: [[7, 8]] }, not(flagged)), source, never), [7, 8]);
    assert.equal(source.calls['systemFlagsAt'], 2);
  });

  it('tells times apart to the millisecond', async () => {
    const mailbox = await makeMailbox();
    const startMs = Date.now();
    for (const at of [1000, 1001, 1002]) await append(mailbox, 'Date: Tue, 3 Nov 2020 10:00:00 +0100\r\n\r\n', { dateMs: at * 1000 });
    await append(mailbox, 'Subject: no date\r\n\r\n', { dateMs: 0 });
    await using view = await openView(mailbox);
    const search = (kind: 'internal-time' | 'sent-time' | 'save-time', fromMs?: number, beforeMs?: number): Promise<number[]> =>
      evaluateSearch({ kind, fromMs, beforeMs }, counting(view), never);
    const sentMs = Date.UTC(2020, 10, 3, 9);
    assert.deepEqual(await search('internal-time', 1_001_000), [2, 3]);
    assert.deepEqual(await search('internal-time', 1_000_001, 1_002_000), [2]);
    assert.deepEqual(await search('internal-time', undefined, 1_001_000), [1, 4]);
    assert.deepEqual(await search('sent-time', sentMs, sentMs + 1), [1, 2, 3]);
    assert.deepEqual(await search('sent-time', sentMs + 1), []);
    assert.deepEqual(await search('sent-time', undefined, sentMs), []);
    assert.deepEqual(await search('save-time', startMs - 1), [1, 2, 3, 4]);
    assert.deepEqual(await search('save-time', undefined, startMs - 1), []);
  });

  it('leaves out messages that go while it runs', async () => {
    const mailbox = await makeMailbox();
    for (let index = 0; index < 3; index += 1) await append(mailbox, 'Subject: a\r\n\r\nneedle', { flags: 8 });
    await using view = await openView(mailbox);
    const source = counting(view);
    const gone = new Proxy(source, {
      get: (target, key) =>
        key === 'openMessage'
          ? async (seq: number, signal: AbortSignal) => {
              if (seq === 1) await view.expunge([view.uidAt(2)], never);
              return view.openMessage(seq, signal);
            }
          : Reflect.get(target, key),
    });
    assert.deepEqual(await evaluateSearch({ kind: 'body', text: 'needle' }, gone, never), [1, 3]);
  });

  it('gives the event loop its turn, and stops when aborted in the middle', async () => {
    const mailbox = await makeMailbox();
    for (let index = 0; index < 400; index += 1) await append(mailbox, `Subject: a\r\n\r\n${'word '.repeat(4000)}`);
    await using view = await openView(mailbox);
    let turns = 0;
    const timer = setInterval(() => {
      turns += 1;
    }, 1);
    assert.deepEqual(await evaluateSearch({ kind: 'body', text: 'nothing' }, view, never), []);
    clearInterval(timer);
    assert.ok(turns >= 4, `only ${turns} turns for others in 400 messages of 20 KB`);
    const stop = new AbortController();
    setImmediate(() => stop.abort(new Error('stop')));
    await assert.rejects(evaluateSearch({ kind: 'body', text: 'nothing' }, view, stop.signal), /stop/);
  });

  it('means what the query says, whatever its shape', async () => {
    const mailbox = await makeMailbox();
    for (let index = 0; index < 32; index += 1) {
      const subject = (index & 4) === 0 ? 'even' : 'odd';
      await append(mailbox, `Subject: ${subject}\r\n\r\n${(index & 8) === 0 ? 'left' : 'right'}${'x'.repeat((index & 16) * 10)}`, {
        flags: index & 3,
      });
    }
    await using view = await openView(mailbox);
    const leaves: readonly (readonly [SearchQuery, (index: number) => boolean])[] = [
      [{ kind: 'flags', system: 1 }, (index) => (index & 1) !== 0],
      [{ kind: 'flags', system: 2 }, (index) => (index & 2) !== 0],
      [{ kind: 'header', field: 'subject', text: 'ODD' }, (index) => (index & 4) !== 0],
      [{ kind: 'body', text: 'Right' }, (index) => (index & 8) !== 0],
      [{ kind: 'larger', octets: 100 }, (index) => (index & 16) !== 0],
      [{ kind: 'text', text: 'even' }, (index) => (index & 4) === 0],
      [
        {
          kind: 'sequence',
          ranges: [
            [5, 9],
            [20, 40],
          ],
        },
        (index) => (index >= 4 && index < 9) || index >= 19,
      ],
    ];
    interface Tree {
      readonly query: SearchQuery;
      holds(index: number): boolean;
    }
    const leaf: fc.Arbitrary<Tree> = fc.constantFrom(...leaves).map(([query, holds]) => ({ query, holds }));
    const { tree } = fc.letrec<{ tree: Tree }>((tie) => ({
      tree: fc.oneof(
        { depthSize: 'small' },
        leaf,
        tie('tree').map((inner): Tree => ({ query: not(inner.query), holds: (index) => !inner.holds(index) })),
        fc.array(tie('tree'), { maxLength: 3 }).map(
          (parts): Tree => ({
            query: all(...parts.map(({ query }) => query)),
            holds: (index) => parts.every((part) => part.holds(index)),
          }),
        ),
        fc.array(tie('tree'), { maxLength: 3 }).map(
          (parts): Tree => ({
            query: some(...parts.map(({ query }) => query)),
            holds: (index) => parts.some((part) => part.holds(index)),
          }),
        ),
      ),
    }));
    await fc.assert(
      fc.asyncProperty(tree, async ({ query, holds }) => {
        const expected = Array.from({ length: 32 }, (_, index) => index)
          .filter(holds)
          .map((index) => index + 1);
        assert.deepEqual(await view.search(query, never), expected);
      }),
      { numRuns: 300 },
    );
  });
});

describe('search by flags alone', () => {
  const { query } = fc.letrec<{ query: SearchQuery }>((tie) => ({
    query: fc.oneof(
      { depthSize: 'small' },
      fc.constant<SearchQuery>({ kind: 'all' }),
      fc.nat(63).map((system): SearchQuery => ({ kind: 'flags', system })),
      tie('query').map(not),
      fc.array(tie('query'), { maxLength: 3 }).map((queries) => all(...queries)),
      fc.array(tie('query'), { maxLength: 3 }).map((queries) => some(...queries)),
    ),
  }));

  it('means the same as going through the messages', async () => {
    const sets = Array.from({ length: 64 }, (_, index) => index);
    const source = {
      count: sets.length,
      systemFlagsAt: (seq: number) => seq - 1,
      isExpunged: () => false,
    } as unknown as SearchSource;
    await fc.assert(
      fc.asyncProperty(query, async (tree) => {
        assert.equal(isOfFlags(tree), true);
        const found = flagTable(tree, []);
        assert.equal(found?.hasKeywords, false);
        assert.deepEqual(
          sets.filter((set) => found.table[set] === 1).map((set) => set + 1),
          await evaluateSearch(tree, source, never),
        );
      }),
    );
  });

  it('is left to the messages when anything else is asked', () => {
    assert.equal(isOfFlags(all(flagged, { kind: 'larger', octets: 1 })), false);
    assert.equal(isOfFlags(not({ kind: 'sequence', ranges: [[1, 2]] })), false);
  });
});

describe('search text', () => {
  const cases: readonly (readonly [title: string, content: string, query: SearchQuery, found: boolean])[] = [
    ['an encoded subject', 'Subject: =?iso-8859-1?Q?Gr=FC=DFe?=\r\n\r\n', { kind: 'header', field: 'subject', text: 'GRÜß' }, true],
    ['a folded subject', 'Subject: one\r\n two\r\n\r\n', { kind: 'header', field: 'subject', text: 'one two' }, true],
    ['a base64 body', 'Content-Transfer-Encoding: base64\r\n\r\nbmVlZGxl\r\n', { kind: 'body', text: 'NEEDLE' }, true],
    ['its encoded form', 'Content-Transfer-Encoding: base64\r\n\r\nbmVlZGxl\r\n', { kind: 'body', text: 'bmVlZGxl' }, false],
    [
      'a quoted-printable body',
      'Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nna=C3=AFve=\r\ny\r\n',
      { kind: 'body', text: 'NAÏVEY' },
      true,
    ],
    [
      'text of another charset',
      'Content-Type: text/plain; charset=koi8-r\r\n\r\n\xf0\xf2\xe9\xf7\xe5\xf4\r\n',
      { kind: 'body', text: 'привет' },
      true,
    ],
    ['HTML text', 'Content-Type: text/html\r\n\r\n<p>two <b>words</b></p>', { kind: 'body', text: 'two words' }, true],
    ['an attachment', 'Content-Type: application/pdf\r\n\r\nneedle\r\n', { kind: 'body', text: 'needle' }, false],
    ['a header, by BODY', 'Subject: needle\r\n\r\n', { kind: 'body', text: 'needle' }, false],
    ['a header, by TEXT', 'Subject: needle\r\n\r\n', { kind: 'text', text: 'subject: NEEDLE' }, true],
    [
      'a MIME header, by TEXT',
      'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Disposition: attachment; filename=needle\r\n\r\n\r\n--b--\r\n',
      { kind: 'text', text: 'needle' },
      true,
    ],
    [
      'a MIME header, by BODY',
      'Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Disposition: attachment; filename=needle\r\n\r\n\r\n--b--\r\n',
      { kind: 'body', text: 'needle' },
      false,
    ],
    [
      'the header of a forwarded message, by BODY',
      'Content-Type: message/rfc822\r\n\r\nSubject: needle\r\n\r\nx\r\n',
      { kind: 'body', text: 'needle' },
      true,
    ],
    [
      'text across pieces',
      `\r\n${`${'x'.repeat(98)}\r\n`.repeat(3000)}end of one\r\nneedle`,
      { kind: 'body', text: 'xx end of one needle' },
      true,
    ],
    ['a header with two fields of the name', 'To: a@x\r\nTo: needle@x\r\n\r\n', { kind: 'header', field: 'to', text: 'needle' }, true],
    ['an empty header field', 'X-Empty:\r\n\r\n', { kind: 'header', field: 'x-empty', text: '' }, true],
    ['a missing header field', 'X-Other: a\r\n\r\n', { kind: 'header', field: 'x-empty', text: '' }, false],
    ['the date as written', 'Date: Sat, 31 Dec 2022 23:30:00 -0800\r\n\r\n', { kind: 'sent-date', fromDay: 19357, beforeDay: 19358 }, true],
    [
      'a date in the wrong day',
      'Date: Sat, 31 Dec 2022 23:30:00 -0800\r\n\r\n',
      { kind: 'sent-date', fromDay: 19358, beforeDay: undefined },
      false,
    ],
    ['no date', 'Subject: x\r\n\r\n', { kind: 'sent-date', fromDay: undefined, beforeDay: 99999 }, false],
    ['an empty text', '', { kind: 'body', text: '' }, true],
    ['a thread', 'x', { kind: 'thread-id', id: 'T1' }, false],
  ];
  for (const [title, content, query, found] of cases) {
    it(`${found ? 'finds' : 'does not find'} ${title}`, async () => {
      const mailbox = await makeMailbox();
      await append(mailbox, content);
      await using view = await openView(mailbox);
      assert.deepEqual(await view.search(query, never), found ? [1] : []);
    });
  }
});
