// How long an answer holds that comes from databases which the test plays.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AuthCache } from '#auth/auth-cache.js';
import type { UserdbLookup } from '#auth/database.js';
import { newAuthState } from '#auth/request.js';
import { broken, facts, makeChain, unknown, userdb } from './chain-fixture.js';

const minute = 60_000;
const bob = { kind: 'found', fields: [['uid', '1']] } as const;

describe('how long the answer of a userdb holds', () => {
  /** @param cacheKey undefined: a driver that is not cached @returns how to ask, and the clock */
  function world(answers: readonly (() => UserdbLookup)[], cacheKey: string | undefined, negativeTtlMs = minute) {
    const clock = { nowMs: 1_000_000 };
    const cache = new AuthCache({ maxBytes: 100_000, ttlMs: 2 * minute, negativeTtlMs, nowMs: () => clock.nowMs });
    const chain = makeChain({ cache, userdbs: answers.map((answer, index) => userdb(index + 1, answer, {}, cacheKey)) });
    const heldMs = async (): Promise<number> => {
      const state = newAuthState(facts, 'bob');
      assert.equal((await chain.lookupUser(state)).kind, 'found');
      return state.heldUntilMs - clock.nowMs;
    };
    return { clock, heldMs };
  }

  it('is as long as the cache keeps it, when it was put there and when it comes from there', async () => {
    const { clock, heldMs } = world([() => bob], '%u');
    assert.equal(await heldMs(), 2 * minute);
    clock.nowMs += 5_000;
    assert.equal(await heldMs(), 2 * minute - 5_000);
  });

  it('is no longer than another database is remembered not to know the user', async () => {
    const { heldMs } = world([() => unknown, () => bob], '%u');
    assert.deepEqual([await heldMs(), await heldMs()], [minute, minute]);
  });

  it('is nothing where that is not remembered', async () => {
    const { heldMs } = world([() => unknown, () => bob], '%u', 0);
    assert.ok((await heldMs()) <= 0);
  });

  it('is nothing for an old answer of a database that is down', async () => {
    let isDown = false;
    const { clock, heldMs } = world([() => (isDown ? broken : bob)], '%u');
    await heldMs();
    isDown = true;
    clock.nowMs += 3 * minute;
    assert.ok((await heldMs()) <= 0);
  });

  it('is nothing where the driver cannot tell', async () => {
    assert.ok((await world([() => bob], undefined).heldMs()) <= 0);
  });
});
