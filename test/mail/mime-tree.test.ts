import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MimePart } from '#mail/mime-part.js';
import { MimeScanner, parseStructure } from '#mail/mime-tree.js';
import { allParts } from '#mail/text.js';
import { cpuMs } from '../support/cpu-time.js';
import { assertSound, crlf, messageNames, readMessage } from './messages.js';

const outline = (part: MimePart): string =>
  `${part.type}/${part.subtype}${part.children.length > 0 ? `(${part.children.map(outline).join(' ')})` : ''}`;
const bodies = (message: Buffer, root: MimePart): string[] =>
  root.children.map((part) => message.toString('latin1', part.bodyStart, part.bodyEnd));

function scanPieces(message: Buffer, pieces: readonly number[]): MimePart {
  const scanner = new MimeScanner();
  let at = 0;
  for (const size of pieces) {
    scanner.push(Buffer.from(message.subarray(at, at + size)));
    at += size;
  }
  scanner.push(message.subarray(at));
  return scanner.end();
}

describe('message structure', () => {
  for (const name of messageNames()) {
    const message = readMessage(name);
    const whole = parseStructure(message);
    it(`of ${name} is the same for every way the message is cut`, () => {
      // Long messages: a sample of the cuts; all of them octet by octet.
      const step = Math.max(1, Math.floor(message.length / 250));
      for (let at = 0; at <= message.length; at += step) assert.deepEqual(scanPieces(message, [at]), whole, `cut at ${at}`);
      assert.deepEqual(scanPieces(message, new Array(message.length).fill(1)), whole, 'octet by octet');
      assert.deepEqual(scanPieces(message, new Array(Math.ceil(message.length / 7)).fill(7)), whole, 'by seven');
    });
    it(`of ${name} has offsets in order, and lines as counted`, () => assertSound(message, whole));
  }
});

describe('a boundary', () => {
  const multipart = (boundary: string, rest: string): Buffer => crlf(`Content-Type: multipart/mixed; boundary="${boundary}"\n\n${rest}`);
  const cases: readonly (readonly [title: string, boundary: string, rest: string, expected: readonly string[]])[] = [
    ['gives its line end to the delimiter', 'b', '--b\n\none\n\n--b\n\ntwo\n--b--\n', ['one\r\n', 'two']],
    ['may be followed by white space', 'b', '--b  \t\n\none\n--b-- \nepilogue\n', ['one']],
    ['matches the beginning of a line', 'b', '--bxyz\n\none\n--b--xyz\n--b\n\nno\n', ['one']],
    ['counts no more after its end', 'b', '--b\n\none\n--b--\n--b\n\nno\n', ['one']],
    ['must begin a line', 'b', '--b\n\none --b\n', ['one --b\r\n']],
    ['needs both dashes', 'b', '--b\n\n-b\n- -b\n', ['-b\r\n- -b\r\n']],
    ['may be missing at the end', 'b', '--b\n\none\n', ['one\r\n']],
    ['without line end at the end of the message begins no part', 'b', '--b\n\none\n--b', ['one']],
    ['ends a header without empty line', 'b', '--b\nX: y\n--b\n\ntwo\n--b--\n', ['', 'two']],
    ['right behind a header leaves an empty body', 'b', '--b\nX: y\n\n--b--\n', ['']],
    ['may be long', 'b'.repeat(200), `--${'b'.repeat(200)}\n\none\n--${'b'.repeat(200)}--\n`, ['one']],
  ];
  for (const [title, boundary, rest, expected] of cases) {
    it(title, () => {
      const message = multipart(boundary, rest);
      assert.deepEqual(bodies(message, parseStructure(message)), expected);
    });
  }
  it('of an outer multipart ends the inner ones', () => {
    const message = multipart('o', '--o\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\nin\n--o\n\nout\n--o--\n');
    assert.equal(outline(parseStructure(message)), 'multipart/mixed(multipart/mixed(text/plain) text/plain)');
  });
  it('that begins with another one is told apart by length, in both orders', () => {
    for (const [outer, inner] of [
      ['abc', 'abcdef'],
      ['abcdef', 'abc'],
    ]) {
      const message = multipart(
        outer ?? '',
        `--${outer}\nContent-Type: multipart/mixed; boundary=${inner}\n\n--${inner}\n\nin\n--${inner}--\n--${outer}\n\nout\n--${outer}--\n`,
      );
      assert.equal(outline(parseStructure(message)), 'multipart/mixed(multipart/mixed(text/plain) text/plain)');
    }
  });
  it('that another one ends with dashes is taken literally', () => {
    const message = multipart(
      'foo',
      '--foo\nContent-Type: multipart/mixed; boundary="foo--"\n\n--foo--\n\nin\n--foo----\n--foo\n\nout\n--foo--\n',
    );
    assert.equal(outline(parseStructure(message)), 'multipart/mixed(multipart/mixed(text/plain) text/plain)');
  });
});

