import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { deflateRawSync, constants as zlib } from 'node:zlib';
import { Inflater } from '#services/imap/inflater.js';
import { patienceMs } from '../../support/patience.js';

interface Seen {
  readonly inflater: Inflater;
  text: string;
  errors: number;
  isFull: boolean;
}

function open(graceMs?: number): Seen {
  const seen: Omit<Seen, 'inflater'> & { inflater?: Inflater } = { text: '', errors: 0, isFull: false };
  const inflater = new Inflater(
    {
      onData: (chunk) => {
        seen.text += chunk.toString('latin1');
      },
      onError: () => {
        seen.errors += 1;
      },
      onPressure: (isFull) => {
        seen.isFull = isFull;
      },
      onIdle: () => undefined,
    },
    graceMs,
  );
  return Object.assign(seen, { inflater });
}

async function until(condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + patienceMs; !condition(); await turn())
    assert.ok(Date.now() < deadline, `not within ${patienceMs} ms`);
}

/** Until nothing moves any more: whatever was begun has a thread and comes back. */
async function rest(): Promise<void> {
  for (let count = 0; count < 20; count += 1) await turn();
}

const ends = [
  ['a flush', zlib.Z_SYNC_FLUSH],
  ['a full flush', zlib.Z_FULL_FLUSH],
  ['the end of the stream', zlib.Z_FINISH],
] as const;

describe('Inflating up to UNAUTHENTICATE', () => {
  for (const [name, finishFlush] of ends) {
    it(`leaves alone what is behind ${name}, at every split`, async () => {
      const lines = 'a1 NOOP\r\na2 UNAUTHENTICATE\r\n';
      const plain = 'a3 LOGIN anna {4+}\r\nabcd\r\n\0\0\xff\xff rest';
      const octets = Buffer.concat([deflateRawSync(lines, { finishFlush }), Buffer.from(plain, 'latin1')]);
      for (let at = 0; at <= octets.length; at += 1) {
        const seen = open(60_000);
        seen.inflater.push(octets.subarray(0, at));
        await turn();
        seen.inflater.push(octets.subarray(at));
        await until(() => seen.text === lines);
        await rest();
        assert.equal(seen.inflater.end().toString('latin1'), plain, `split at ${at}`);
        assert.equal(seen.errors, 0);
      }
    });
  }

  it('does not wait long for a mark', async () => {
    const seen = open();
    seen.inflater.push(deflateRawSync('a1 UNAUTHENTICATE\r\n'));
    await until(() => seen.text !== '');
    assert.equal(seen.inflater.end().length, 0);
  });

  it('goes on when it was no command', async () => {
    const seen = open();
    const text = ['x APPEND INBOX {19+}\r\n', 'x UNAUTHENTICATE\r\n', 'y', '\r\nz NOOP\r\n'];
    seen.inflater.push(deflateRawSync(text.join(''), { finishFlush: zlib.Z_SYNC_FLUSH }));
    await until(() => seen.text === text.join(''));
    const other = open();
    const first = text.slice(0, 2).join('');
    const parts = deflateRawSync(first, { finishFlush: zlib.Z_SYNC_FLUSH });
    const whole = Buffer.concat([parts, deflateRawSync('y\r\nz NOOP\r\n', { finishFlush: zlib.Z_SYNC_FLUSH })]);
    other.inflater.push(whole);
    await until(() => other.text === first);
    await rest();
    assert.equal(other.text, first);
    other.inflater.release();
    await until(() => other.text === text.join(''));
  });

  it('refuses what goes on behind the end of the stream', async () => {
    const seen = open();
    seen.inflater.push(Buffer.concat([deflateRawSync('a NOOP\r\n'), Buffer.from('b NOOP\r\n')]));
    await until(() => seen.errors > 0);
    assert.equal(seen.text, 'a NOOP\r\n');
  });

  it('does not inflate ahead of a reader that has paused, and says when the connection is to wait', async () => {
    const seen = open();
    const bomb = deflateRawSync(Buffer.alloc(64 * 1024 * 1024), { finishFlush: zlib.Z_SYNC_FLUSH });
    seen.inflater.pause();
    seen.inflater.push(bomb);
    seen.inflater.push(Buffer.alloc(70_000));
    await rest();
    assert.equal(seen.text, '');
    assert.equal(seen.isFull, true);
    seen.inflater.destroy();
  });
});
