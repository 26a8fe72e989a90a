import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Cell, ColumnSpec } from '#cli/print/format.js';
import { displayWidth } from '#cli/print/table.js';
import { createPrinter, type OutputFormat, outputFormats } from '#cli/print.js';
import { captureOutput } from './captured.js';

async function printed(format: OutputFormat, columns: readonly ColumnSpec[], rows: readonly (readonly Cell[])[]): Promise<string> {
  const output = captureOutput();
  const printer = createPrinter(format, columns, output);
  for (const row of rows) await printer.row(row);
  await printer.end();
  return output.text;
}

const chunks = (...parts: readonly (string | Buffer)[]): Cell => ({
  chunks: (async function* () {
    for (const part of parts) yield Buffer.from(part);
  })(),
});

const columns: readonly ColumnSpec[] = [
  { key: 'mailbox', hidesTitle: true },
  { key: 'count', title: '#', alignsRight: true },
  { key: 'flags' },
];
const rows: readonly (readonly Cell[])[] = [
  ['INBOX', 5, { shown: '\\Seen $Foo', json: ['\\Seen', '$Foo'] }],
  ['Längerer Name', 12, { shown: '', json: [] }],
];

const expected: Readonly<Record<OutputFormat, string>> = {
  flow: 'INBOX #=5 flags=\\Seen $Foo\nLängerer Name #=12 flags=\n',
  pager: 'INBOX\n#: 5\nflags: \\Seen $Foo\n\f\nLängerer Name\n#: 12\nflags: \n',
  tab: 'mailbox\t#\tflags\nINBOX\t5\t\\Seen $Foo\nLängerer Name\t12\t\n',
  table: 'mailbox        # flags\nINBOX          5 \\Seen $Foo\nLängerer Name 12\n',
  json: '[{"mailbox":"INBOX","count":5,"flags":["\\\\Seen","$Foo"]},\n{"mailbox":"Längerer Name","count":12,"flags":[]}]\n',
};

describe('output formats', () => {
  for (const format of outputFormats) {
    it(`${format} prints rows as ${JSON.stringify(expected[format])}`, async () => {
      assert.equal(await printed(format, columns, rows), expected[format]);
    });
  }

  const empty: readonly (readonly [OutputFormat, string])[] = [
    ['flow', ''],
    ['pager', ''],
    ['tab', 'mailbox\t#\tflags\n'],
    ['table', 'mailbox # flags\n'],
    ['json', '[]\n'],
  ];
  for (const [format, text] of empty) {
    it(`${format} prints ${JSON.stringify(text)} without rows`, async () => assert.equal(await printed(format, columns, []), text));
  }

  it('table has no header when no column wants a title', async () => {
    assert.equal(
      await printed(
        'table',
        [
          { key: 'a', hidesTitle: true },
          { key: 'b', hidesTitle: true },
        ],
        [['1', '2']],
      ),
      '1 2\n',
    );
  });

  it('table shows what would break a line as an escape', async () => {
    assert.equal(await printed('table', [{ key: 'a' }], [['x\ny\u001b[31m']]), 'a\nx\\ny?[31m\n');
  });

  it('table goes on after the rows that gave the widths', async () => {
    const many = Array.from({ length: 1500 }, (_, at) => [String(at), 'x']);
    const lines = (await printed('table', [{ key: 'a' }, { key: 'b' }], many)).split('\n');
    assert.equal(lines.length, 1502);
    assert.deepEqual([lines[0], lines[1], lines[1500]], ['a   b', '0   x', '1499 x']);
  });

  it('tab escapes tabs and line ends, so that a line is a row', async () => {
    assert.equal(await printed('tab', [{ key: 'a' }, { key: 'b' }], [['x\ty', chunks('1\n', '2')]]), 'a\tb\nx\u0001ty\t1\u0001n2\n');
  });

  it('pager starts content on a new line and ends it with one', async () => {
    const text = await printed('pager', [{ key: 'body' }, { key: 'uid' }], [[chunks('one\n', 'two'), 7]]);
    assert.equal(text, 'body:\none\ntwo\nuid: 7\n');
    assert.equal(await printed('pager', [{ key: 'body' }], [[chunks('')]]), 'body:\n');
  });

  it('json writes content in chunks that cut characters in two', async () => {
    const octets = Buffer.from('ä"\n𝄞');
    const parts = Array.from(octets, (_, at) => octets.subarray(at, at + 1));
    const text = await printed('json', [{ key: 'body' }, { key: 'uid' }], [[chunks(...parts), 7]]);
    assert.deepEqual(JSON.parse(text), [{ body: 'ä"\n𝄞', uid: 7 }]);
  });

  it('json replaces octets that are no UTF-8', async () => {
    assert.deepEqual(JSON.parse(await printed('json', [{ key: 'body' }], [[chunks(Buffer.from([0x61, 0xff]), Buffer.from([0xc3]))]])), [
      { body: 'a\ufffd\ufffd' },
    ]);
  });

  for (const [text, width] of [
    ['abc', 3],
    ['ä', 1],
    ['a\u0308', 1],
    ['日本', 4],
    ['😀', 2],
  ] as const) {
    it(`${JSON.stringify(text)} takes ${width} columns`, () => assert.equal(displayWidth(text), width));
  }
});
