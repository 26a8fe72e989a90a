import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { CommandDecoder, type DecoderLimits, type DecodeStep, defaultDecoderLimits } from '#protocol/imap/decoder.js';
import { ImapSyntaxError } from '#protocol/imap/grammar.js';
import { cpuMs } from '../../support/cpu-time.js';
import { everySplit } from '../../support/each-split.js';

const isMessage = (name: string, before: string, isFirst: boolean): boolean =>
  name === 'APPEND' && (!isFirst || !/^ *~?\{\d+\+?\}$/.test(before));

/** What a decoder reports, in a form that compares well. Message literals are taken. */
function decode(chunks: readonly Buffer[], limits: Partial<DecoderLimits> = {}): string[] {
  const decoder = new CommandDecoder({ ...defaultDecoderLimits, ...limits }, isMessage);
  const out: string[] = [];
  let message = '';
  const drain = (): void => {
    for (;;) {
      const step = decoder.next();
      if (step.kind === 'more') return;
      if (step.kind === 'chunk') {
        message += step.octets.toString('latin1');
        if (step.isLast) out.push(`octets ${JSON.stringify(message)}`);
        if (step.isLast) message = '';
        continue;
      }
      out.push(describeStep(step));
      if ((step.kind === 'message' || step.kind === 'segment') && 'literal' in step && step.literal !== undefined) decoder.acceptMessage();
    }
  };
  for (const chunk of chunks) {
    // The decoder owns what it is given: hand it a copy, and spoil nothing that it still needs.
    decoder.push(Buffer.from(chunk));
    drain();
  }
  return out;
}

function describeStep(step: DecodeStep): string {
  switch (step.kind) {
    case 'command': {
      const words: string[] = [];
      try {
        while (step.reader.trySpace()) words.push(step.reader.astring());
      } catch (error) {
        if (!(error instanceof ImapSyntaxError)) throw error;
        words.push(`(${error.message})`);
      }
      return `${step.tag} ${step.name} ${JSON.stringify(words)}`;
    }
    case 'message':
      return `${step.tag} ${step.name} message ${step.literal.size}${step.literal.isSynchronizing ? '' : '+'}${step.literal.isBinary ? ' binary' : ''}`;
    case 'segment':
      return `segment ${JSON.stringify(step.reader.text)}`;
    case 'bad':
      return `bad ${step.tag ?? '*'} ${step.name ?? '-'}: ${step.reason}`;
    case 'bye':
      return `bye ${step.reason}`;
    case 'line':
      return `line ${step.text}`;
    default:
      return step.kind;
  }
}

const cases: readonly (readonly [input: string, expected: readonly string[]])[] = [
  ['a1 NOOP\r\n', ['a1 NOOP []']],
  ['a1 noop\n', ['a1 NOOP []']],
  ['a1 LOGIN anna "pass word"\r\n', ['a1 LOGIN ["anna","pass word"]']],
  ['a1 LOGIN {4}\r\nanna {3}\r\npwd\r\n', ['continue', 'continue', 'a1 LOGIN ["anna","pwd"]']],
  ['a1 LOGIN {4+}\r\nanna {3+}\r\npwd\r\na2 NOOP\r\n', ['a1 LOGIN ["anna","pwd"]', 'a2 NOOP []']],
  ['a1 X {0+}\r\n\r\n', ['a1 X [""]']],
  ['a1 X {4+}\r\n\r\n{9 y\r\n', ['a1 X ["\\r\\n{9","y"]']],
  ['a1 X "q {3}"\r\na2 NOOP\r\n', ['a1 X ["q {3}"]', 'a2 NOOP []']],
  ['a1 uid fetch 1\r\n', ['a1 UID FETCH ["1"]']],
  ['\r\n', ['bad * -: Invalid tag.']],
  ['a1\r\na2 NOOP\r\n', ['bad a1 -: No command given.', 'a2 NOOP []']],
  ['+a NOOP\r\n', ['bad * -: Invalid tag.']],
  ['a1 APPEND x {3}\r\nabc\r\n', ['a1 APPEND message 3', 'octets "abc"', 'segment ""']],
  ['a1 APPEND x ~{3+}\r\na\0c\r\na2 NOOP\r\n', ['a1 APPEND message 3+ binary', 'octets "a\\u0000c"', 'segment ""', 'a2 NOOP []']],
  [
    'a1 APPEND {1+}\r\nx (\\Seen) {2+}\r\nhi {1+}\r\n!\r\n',
    ['a1 APPEND message 2+', 'octets "hi"', 'segment " {1+}"', 'octets "!"', 'segment ""'],
  ],
  // No message is that large: it is neither waited for nor thrown away.
  ['a1 APPEND x {1099511627777}\r\na2 NOOP\r\n', ['bad a1 APPEND: Literal size too large', 'a2 NOOP []']],
  ['a1 APPEND x {1099511627777+}\r\na2 NOOP\r\n', ['bye Literal size too large']],
];

