import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type ClaimFacts,
  ClaimOpener,
  ClaimSealer,
  claimIdentityOf,
  claimLifetimeMs,
  type RepeatedFacts,
  UsedNumbers,
} from '#auth/claim-token.js';
import { claimKeysOf } from '#ipc/claim-keys.js';

const nowMs = 1_700_000_000_000;
const facts: ClaimFacts = { user: 'anna', service: 'imap', loginPid: 71, authId: 5, sessionId: 'abc' };
const repeated: RepeatedFacts = { user: 'anna', service: 'imap', loginPid: 71 };
const anna = { uid: '1000', gid: '100', home: '/home/anna' };

function world(fields: Readonly<Record<string, string>> = anna) {
  const secret = randomBytes(32);
  const sealer = new ClaimSealer(secret);
  return {
    secret,
    sealer,
    seal: () => sealer.seal({ ...facts, fields, untilMs: nowMs + claimLifetimeMs }),
    sealAgain: () => sealer.sealAgain({ ...repeated, fields, untilMs: nowMs + claimLifetimeMs }),
    opener: (atMs = nowMs) => new ClaimOpener({ secret: secret.toString('base64') }, () => atMs),
  };
}

describe('a sealed login', () => {
  it('gives the mail process the user and the fields', () => {
    const { seal, opener } = world();
    assert.deepEqual(opener().open(seal(), facts), { user: 'anna', fields: anna });
  });

  it('shows the fields to nobody who carries it', () => {
    const { seal } = world();
    const token = seal();
    assert.ok(!token.includes('/home/anna'));
    for (const part of token.split('.')) assert.ok(!Buffer.from(part, 'base64').includes('/home/anna'));
  });

  it('is opened once by a process, in any order', () => {
    const { seal, opener } = world();
    const process = opener();
    const tokens = [seal(), seal(), seal()];
    for (const index of [2, 0, 1]) assert.ok(process.open(tokens[index] ?? '', facts), `token ${index}`);
    for (const token of tokens) assert.equal(process.open(token, facts), undefined);
  });

  const others: readonly Partial<ClaimFacts>[] = [
    { user: 'bob' },
    { service: 'pop3' },
    { loginPid: 72 },
    { authId: 6 },
    { sessionId: 'abd' },
  ];
  for (const change of others) {
    it(`is refused with another connection: ${JSON.stringify(change)}`, () => {
      const { seal, opener } = world();
      assert.equal(opener().open(seal(), { ...facts, ...change }), undefined);
    });
  }

  it('is good until the end of its lifetime and no longer', () => {
    const { seal, opener } = world();
    assert.ok(opener(nowMs + claimLifetimeMs).open(seal(), facts));
    assert.equal(opener(nowMs + claimLifetimeMs + 1).open(seal(), facts), undefined);
  });

  it('is refused when it was made with another secret', () => {
    assert.equal(world().opener().open(world().seal(), facts), undefined);
  });

  it('is refused when any character was changed, taken away or put in', () => {
    const { seal, opener } = world();
    const process = opener();
    const token = seal();
    for (let at = 0; at < token.length; at += 1) {
      for (const other of ['A', 'B', '.', '0', '1', '']) {
        const changed = `${token.slice(0, at)}${other}${token.slice(at + 1)}`;
        if (changed !== token) assert.equal(process.open(changed, facts), undefined, `${other} at ${at}`);
        assert.equal(process.open(`${token.slice(0, at)}${other || '='}${token.slice(at)}`, facts), undefined, `one more at ${at}`);
      }
    }
    assert.ok(process.open(token, facts));
  });

  it('is refused with parts of another one', () => {
    const { sealer, opener } = world();
    const process = opener();
    const of = (fields: Record<string, string>) => sealer.seal({ ...facts, fields, untilMs: nowMs + 1 }).split('.');
    const [one, two] = [of(anna), of({ ...anna, home: '/' })];
    for (let at = 0; at < one.length; at += 1) {
      const mixed = one.with(at, two[at] ?? '');
      if (mixed.join() !== one.join()) assert.equal(process.open(mixed.join('.'), facts), undefined, `part ${at}`);
    }
    assert.deepEqual(process.open(one.join('.'), facts)?.fields, anna);
    assert.deepEqual(process.open(two.join('.'), facts)?.fields, { ...anna, home: '/' });
  });

  it('has the fields of its own login, whoever logged in before', () => {
    const { sealer, opener } = world();
    const process = opener();
    for (let round = 0; round < 2; round += 1) {
      for (let n = 0; n < 1_200; n += 1) {
        const fields = { uid: String(n % 7), home: `/home/${n}` };
        const own = { ...facts, user: `user${n}` };
        const opened = process.open(sealer.seal({ ...own, fields, untilMs: nowMs + 1 }), own);
        assert.deepEqual(opened, { user: `user${n}`, fields });
      }
    }
  });

  it('is nothing when it is no token at all', () => {
    const process = world().opener();
    fc.assert(
      fc.property(fc.string(), (text) => process.open(text, facts) === undefined && process.open(`:.${text}`, facts) === undefined),
    );
  });

  it('holds across auth processes with one secret, each with numbers of its own', () => {
    const { secret, seal, opener } = world();
    const process = opener();
    const next = new ClaimSealer(secret);
    assert.ok(process.open(seal(), facts));
    assert.ok(process.open(next.seal({ ...facts, fields: anna, untilMs: nowMs + 1 }), facts));
  });
});

