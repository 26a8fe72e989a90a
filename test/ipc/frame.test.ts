import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { encodeFrame, FrameDecoder, FrameError } from '#ipc/frame.js';

function drain(decoder: FrameDecoder): unknown[] {
  const values: unknown[] = [];
  for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) values.push(frame.value);
  return values;
}

const samples: readonly unknown[] = [{ kind: 'hello', text: 'Grüße ✓' }, [], null, 0, '', { nested: [{ a: [1, 2, 3] }] }];

describe('frame', () => {
  const wire = Buffer.concat(samples.map((sample) => encodeFrame(sample)));

  for (let cut = 0; cut <= wire.length; cut += 1) {
    it(`sequence is read whole when cut after octet ${cut}`, () => {
      const decoder = new FrameDecoder();
      decoder.push(wire.subarray(0, cut));
      const values = drain(decoder);
      decoder.push(wire.subarray(cut));
      assert.deepEqual([...values, ...drain(decoder)], samples);
    });
  }

  it('sequence is read whole octet by octet', () => {
    const decoder = new FrameDecoder();
    const values: unknown[] = [];
    for (const octet of wire) {
      decoder.push(Buffer.from([octet]));
      values.push(...drain(decoder));
    }
    assert.deepEqual(values, samples);
  });

  it('of any JSON value comes back as it was, however it is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue(), { maxLength: 8 }), fc.array(fc.nat(400), { maxLength: 12 }), (values, sizes) => {
        const all = Buffer.concat(values.map((value) => encodeFrame(value)));
        const decoder = new FrameDecoder();
        const seen: unknown[] = [];
        let at = 0;
        for (const size of [...sizes, all.length]) {
          decoder.push(all.subarray(at, at + size));
          at += size;
          seen.push(...drain(decoder));
        }
        assert.deepEqual(seen, JSON.parse(JSON.stringify(values)));
      }),
    );
  });

  it('at the limit is accepted', () => {
    const decoder = new FrameDecoder(10);
    decoder.push(encodeFrame('12345678'));
    assert.deepEqual(drain(decoder), ['12345678']);
  });

  it('one past the limit is refused from its length alone', () => {
    const decoder = new FrameDecoder(10);
    decoder.push(encodeFrame('123456789').subarray(0, 4));
    assert.throws(
      () => decoder.next(),
      (error) => error instanceof FrameError && error.code === 'too-long',
    );
  });

  it('one past the limit is refused by the sender', () => {
    assert.throws(
      () => encodeFrame('123456789', 10),
      (error) => error instanceof FrameError && error.code === 'too-long',
    );
  });

  it('that is not JSON is refused', () => {
    const decoder = new FrameDecoder();
    decoder.push(Buffer.from([0, 0, 0, 2, 0x7b, 0x7b]));
    assert.throws(
      () => decoder.next(),
      (error) => error instanceof FrameError && error.code === 'malformed',
    );
  });

  it('leaves what follows it to a plain stream', () => {
    const decoder = new FrameDecoder();
    decoder.push(Buffer.concat([encodeFrame('first'), Buffer.from('a1 NO')]));
    decoder.push(Buffer.from('OP\r\n'));
    assert.deepEqual(decoder.next(), { value: 'first' });
    assert.equal(decoder.takeRest().toString(), 'a1 NOOP\r\n');
  });
});
