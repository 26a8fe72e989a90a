import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AuthCache } from '#auth/auth-cache.js';
import type { AuthChain } from '#auth/chain.js';
import type { PassdbLookup } from '#auth/database.js';
import { newAuthState } from '#auth/request.js';
import { broken, facts, found, login, makeChain, passdb, unknown, userdb } from './chain-fixture.js';

const minute = 60_000;

/** A database like SQL: may be slow, may be down, is asked through the cache. */
class Backend {
  nowMs = 1_000_000;
  queries = 0;
  isDown = false;
  readonly passwords = new Map([['bob', 'X']]);
  readonly cache: AuthCache;
  readonly chain: AuthChain;

  constructor(negativeTtlMs = 10 * minute) {
    this.cache = new AuthCache({ maxBytes: 1_000_000, ttlMs: 60 * minute, negativeTtlMs, nowMs: () => this.nowMs });
    this.chain = makeChain({ cache: this.cache, passdbs: [passdb(1, (state) => this.#lookup(state.user), {}, '%u')] });
  }

  #lookup(user: string): PassdbLookup {
    this.queries += 1;
    if (this.isDown) return broken;
    const password = this.passwords.get(user);
    return password === undefined ? unknown : found(password);
  }

  /** Outcome and whether the database was asked: `ok B`. */
  async login(password: string, user = 'bob'): Promise<string> {
    const before = this.queries;
    const outcome = await login(this.chain, password, user);
    return this.queries > before ? `${outcome} B` : outcome;
  }
}

describe('auth cache', () => {
  it('answers a right password without the database, until the password is changed there and a new one is tried', async () => {
    const backend = new Backend();
    assert.equal(await backend.login('X'), 'ok B');
    assert.equal(await backend.login('X'), 'ok');
    backend.passwords.set('bob', 'Y');
    assert.equal(await backend.login('X'), 'ok', 'the old password is valid until the end of the lifetime');
    assert.equal(await backend.login('Y'), 'ok B', 'a mismatch after a success asks the database');
    assert.equal(await backend.login('Y'), 'ok');
    assert.equal(await backend.login('X'), 'mismatch B');
  });

  it('asks the database for the first wrong password after a success, and not for the next ones', async () => {
    const backend = new Backend();
    await backend.login('X');
    assert.equal(await backend.login('Z'), 'mismatch B');
    assert.equal(await backend.login('Z'), 'mismatch');
    assert.equal(await backend.login('X'), 'ok');
    assert.equal(await backend.login('Z'), 'mismatch B');
  });

  it('refuses a password set after it was tried, until negative_ttl after the last query', async () => {
    const backend = new Backend();
    await backend.login('X');
    assert.equal(await backend.login('Z'), 'mismatch B');
    backend.passwords.set('bob', 'Z');
    assert.equal(await backend.login('Z'), 'mismatch');
    backend.nowMs += 10 * minute;
    assert.equal(await backend.login('Z'), 'mismatch');
    backend.nowMs += 1;
    assert.equal(await backend.login('Z'), 'ok B');
  });

  it('remembers unknown users for negative_ttl', async () => {
    const backend = new Backend();
    assert.equal(await backend.login('X', 'eve'), 'unknown B');
    backend.passwords.set('eve', 'X');
    assert.equal(await backend.login('X', 'eve'), 'unknown');
    backend.nowMs += 10 * minute + 1;
    assert.equal(await backend.login('X', 'eve'), 'ok B');
  });

  it('does not remember unknown users when negative_ttl is 0', async () => {
    const backend = new Backend(0);
    assert.equal(await backend.login('X', 'eve'), 'unknown B');
    assert.equal(await backend.login('X', 'eve'), 'unknown B');
  });

  it('falls back to expired data while the database is down', async () => {
    const backend = new Backend();
    await backend.login('X');
    backend.isDown = true;
    backend.nowMs += 61 * minute;
    assert.equal(await backend.login('X'), 'ok B');
    assert.equal(await backend.login('Q'), 'mismatch B');
    assert.equal(await backend.login('X', 'eve'), 'internal B', 'nothing is known about this one');
  });

  it('expires at the end of the lifetime, not before', async () => {
    const backend = new Backend();
    await backend.login('X');
    backend.nowMs += 60 * minute;
    assert.equal(await backend.login('X'), 'ok');
    backend.nowMs += 1;
    assert.equal(await backend.login('X'), 'ok B');
  });

  it('is flushed by user and as a whole, and says how many entries went', async () => {
    const backend = new Backend();
    backend.passwords.set('ann', 'A');
    await backend.login('X');
    await backend.login('A', 'ann');
    assert.equal(backend.cache.flush(['bob', 'nobody']), 1);
    assert.equal(await backend.login('X'), 'ok B');
    assert.equal(await backend.login('A', 'ann'), 'ok');
    assert.equal(backend.cache.flush(), 2);
    assert.equal(await backend.login('A', 'ann'), 'ok B');
  });

  it('does not take in what was asked before a flush, nor answers with it whoever asks after', async () => {
    const cache = new AuthCache({ maxBytes: 100_000, ttlMs: minute, negativeTtlMs: minute, nowMs: () => 0 });
    const answers = { passdb: [] as ((password: string) => void)[], userdb: [] as ((uid: string) => void)[] };
    const chain = makeChain({
      cache,
      passdbs: [passdb(1, () => new Promise((resolve) => answers.passdb.push((password) => resolve(found(password)))), {}, '%u')],
      userdbs: [
        userdb(
          1,
          () => new Promise((resolve) => answers.userdb.push((uid) => resolve({ kind: 'found', fields: [['uid', uid]] }))),
          {},
          '%u',
        ),
      ],
    });
    const uid = async (): Promise<string | undefined> => {
      const answer = await chain.lookupUser(newAuthState(facts, 'bob'));
      return answer.kind === 'found' ? answer.fields.get('uid') : answer.kind;
    };
    const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    const before = [login(chain, 'new'), uid()];
    await turn();
    cache.flush();
    const after = [login(chain, 'new'), uid()];
    await turn();
    assert.deepEqual([answers.passdb.length, answers.userdb.length], [2, 2]);
    answers.passdb[1]?.('new');
    answers.userdb[1]?.('2');
    assert.deepEqual(await Promise.all(after), ['ok', '2']);
    answers.passdb[0]?.('old');
    answers.userdb[0]?.('1');
    assert.deepEqual(await Promise.all(before), ['mismatch', '1']);
    assert.deepEqual([await login(chain, 'new'), await uid()], ['ok', '2']);
  });

  it('asks the database once for simultaneous logins', async () => {
    const backend = new Backend();
    const outcomes = await Promise.all(['X', 'X', 'Z', 'X'].map((password) => login(backend.chain, password)));
    assert.deepEqual(outcomes, ['ok', 'ok', 'mismatch', 'ok']);
    assert.equal(backend.queries, 1);
  });

  it('keeps within its size, dropping what was used longest ago', async () => {
    const cache = new AuthCache({ maxBytes: 1024, ttlMs: minute, negativeTtlMs: minute, nowMs: () => 0 });
    for (let index = 0; index < 10; index += 1) {
      cache.insert(`P1\tuser${index}`, `user${index}`, { password: 'x'.repeat(50), defaultScheme: 'PLAIN', fields: [] });
      cache.findFresh('P1\tuser0');
    }
    const { bytes, entries } = cache.statistics();
    assert.ok(bytes <= 1024 && entries > 1, `${bytes} octets in ${entries} entries`);
    assert.ok(cache.findFresh('P1\tuser0'));
    assert.equal(cache.findFresh('P1\tuser1'), undefined);
  });

  it('keeps userdb answers too, negative ones included, and uses old ones while the database is down', async () => {
    let queries = 0;
    let isDown = false;
    let nowMs = 0;
    const cache = new AuthCache({ maxBytes: 100_000, ttlMs: minute, negativeTtlMs: minute, nowMs: () => nowMs });
    const lookup = userdb(
      1,
      ({ user }) => {
        queries += 1;
        if (isDown) return broken;
        return user === 'bob' ? { kind: 'found', fields: [['uid', '1000']] } : unknown;
      },
      {},
      '%u',
    );
    const chain = makeChain({ cache, userdbs: [lookup] });
    const kind = async (user: string): Promise<string> => (await chain.lookupUser(newAuthState(facts, user))).kind;
    assert.deepEqual(
      [await kind('bob'), await kind('bob'), await kind('eve'), await kind('eve')],
      ['found', 'found', 'unknown', 'unknown'],
    );
    assert.equal(queries, 2);
    isDown = true;
    nowMs += minute + 1;
    assert.deepEqual([await kind('bob'), await kind('eve'), await kind('new')], ['found', 'unknown', 'internal']);
  });
});
