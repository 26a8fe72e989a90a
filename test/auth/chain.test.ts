import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DatabaseRules, PassdbLookup, ResultRule } from '#auth/database.js';
import { newAuthState } from '#auth/request.js';
import { broken, facts, found, login, makeChain, passdb, unknown, userdb } from './chain-fixture.js';

const answers: Readonly<Record<string, PassdbLookup>> = { ok: found('right'), mismatch: found('other'), unknown, internal: broken };

describe('passdb chain', () => {
  // What the first database answers, its rule for that, what the second answers (with default rules), and the outcome of the whole.
  const table: readonly (readonly [first: string, rule: ResultRule, second: string, outcome: string])[] = [
    ['ok', 'return-ok', 'unknown', 'ok'],
    ['ok', 'return-fail', 'ok', 'mismatch'],
    ['ok', 'return', 'ok', 'mismatch'],
    ['ok', 'continue', 'unknown', 'unknown'],
    ['ok', 'continue', 'mismatch', 'ok'],
    ['ok', 'continue-ok', 'unknown', 'ok'],
    ['ok', 'continue-ok', 'internal', 'ok'],
    ['ok', 'continue-fail', 'unknown', 'unknown'],
    ['ok', 'continue-fail', 'ok', 'ok'],
    ['mismatch', 'continue', 'ok', 'ok'],
    ['mismatch', 'continue', 'unknown', 'mismatch'],
    ['mismatch', 'return', 'ok', 'mismatch'],
    ['mismatch', 'return-fail', 'ok', 'mismatch'],
    ['mismatch', 'return-ok', 'mismatch', 'ok'],
    ['mismatch', 'continue-ok', 'mismatch', 'ok'],
    ['unknown', 'continue', 'mismatch', 'mismatch'],
    ['unknown', 'return', 'ok', 'unknown'],
    ['internal', 'continue', 'ok', 'ok'],
    ['internal', 'continue', 'mismatch', 'internal'],
    ['internal', 'return', 'ok', 'internal'],
    ['internal', 'return-fail', 'ok', 'internal'],
    ['internal', 'continue-ok', 'mismatch', 'ok'],
  ];
  for (const [first, rule, second, outcome] of table) {
    it(`${first} with ${rule}, then ${second}: ${outcome}`, async () => {
      const changes: Partial<DatabaseRules> =
        first === 'ok' ? { resultSuccess: rule } : first === 'internal' ? { resultInternalFail: rule } : { resultFailure: rule };
      const chain = makeChain({
        passdbs: [passdb(1, () => answers[first] ?? unknown, changes), passdb(2, () => answers[second] ?? unknown)],
      });
      assert.equal(await login(chain, 'right'), outcome);
    });
  }

  it('lets nobody in without a passdb, or with all of them skipped', async () => {
    assert.equal(await login(makeChain({}), 'x'), 'unknown');
    const skipped = makeChain({ passdbs: [passdb(1, () => found('x'), { skip: 'unauthenticated' })] });
    assert.equal(await login(skipped, 'x'), 'unknown');
  });

  it('skips by what was decided before', async () => {
    const asked: number[] = [];
    const track = (id: number, changes: Partial<DatabaseRules>) =>
      passdb(
        id,
        () => {
          asked.push(id);
          return found('x');
        },
        changes,
      );
    const chain = makeChain({
      passdbs: [track(1, { resultSuccess: 'continue-ok' }), track(2, { skip: 'authenticated' }), track(3, { skip: 'unauthenticated' })],
    });
    assert.equal(await login(chain, 'x'), 'ok');
    assert.deepEqual(asked, [1, 3]);
  });

  for (const [answer, outcome] of [
    ['ok', 'disabled'],
    ['mismatch', 'disabled'],
    ['unknown', 'ok'],
    ['internal', 'internal'],
  ] as const) {
    it(`a deny passdb that answers ${answer} makes it ${outcome}`, async () => {
      const chain = makeChain({
        passdbs: [passdb(1, () => answers[answer] ?? unknown, { isDeny: true }), passdb(2, () => found('right'))],
      });
      assert.equal(await login(chain, 'right'), outcome);
    });
  }

  it('asks only databases whose mechanisms and username_filter fit', async () => {
    const chain = makeChain({
      passdbs: [
        passdb(1, () => found('one'), { mechanisms: ['SCRAM-SHA-256', 'NONE'] }),
        passdb(2, () => found('two'), { usernameFilter: ['*@example.org', '!bad*'] }),
        passdb(3, () => found('three'), { usernameFilter: ['!*@example.org'] }),
      ],
    });
    assert.equal(await login(chain, 'one'), 'mismatch');
    assert.equal(await login(chain, 'two', 'ann@example.org'), 'ok');
    assert.equal(await login(chain, 'two', 'bad@example.org'), 'unknown');
    assert.equal(await login(chain, 'three', 'ann@example.net'), 'ok');
  });

  it('takes back the fields of a database that failed and keeps those of one that succeeded', async () => {
    const chain = makeChain({
      passdbs: [
        passdb(1, () => found('no', ['a', '1'], ['userdb_home', '/one'], ['user', 'renamed'])),
        passdb(2, () => found('right', ['b', '2']), { resultSuccess: 'continue-ok' }),
        passdb(3, () => found('ignored', ['c', '3'])),
      ],
    });
    const state = newAuthState(facts, 'bob');
    assert.equal(await chain.authenticate(state, { kind: 'password', password: 'right' }), 'ok');
    assert.deepEqual(
      [...state.extraFields],
      [
        ['b', '2'],
        ['c', '3'],
      ],
    );
    assert.equal(state.user, 'bob');
    assert.equal(state.hasPrefetch, false);
  });

  for (const [field, value, outcome] of [
    ['allow_nets', '10.0.0.0/8', 'ok'],
    ['allow_nets', '192.168.0.0/16,10.0.0.9', 'ok'],
    ['allow_nets', '192.168.0.0/16,local', 'mismatch'],
    ['allow_nets', '10.0.0.0/40', 'mismatch'],
    ['user_disabled', 'yes', 'disabled'],
    ['pass_expired', 'yes', 'expired'],
    ['fail', 'not today', 'mismatch'],
    ['proxy', 'y', 'internal'],
    ['noauthenticate', 'y', 'internal'],
  ] as const) {
    it(`field ${field}=${value} with the right password: ${outcome}`, async () => {
      const chain = makeChain({ passdbs: [passdb(1, () => found('x', [field, value]))] });
      assert.equal(await login(chain, 'x'), outcome);
    });
  }

  it('tells nobody without the password that an account is disabled', async () => {
    const chain = makeChain({ passdbs: [passdb(1, () => found('x', ['user_disabled', 'yes']))] });
    assert.equal(await login(chain, 'guess'), 'mismatch');
  });

  it('accepts no empty stored password, unless nopassword says so', async () => {
    assert.equal(await login(makeChain({ passdbs: [passdb(1, () => found(''))] }), ''), 'mismatch');
    assert.equal(await login(makeChain({ passdbs: [passdb(1, () => found('', ['nopassword', 'y']))] }), 'any'), 'ok');
    assert.equal(await login(makeChain({ passdbs: [passdb(1, () => found('x', ['nopassword', 'y']))] }), 'x'), 'mismatch');
  });

  it('fills default_fields before and override_fields after the database', async () => {
    const changes = {
      defaultFields: [
        ['a', 'default'],
        ['b', '%u'],
      ],
      overrideFields: [['c', 'override']],
    } as const;
    const chain = makeChain({ passdbs: [passdb(1, () => found('x', ['a', 'own'], ['c', 'own']), changes)] });
    const state = newAuthState(facts, 'bob');
    await chain.authenticate(state, { kind: 'password', password: 'x' });
    assert.deepEqual(Object.fromEntries(state.extraFields), { a: 'own', b: 'bob', c: 'override' });
  });
});

