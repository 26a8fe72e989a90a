import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LineReader } from '#protocol/line/line-reader.js';

function read(reader: LineReader, chunks: readonly string[]): string[] {
  const seen: string[] = [];
  for (const chunk of chunks) {
    reader.push(Buffer.from(chunk, 'latin1'));
    for (let step = reader.next(); step.kind !== 'more'; step = reader.next())
      seen.push(step.kind === 'line' ? step.line.toString('latin1') : '<too long>');
  }
  return seen;
}

describe('line reader', () => {
  const text = 'USER anna\r\n\r\nbare\nlast\r\n';
  for (let cut = 0; cut <= text.length; cut++) {
    it(`gives the same lines when cut after ${JSON.stringify(text.slice(0, cut))}`, () => {
      assert.deepEqual(read(new LineReader(100), [text.slice(0, cut), text.slice(cut)]), ['USER anna', '', 'bare', 'last']);
    });
  }
  it('takes a line of exactly the limit', () => {
    assert.deepEqual(read(new LineReader(5), ['12345\r\n']), ['12345']);
    assert.deepEqual(read(new LineReader(5), ['12345', '\r', '\n']), ['12345']);
  });
  it('drops a line one octet past the limit, whole or in pieces, and goes on', () => {
    assert.deepEqual(read(new LineReader(5), ['123456\r\nok\r\n']), ['<too long>', 'ok']);
    assert.deepEqual(read(new LineReader(5), [...'123456\r\nok\r\n']), ['<too long>', 'ok']);
  });
  it('keeps nothing of an endless line', () => {
    const reader = new LineReader(1000);
    for (let i = 0; i < 1000; i++) {
      reader.push(Buffer.alloc(10_000, 0x61));
      assert.equal(reader.next().kind, 'more');
      assert.ok(reader.pendingBytes <= 1001);
    }
    assert.deepEqual(read(reader, ['x\r\nok\r\n']), ['<too long>', 'ok']);
  });
  it('hands over the rest for a change of mode', () => {
    const reader = new LineReader(100);
    reader.push(Buffer.from('DATA\r\nbody'));
    assert.equal(reader.next().kind, 'line');
    assert.equal(reader.takeRest().toString(), 'body');
    assert.equal(reader.next().kind, 'more');
  });
});