describe('IMAP command decoder', () => {
  for (const [input, expected] of cases) {
    it(`reads ${JSON.stringify(input)} whole and cut anywhere`, () => {
      for (const chunks of everySplit(Buffer.from(input, 'latin1'))) {
        assert.deepEqual(decode(chunks), expected, `cut into ${chunks.map((chunk) => chunk.length).join('+')}`);
      }
    });
  }

  it('takes a line of exactly the limit and refuses one octet more, then finds the next command', () => {
    const line = (length: number): Buffer => Buffer.from(`a1 X ${'y'.repeat(length - 5)}\r\na2 NOOP\r\n`);
    assert.deepEqual(decode([line(100)], { maxLineBytes: 100 }), [`a1 X ["${'y'.repeat(95)}"]`, 'a2 NOOP []']);
    for (const chunks of everySplit(line(101))) {
      assert.deepEqual(decode(chunks, { maxLineBytes: 100 }), ['bad a1 X: Too long argument.', 'a2 NOOP []']);
    }
  });

  it('counts the pieces of a line around literals together', () => {
    const input = Buffer.from(`a1 X ${'y'.repeat(60)} {1+}\r\nz ${'y'.repeat(60)}\r\na2 NOOP\r\n`);
    assert.deepEqual(decode([input], { maxLineBytes: 100 }), ['bad a1 X: Too long argument.', 'a2 NOOP []']);
  });

  it('takes literals up to the limit together and skips a command past it', () => {
    const input = (size: number): Buffer => Buffer.from(`a1 X {6+}\r\n123456 {${size}+}\r\n${'y'.repeat(size)}\r\na2 NOOP\r\n`);
    assert.deepEqual(decode([input(4)], { maxLiteralBytes: 10 }), ['a1 X ["123456","yyyy"]', 'a2 NOOP []']);
    for (const chunks of everySplit(input(5))) {
      assert.deepEqual(decode(chunks, { maxLiteralBytes: 10 }), ['bad a1 X: Literal size too large', 'a2 NOOP []']);
    }
  });

  it('refuses a large literal before any octet of it when the client waits', () => {
    assert.deepEqual(decode([Buffer.from('a1 X {4294967295}\r\na2 NOOP\r\n')]), ['bad a1 X: Literal size too large', 'a2 NOOP []']);
  });

  it('gives up on a non-synchronizing literal too large to skip', () => {
    assert.deepEqual(decode([Buffer.from('a1 X {4294967295+}\r\nabc\r\na2 NOOP\r\n')]), ['bye Literal size too large']);
  });

  it('skips the literals of a skipped command, too', () => {
    const input = Buffer.from('a1 X {20+}\r\n12345678901234567890 {6+}\r\na\r\nb\r\n rest\r\na2 NOOP\r\n');
    for (const chunks of everySplit(input)) {
      assert.deepEqual(decode(chunks, { maxLiteralBytes: 10 }), ['bad a1 X: Literal size too large', 'a2 NOOP []']);
    }
  });

  it('holds LITERAL- to 4096 octets', () => {
    const input = (size: number): Buffer => Buffer.from(`a1 X {${size}+}\r\n${'y'.repeat(size)}\r\na2 NOOP\r\n`);
    assert.equal(decode([input(4096)], { isLiteralMinus: true }).length, 2);
    assert.deepEqual(decode([input(4097)], { isLiteralMinus: true }), ['bad a1 X: Too large non-synchronizing literal', 'a2 NOOP []']);
  });

  it('keeps a bounded buffer however the octets of an endless line come', () => {
    const decoder = new CommandDecoder(defaultDecoderLimits, isMessage);
    let bad = 0;
    for (let count = 0; count < 2_000; count++) {
      decoder.push(Buffer.alloc(1_000, 0x28));
      for (let step = decoder.next(); step.kind !== 'more'; step = decoder.next()) if (step.kind === 'bad') bad += 1;
      assert.ok(decoder.bufferedBytes <= defaultDecoderLimits.maxLineBytes + 2_000);
    }
    assert.equal(bad, 1);
  });

  it('reads a line of 64 KB that comes octet by octet without copying it each time', () => {
    const decoder = new CommandDecoder(defaultDecoderLimits, isMessage);
    const startedAt = cpuMs();
    const octet = Buffer.from('x');
    decoder.push(Buffer.from('a1 X '));
    for (let count = 0; count < 60_000; count++) {
      decoder.push(octet);
      assert.equal(decoder.next().kind, 'more');
    }
    decoder.push(Buffer.from('\r\n'));
    assert.equal(decoder.next().kind, 'command');
    assert.ok(cpuMs() - startedAt < 2_000);
  });

  it('hands out the next line as it is after expectLine', () => {
    const decoder = new CommandDecoder(defaultDecoderLimits, isMessage);
    decoder.expectLine();
    decoder.push(Buffer.from('DONE\r\na1 NOOP\r\n'));
    assert.deepEqual(decoder.next(), { kind: 'line', text: 'DONE' });
    assert.equal(decoder.next().kind, 'command');
  });

  it('never fails and always finds the command after rubbish, however it is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 8 }), (pieces) => {
        const chunks = pieces.map((piece) => Buffer.from(piece).map((octet) => (octet === 0x7b || octet === 0x7e ? 0x20 : octet)));
        const out = decode(
          [...chunks.map((chunk) => Buffer.from(chunk)), Buffer.from('\r\nz9 NOOP\r\n')].filter((chunk) => chunk.length > 0),
        );
        assert.equal(out.at(-1), 'z9 NOOP []');
      }),
      { numRuns: 300, examples: [[[Uint8Array.from([0x23, 0x20, 0, 0x20, 0])]]] },
    );
  });

  it('reads the same commands whatever the cuts', () => {
    const literal = fc.string({ unit: 'binary-ascii', maxLength: 20 });
    const command = fc.array(literal, { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.array(command, { maxLength: 5 }), fc.array(fc.nat(300), { maxLength: 6 }), (commands, cuts) => {
        const text = commands
          .map((words, index) => `t${index} X ${words.map((word) => `{${word.length}+}\r\n${word}`).join(' ')}\r\n`)
          .join('');
        const whole = Buffer.from(text, 'latin1');
        const points = [0, ...cuts.map((cut) => Math.min(cut, whole.length)).sort((a, b) => a - b), whole.length];
        const chunks = points.slice(1).map((end, index) => whole.subarray(points[index], end));
        assert.deepEqual(
          decode(chunks.filter((chunk) => chunk.length > 0)),
          commands.map((words, index) => `t${index} X ${JSON.stringify(words)}`),
        );
      }),
      { numRuns: 200 },
    );
  });
});
