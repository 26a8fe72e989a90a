import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { KickedSessions } from '#services/anvil/kicked-sessions.js';

const session = (n: number) => ({ ident: `imap/192.0.2.1/user${n}`, sessionId: `s${n}` });
const everybody = () => true;

describe('a session that has just left', () => {
  it('can be kicked for 5 s, on its way to another process', () => {
    for (const [afterMs, isKicked] of [
      [5_000, true],
      [5_001, false],
    ] as const) {
      const kicked = new KickedSessions();
      kicked.left(session(1), 1_000);
      kicked.kicked([], everybody, 1_000 + afterMs);
      assert.equal(kicked.isKicked(session(1), 1_000 + afterMs), isKicked, `after ${afterMs} ms`);
    }
  });

  it('is kicked only when it is meant', () => {
    const kicked = new KickedSessions();
    for (const n of [1, 2, 3]) kicked.left(session(n), n);
    kicked.kicked([], ({ sessionId }) => sessionId === 's2', 10);
    assert.deepEqual(
      [1, 2, 3].map((n) => kicked.isKicked(session(n), 11)),
      [false, true, false],
    );
  });

  it('is one of 20,000 that are remembered, the latest ones', () => {
    const kicked = new KickedSessions();
    for (let n = 0; n < 50_000; n += 1) kicked.left(session(n), n / 100);
    kicked.kicked([], everybody, 500);
    assert.deepEqual(
      [29_999, 30_000, 49_999].map((n) => kicked.isKicked(session(n), 501)),
      [false, true, true],
    );
  });
});
