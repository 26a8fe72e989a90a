import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { encodeFrame, FrameError } from '#ipc/frame.js';
import {
  encodeCredit,
  encodeData,
  encodeDataHead,
  encodeMark,
  maxDataBytes,
  type StreamFrame,
  StreamFrameDecoder,
} from '#ipc/stream-frames.js';

const data = (id: number, text: string): Buffer => encodeData(id, [Buffer.from(text)], Buffer.byteLength(text));

function drain(decoder: StreamFrameDecoder): StreamFrame[] {
  const frames: StreamFrame[] = [];
  for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) frames.push(frame);
  return frames;
}

/** Octets of one stream that came in pieces are one piece here. */
function joined(frames: readonly StreamFrame[]): unknown[] {
  const all: unknown[] = [];
  for (const frame of frames) {
    const last = all.at(-1);
    if (frame.kind === 'data' && Array.isArray(last) && last[0] === frame.id) last[1] += frame.octets.toString('latin1');
    else all.push(frame.kind === 'data' ? [frame.id, frame.octets.toString('latin1')] : frame);
  }
  return all;
}

function decode(pieces: readonly Buffer[]): unknown[] {
  const decoder = new StreamFrameDecoder();
  return joined(
    pieces.flatMap((piece) => {
      decoder.push(piece);
      return drain(decoder);
    }),
  );
}

const refused =
  (code: string) =>
  (error: unknown): boolean =>
    error instanceof FrameError && error.code === code;

describe('stream frame', () => {
  const wire = Buffer.concat([
    data(1, 'a1 NOOP\r\n'),
    encodeFrame({ kind: 'taken', id: 7 }),
    encodeMark('end', 0xffff_ffff),
    encodeCredit(1, 0xffff_ffff),
    data(2, 'x'),
    encodeMark('close', 2),
    encodeMark('reset', 1),
  ]);
  const expected = [
    [1, 'a1 NOOP\r\n'],
    { kind: 'message', value: { kind: 'taken', id: 7 } },
    { kind: 'end', id: 0xffff_ffff },
    { kind: 'credit', id: 1, bytes: 0xffff_ffff },
    [2, 'x'],
    { kind: 'close', id: 2 },
    { kind: 'reset', id: 1 },
  ];

  for (let cut = 0; cut <= wire.length; cut += 1) {
    it(`sequence is read whole when cut after octet ${cut}`, () => {
      assert.deepEqual(decode([wire.subarray(0, cut), wire.subarray(cut)]), expected);
    });
  }

  it('sequence is read whole octet by octet', () => {
    assert.deepEqual(decode([...wire].map((octet) => Buffer.from([octet]))), expected);
  });

  it('of any kind comes back as it was, however it is cut', () => {
    const id = fc.nat(0xffff_ffff);
    const frame = fc.oneof(
      fc.record({ id, text: fc.string({ minLength: 1, maxLength: 300, unit: 'binary-ascii' }) }).map(({ id, text }) => ({
        wire: data(id, text),
        frame: { kind: 'data', id, octets: Buffer.from(text), isLast: true } as const,
      })),
      fc
        .record({ id, kind: fc.constantFrom('end', 'close', 'reset') })
        .map((mark) => ({ wire: encodeMark(mark.kind, mark.id), frame: mark })),
      fc.record({ id, bytes: fc.nat(0xffff_ffff) }).map(({ id, bytes }) => ({
        wire: encodeCredit(id, bytes),
        frame: { kind: 'credit', id, bytes } as const,
      })),
      fc.jsonValue().map((value) => ({
        wire: encodeFrame(value),
        frame: { kind: 'message', value: JSON.parse(JSON.stringify(value)) } as const,
      })),
    );
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 10 }), fc.array(fc.nat(200), { maxLength: 12 }), (frames, sizes) => {
        const all = Buffer.concat(frames.map(({ wire }) => wire));
        const pieces: Buffer[] = [];
        let at = 0;
        for (const size of [...sizes, all.length]) {
          pieces.push(all.subarray(at, at + size));
          at += size;
        }
        assert.deepEqual(decode(pieces), joined(frames.map(({ frame }) => ({ ...frame }))));
      }),
    );
  });

  it('of data is passed on before all of it has come', () => {
    const decoder = new StreamFrameDecoder();
    decoder.push(encodeDataHead(5, 10));
    assert.equal(decoder.next(), undefined);
    decoder.push(Buffer.from('abc'));
    assert.deepEqual(decoder.next(), { kind: 'data', id: 5, octets: Buffer.from('abc'), isLast: false });
    assert.equal(decoder.next(), undefined);
    decoder.push(Buffer.concat([Buffer.from('defghij'), encodeMark('end', 5)]));
    const rest = [
      { kind: 'data', id: 5, octets: Buffer.from('defghij'), isLast: true },
      { kind: 'end', id: 5 },
    ];
    assert.deepEqual(drain(decoder), rest);
  });

  it('of few octets does not keep the large block that it came in', () => {
    const decoder = new StreamFrameDecoder();
    decoder.push(Buffer.concat([data(1, 'small'), encodeData(2, [Buffer.alloc(30_000)], 30_000)]));
    const first = decoder.next();
    assert.ok(first?.kind === 'data' && first.octets.toString() === 'small');
    assert.ok(first.octets.buffer.byteLength <= 8192, `${first.octets.buffer.byteLength} octets are kept`);
  });

  it('of data is taken at the limit', () => {
    assert.deepEqual(decode([encodeData(1, [Buffer.alloc(maxDataBytes, 'x')], maxDataBytes)]), [[1, 'x'.repeat(maxDataBytes)]]);
  });

  for (const [name, head, code] of [
    ['data past the limit', encodeDataHead(1, maxDataBytes + 1), 'too-long'],
    ['data without octets', encodeDataHead(1, 0), 'malformed'],
    ['an unknown kind', Buffer.from([6, 0, 0, 4]), 'malformed'],
    ['an end with more than an id', Buffer.from([2, 0, 0, 5]), 'malformed'],
    ['a close without an id', Buffer.from([3, 0, 0, 0]), 'malformed'],
    ['a credit without a count', Buffer.from([5, 0, 0, 4]), 'malformed'],
    ['a message past the limit', Buffer.from([0, 0x40, 0, 1]), 'too-long'],
  ] as const) {
    it(`is refused from its head alone: ${name}`, () => {
      const decoder = new StreamFrameDecoder();
      decoder.push(head.subarray(0, 4));
      assert.throws(() => decoder.next(), refused(code));
    });
  }

  it('is refused when its message is not JSON', () => {
    const decoder = new StreamFrameDecoder();
    decoder.push(Buffer.from([0, 0, 0, 1, 0x7b]));
    assert.throws(() => decoder.next(), refused('malformed'));
  });
});