describe('limits of message structure', () => {
  const nested = (depth: number): Buffer => {
    let text = '';
    for (let level = 0; level < depth; level += 1) text += `Content-Type: multipart/mixed; boundary=b${level}.\n\n--b${level}.\n`;
    return crlf(`${text}\ncore\n`);
  };
  const depthOf = (root: MimePart): number => {
    let depth = 0;
    for (let part = root.children[0]; part !== undefined; part = part.children[0]) depth += 1;
    return depth;
  };
  it('100 multiparts inside one another are followed, the 101st is a leaf', () => {
    assert.equal(depthOf(parseStructure(nested(100))), 100);
    const root = parseStructure(nested(101));
    assert.equal(depthOf(root), 100);
    assert.equal([...allParts(root)].at(-1)?.subtype, 'octet-stream');
  });
  it('10,000 parts are counted, the last one reaches to the end', () => {
    const message = (count: number): Buffer => crlf(`Content-Type: multipart/mixed; boundary=b\n\n${'--b\n\nx\n'.repeat(count)}--b--\n`);
    assert.equal(parseStructure(message(9_999)).children.length, 9_999);
    const over = message(10_005);
    const { children } = parseStructure(over);
    assert.equal(children.length, 9_999);
    assert.equal(children.at(-1)?.bodyEnd, over.indexOf('x', children.at(-1)?.bodyStart) + 1);
  });
  it('a header beyond its limit is skipped to the empty line', () => {
    const message = crlf(`Subject: x\nX: ${'y'.repeat(1000)}\nContent-Type: text/html\n\nbody\n`);
    const root = parseStructure(message, { headerBytes: 100 });
    assert.equal(outline(root), 'text/plain');
    assert.equal(message.toString('latin1', root.bodyStart), 'body\r\n');
    assert.equal(outline(parseStructure(message, { headerBytes: message.length })), 'text/html');
  });
  it('the header is available up to its limit', () => {
    const scanner = new MimeScanner({ limits: { headerBytes: 12 } });
    scanner.push(crlf('Subject: x\nTo: y\n\nbody\n'));
    assert.equal(scanner.header.toString('latin1'), 'Subject: x\r\n');
  });
});

describe('time of message structure', () => {
  // Bounds are ten times what a slow machine needs: they catch quadratic behaviour, not noise.
  const cases: readonly (readonly [title: string, message: () => Buffer])[] = [
    ['dashes at every line', () => Buffer.from(`Content-Type: multipart/mixed; boundary=bbbb\n\n${'--b\n'.repeat(500_000)}`)],
    ['one endless line', () => Buffer.from(`Content-Type: multipart/mixed; boundary=bbbb\n\n--${'b'.repeat(3)}${'x'.repeat(2_000_000)}`)],
    ['a header without end', () => Buffer.from(`X: ${'y'.repeat(2_000_000)}`)],
    ['a header of continuations', () => Buffer.from(`Content-Type: text/plain;\n${' a=b;\n'.repeat(300_000)}`)],
    [
      '100 open boundaries with one beginning',
      () => {
        let text = '';
        const stem = 'b'.repeat(60);
        for (let level = 0; level < 100; level += 1)
          text += `Content-Type: multipart/mixed; boundary=${stem}${level}\n\n--${stem}${level}\n`;
        return Buffer.from(`${text}\n${`--${stem}x\n`.repeat(30_000)}`);
      },
    ],
    ['empty parts', () => Buffer.from(`Content-Type: multipart/mixed; boundary=b\n\n${'--b\n'.repeat(500_000)}`)],
  ];
  for (const [title, create] of cases) {
    it(`is linear for ${title}`, () => {
      const message = create();
      const startedAt = cpuMs();
      parseStructure(message);
      const scanner = new MimeScanner();
      for (let at = 0; at < message.length; at += 1000) scanner.push(message.subarray(at, at + 1000));
      scanner.end();
      assert.ok(cpuMs() - startedAt < 3000);
    });
  }
});