describe('master users', () => {
  const asMaster = (wanted: string) => {
    const state = newAuthState(facts, 'admin');
    state.requestedUser = wanted;
    return state;
  };
  const master = (changes: Partial<DatabaseRules> = {}) =>
    passdb(1, ({ user }) => (user === 'admin' ? found('master') : unknown), { isMaster: true, ...changes });
  const normal = passdb(2, ({ user }) => (user === 'bob' ? found('bobs') : unknown));

  it('become the wanted user with their own password', async () => {
    const state = asMaster('bob');
    assert.equal(await makeChain({ passdbs: [master(), normal] }).authenticate(state, { kind: 'password', password: 'master' }), 'ok');
    assert.deepEqual([state.user, state.masterUser], ['bob', 'admin']);
  });

  it('need a master passdb', async () => {
    assert.equal(await makeChain({ passdbs: [normal] }).authenticate(asMaster('bob'), { kind: 'password', password: 'bobs' }), 'mismatch');
  });

  it('are not let in by the password of the wanted user', async () => {
    assert.equal(
      await makeChain({ passdbs: [master(), normal] }).authenticate(asMaster('bob'), { kind: 'password', password: 'bobs' }),
      'mismatch',
    );
  });

  it('with pass = yes the wanted user must be in a passdb too', async () => {
    const chain = makeChain({ passdbs: [master({ resultSuccess: 'continue' }), normal] });
    assert.equal(await chain.authenticate(asMaster('bob'), { kind: 'password', password: 'master' }), 'ok');
    assert.equal(await chain.authenticate(asMaster('ghost'), { kind: 'password', password: 'master' }), 'authz');
  });

  it('are no ordinary users', async () => {
    assert.equal(await login(makeChain({ passdbs: [master(), normal] }), 'master', 'admin'), 'unknown');
  });
});

describe('userdb chain', () => {
  const home = (path: string) => ({ kind: 'found', fields: [['home', path]] }) as const;
  it('takes the first that knows the user, numbers for names, and the others after continue-ok', async () => {
    const chain = makeChain({
      userdbs: [
        userdb(1, () => unknown),
        userdb(
          2,
          () => ({
            kind: 'found',
            fields: [
              ['uid', 'root'],
              ['gid', 'root'],
              ['home', '/a'],
            ],
          }),
          { resultSuccess: 'continue-ok' },
        ),
        userdb(3, () => ({
          kind: 'found',
          fields: [
            ['home', '/b'],
            ['mail', 'maildir:~/M'],
          ],
        })),
        userdb(4, () => home('/never')),
      ],
    });
    const result = await chain.lookupUser(newAuthState(facts, 'bob'));
    assert.equal(result.kind, 'found');
    if (result.kind === 'found')
      assert.deepEqual(Object.fromEntries(result.fields), { uid: '0', gid: '0', home: '/b', mail: 'maildir:~/M' });
  });

  it('tells an unknown user from a database that is down', async () => {
    const kind = async (...entries: Parameters<typeof userdb>[1][]): Promise<string> =>
      (await makeChain({ userdbs: entries.map((lookup, index) => userdb(index + 1, lookup)) }).lookupUser(newAuthState(facts, 'bob'))).kind;
    assert.equal(await kind(() => unknown), 'unknown');
    assert.equal(
      await kind(
        () => broken,
        () => unknown,
      ),
      'internal',
    );
    assert.equal(
      await kind(
        () => broken,
        () => home('/x'),
      ),
      'found',
    );
    assert.equal(await kind(() => ({ kind: 'found', fields: [['uid', 'no such user']] })), 'internal');
    assert.equal(await kind(), 'unknown');
  });
});