describe('a process that runs as one user', () => {
  const mail = { uid: 8, gid: 8 };
  const cases = [
    { title: 'opens what is meant for that user', ids: { uid: 1000, gid: 100 }, fields: anna, isOpened: true },
    { title: 'opens nothing of another uid', ids: { uid: 1001, gid: 100 }, fields: anna, isOpened: false },
    { title: 'opens nothing of another gid', ids: { uid: 1000, gid: 101 }, fields: anna, isOpened: false },
    { title: 'opens logins of users without ids when it runs as the mail user', ids: mail, fields: {}, isOpened: true },
    {
      title: 'opens a login with a uid alone when the group is the mail group',
      ids: { uid: 1000, gid: 8 },
      fields: { uid: '1000' },
      isOpened: true,
    },
    { title: 'opens no login of users without ids when it runs as somebody else', ids: { uid: 1000, gid: 8 }, fields: {}, isOpened: false },
  ];
  for (const { title, ids, fields, isOpened } of cases) {
    it(title, () => {
      const { secret, seal } = world(fields as Record<string, string>);
      const opened = new ClaimOpener(claimKeysOf(secret, ids, mail), () => nowMs).open(seal(), facts);
      assert.equal(opened !== undefined, isOpened);
    });
  }

  it('has the identity that the userdb names', () => {
    assert.equal(claimIdentityOf({ uid: '1000' }), '1000:');
    assert.equal(claimIdentityOf({}), ':');
  });
});

describe('used numbers', () => {
  it('are each accepted once, in whatever order they come within the window', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 2_000 })), (numbers) => {
        const used = new UsedNumbers();
        const seen = new Set<number>();
        for (const number of numbers) {
          assert.equal(used.use(number), !seen.has(number), `${number}`);
          seen.add(number);
        }
      }),
      { numRuns: 30 },
    );
  });

  it('are refused when they are too far behind, and counted anew after a jump', () => {
    const used = new UsedNumbers();
    const far = 1 << 21;
    assert.ok(used.use(5));
    assert.ok(used.use(far + 5));
    assert.equal(used.use(5), false);
    assert.ok(used.use(far + 4));
    assert.equal(used.use(far + 4), false);
  });
});

describe('a login sealed for those that follow', () => {
  it('is opened for each connection of the same user, by the same login process', () => {
    const { sealAgain, opener } = world();
    const process = opener();
    const token = sealAgain();
    for (const sessionId of ['one', 'two', 'one'])
      assert.deepEqual(process.open(token, { ...repeated, sessionId, authId: 9 }), { user: 'anna', fields: anna });
  });

  for (const change of [{ user: 'bob' }, { service: 'pop3' }, { loginPid: 72 }]) {
    it(`is refused with another connection: ${JSON.stringify(change)}`, () => {
      const { sealAgain, opener } = world();
      assert.equal(opener().open(sealAgain(), { ...facts, ...change }), undefined);
    });
  }

  it('is good until the end of its lifetime and no longer', () => {
    const { sealAgain, opener } = world();
    assert.ok(opener(nowMs + claimLifetimeMs).open(sealAgain(), facts));
    assert.equal(opener(nowMs + claimLifetimeMs + 1).open(sealAgain(), facts), undefined);
  });

  it('is not made of one that is good once, nor the other way round', () => {
    const { seal, sealAgain, opener } = world();
    const process = opener();
    for (const [token, number] of [
      [seal(), '0'],
      [sealAgain(), '1'],
    ] as const) {
      const parts = token.split('.');
      parts[3] = number;
      assert.equal(process.open(parts.join('.'), facts), undefined);
    }
  });
});
