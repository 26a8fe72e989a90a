import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { type ConfigNode, parseFile } from '#config/parser.js';
import { ProblemList, problemText } from '#config/problem.js';
import { parse, writeFiles } from './support.js';

/** Nodes without places: `[key, text]` or `[type, name, children]`. */
function shape(nodes: readonly ConfigNode[]): unknown[] {
  return nodes.map((node) => (node.kind === 'setting' ? [node.key, node.text] : [node.type, node.name, shape(node.children)]));
}

describe('Configuration syntax', () => {
  const good: readonly (readonly [text: string, expected: unknown[]])[] = [
    ['key=value', [['key', 'value']]],
    ['  key =   a  b  ', [['key', 'a  b']]],
    ['key =', [['key', '']]],
    ['a=b=c', [['a', 'b=c']]],
    ['a = "x # y"', [['a', 'x # y']]],
    ['a = "x # y" # comment', [['a', 'x # y']]],
    ["a = 'it' # c", [['a', 'it']]],
    ["a = it's # kept, the quote is open", [['a', "it's # kept, the quote is open"]]],
    ['a = "b\\"c\\\\d"', [['a', 'b"c\\d']]],
    ['a = "abc" "def"', [['a', 'abc" "def']]],
    ['a = x "q # y" z', [['a', 'x "q # y" z']]],
    ['a = b \\\n   c\\\n d', [['a', 'b c d']]],
    ['# a \\\nb = c', [['b', 'c']]],
    ['a = "</etc/hostname"', [['a', '</etc/hostname']]],
    [
      '\uFEFFa = b\r\nc = d\r\n',
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
    ],
    ['s {\n a = b\n}', [['s', '', [['a', 'b']]]]],
    ['s n {\n t "a b" {\n }\n} # c', [['s', 'n', [['t', 'a b', []]]]]],
    ['mailbox "q \\" {" {\n}', [['mailbox', 'q " {', []]]],
  ];
  for (const [text, expected] of good) {
    it(`reads ${JSON.stringify(text)}`, () => {
      const { nodes, problems } = parse(text);
      assert.deepEqual(shape(nodes), expected);
      assert.deepEqual(problems, []);
    });
  }

  it('takes # inside a word as a comment and warns', () => {
    const { nodes, problems } = parse('foo = bar#baz');
    assert.deepEqual(shape(nodes), [['foo', 'bar']]);
    assert.match(problems.join(), /^1: Warning: Ambiguous '#' character in line/);
  });

  const bad: readonly (readonly [text: string, expected: RegExp])[] = [
    ['service x{\n}', /^1: Expecting '\{' .*blank before the brace/],
    ['service x { a = b }', /^1: Garbage after '\{'/],
    ['word', /^1: Expecting '\{' .*word = value/],
    ['two words = 3', /^1: Expecting '\{'/],
    ['\n}', /^2: Unexpected '\}'/],
    ['a {\n} b', /^2: Expecting '\{'/],
    ['a {\nb = c\n', /^1: Missing '\}' \(section started at \/conf\/a.conf:1\)|^1: Missing/],
    ['a = $nope b', /^1: Unknown variable: \$nope/],
    ['a = </nowhere/p', /^1: a: Can't open file \/nowhere\/p: No such file or directory/],
    ['!include nofile', /^1: No matches for nofile/],
    ['!include', /^1: Include without a file name/],
    ['!foo x', /^1: Expecting '\{' .*!include/],
    ['a = b\\\n c \\\n$', /^$/],
    ['a = b\0c', /^1: Configuration file contains a NUL byte/],
  ];
  for (const [text, expected] of bad) {
    it(`explains what is wrong with ${JSON.stringify(text)}`, () => {
      assert.match(parse(text).problems.join('\n'), expected);
    });
  }

  it('goes on after a problem and reports each, with its own line', () => {
    const { nodes, problems } = parse('word\nservice x{\n a = $nope\n}\nb = c\n}\n');
    assert.deepEqual(
      problems.map((problem) => problem.split(':', 1)[0]),
      ['1', '2', '3', '6'],
    );
    assert.deepEqual(shape(nodes), [
      ['service', 'x', [['a', '']]],
      ['b', 'c'],
    ]);
  });

  it('gives each node its file and line', () => {
    const { nodes } = parse('\n# c\na = \\\n b\ns {\n  c = d\n}');
    const [setting, section] = nodes;
    assert.deepEqual(setting?.place, { file: '/conf/a.conf', line: 4 });
    assert.deepEqual(section?.place, { file: '/conf/a.conf', line: 5 });
  });

  it('does not open a level beyond the limit', () => {
    const { problems } = parse(`${'a {\n'.repeat(500)}${'}\n'.repeat(500)}`);
    assert.match(problems[0] ?? '', /^33: Sections are nested deeper than 32 levels/);
  });
});

describe('Variables in a configuration', () => {
  const table: readonly (readonly [text: string, key: string, expected: string])[] = [
    ['a = x\nb = $a', 'b', 'x'],
    ['a = x\na = $a y', 'a', 'x y'],
    ['a = 1  $instance_name   2', 'a', '1 roost 2'],
    ['a = "$instance_name"', 'a', '$instance_name'],
    ['a = x$instance_name', 'a', 'x$instance_name'],
    ['a = $ENV:HOME', 'a', '/home/me'],
    ['a = x $ENV:NOPE y', 'a', 'x  y'],
    ['vsz_limit = $default_vsz_limit', 'vsz_limit', '256 M'],
  ];
  for (const [text, key, expected] of table) {
    it(`are replaced in ${JSON.stringify(text)}`, () => {
      const { nodes, problems } = parse(text);
      const found = nodes.findLast((node) => node.kind === 'setting' && node.key === key);
      assert.equal(found?.kind === 'setting' ? found.text : undefined, expected);
      assert.deepEqual(problems, []);
    });
  }

  it('see what blocks around them and earlier blocks of the same name have set', () => {
    const { nodes } = parse('p = a\nprotocol imap {\np = $p b\n}\np = $p c\nprotocol imap {\np = $p d\n}\n');
    assert.deepEqual(shape(nodes), [
      ['p', 'a'],
      ['protocol', 'imap', [['p', 'a b']]],
      ['p', 'a c'],
      ['protocol', 'imap', [['p', 'a b d']]],
    ]);
  });
});

describe('Includes', () => {
  const read = (path: string) => {
    const problems = new ProblemList();
    return { parsed: parseFile(path, { problems }), problems: problems.all.map(problemText) };
  };

  it('are read in sorted order, in place, relative to the file that names them', (test) => {
    const folder = writeFiles(test, {
      'top.conf': 'a = 1\n!include conf.d/*.conf\n!include_try nothing/*.conf\n!include_try nofile\nz = 9\n',
      'conf.d/20-b.conf': 'b = 2\n!include more.ext\n',
      'conf.d/10-c.conf': 'c = 3\n',
      'conf.d/.hidden.conf': 'h = 0\n',
      'conf.d/more.ext': 'm = </' + 'dev/null\nkey = <secret\n',
      'conf.d/secret': 'text\n',
    });
    const { parsed, problems } = read(join(folder, 'top.conf'));
    assert.deepEqual(shape(parsed.nodes), [
      ['a', '1'],
      ['c', '3'],
      ['b', '2'],
      ['m', ''],
      ['key', 'text\n'],
      ['z', '9'],
    ]);
    assert.deepEqual(problems, []);
    assert.equal(parsed.files.length, 4);
  });

  it('take braces and character classes', (test) => {
    const folder = writeFiles(test, { 'top.conf': '!include {b,a}[0-9]?.conf\n', 'a1x.conf': 'a=1', 'b2y.conf': 'b=2', 'bxx.conf': 'c=3' });
    assert.deepEqual(shape(read(join(folder, 'top.conf')).parsed.nodes), [
      ['b', '2'],
      ['a', '1'],
    ]);
  });

  it('work inside a block', (test) => {
    const folder = writeFiles(test, { 'top.conf': 's {\n!include in\n}\n', in: 'x = y\n' });
    assert.deepEqual(shape(read(join(folder, 'top.conf')).parsed.nodes), [['s', '', [['x', 'y']]]]);
  });

  it('that come back to a file being read are refused', (test) => {
    const folder = writeFiles(test, { 'a.conf': '!include b.conf\n!include a.conf\n', 'b.conf': '!include ./a.conf\n' });
    const { problems } = read(join(folder, 'a.conf'));
    assert.equal(problems.length, 2);
    for (const problem of problems) assert.match(problem, /Recursive include file: .*\/a\.conf/);
  });

  it('that do not exist or are directories are reported with their place', (test) => {
    const folder = writeFiles(test, { 'a.conf': '\n!include dir\n!include no*\n', 'dir/x': '' });
    const { problems } = read(join(folder, 'a.conf'));
    assert.match(problems[0] ?? '', /a\.conf:2: Couldn't open include file .*dir: Is a directory/);
    assert.match(problems[1] ?? '', /a\.conf:3: No matches/);
  });

  it('of a file that is too large are refused before it is read', (test) => {
    const folder = writeFiles(test, { 'a.conf': '!include big\n', big: '# \n'.repeat(1_500_000) });
    assert.match(read(join(folder, 'a.conf')).problems[0] ?? '', /larger than/);
  });

  it('of the top file that cannot be read are one problem', () => {
    assert.deepEqual(read('/nowhere/a.conf').problems, [
      "Couldn't open configuration file /nowhere/a.conf: No such file or directory (name another one with -c FILE)",
    ]);
  });
});

describe('The parser', () => {
  it('never throws, whatever it reads', () => {
    const word = fc.constantFrom(
      '{',
      '}',
      '=',
      '"',
      "'",
      '\\',
      '#',
      '\n',
      ' ',
      '$a',
      '<x',
      '!include_try ',
      '!include ',
      'service',
      'a',
      'protocol imap',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.array(word, { maxLength: 60 }).map((words) => words.join('')),
          fc.string({ unit: 'binary', maxLength: 200 }),
        ),
        (text) => {
          parse(text, '/nowhere/x.conf');
        },
      ),
      { numRuns: 1000 },
    );
  });
});
