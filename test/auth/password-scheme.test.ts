import assert from 'node:assert/strict';
import { createHash, createHmac } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { hashPassword, isExpensiveScheme, listSchemes, parseStoredPassword, verifyPassword } from '#auth/password-scheme.js';
import { hmacMd5FromStates, hmacMd5KeyStates, initialDigestState, md4, md5Finish } from '#util/md-block.js';
import { passwordVectors } from './password-vectors.js';

const user = 'bob@example.org';
const verify = (stored: string, password: string, defaultScheme = 'CRYPT'): Promise<boolean> =>
  verifyPassword(parseStoredPassword(stored, defaultScheme), password, user);

describe('stored passwords made by Dovecot', () => {
  for (const [scheme, password, stored] of passwordVectors) {
    it(`${scheme} of ${password.length} characters is verified: ${stored.slice(0, 60)}`, async () => {
      assert.equal(await verify(stored, password), true);
      // DES looks at eight characters only, so the difference is at the front.
      assert.equal(await verify(stored, `y${password}`), false);
      assert.equal(await verify(stored, ''), false);
    });
  }
});

describe('new stored passwords', () => {
  const quick: Readonly<Record<string, number>> = {
    ARGON2I: 1,
    ARGON2ID: 1,
    'BLF-CRYPT': 4,
    CRYPT: 4,
    'SHA256-CRYPT': 1000,
    'SHA512-CRYPT': 1000,
    PBKDF2: 100,
    'SCRAM-SHA-1': 100,
    'SCRAM-SHA-256': 100,
  };
  for (const scheme of listSchemes()) {
    it(`${scheme} is verified by its own hash, and differs each time where there is a salt`, async () => {
      const stored = await hashPassword(scheme, 'pässw0rd', quick[scheme], user);
      assert.ok(stored.startsWith(`{${scheme}}`), stored);
      assert.equal(await verify(stored, 'pässw0rd'), true);
      assert.equal(await verify(stored, 'passw0rd'), false);
      const isSalted = /CRYPT|ARGON|SSHA|SMD5|PBKDF2|SCRAM|^MD5$/.test(scheme);
      assert.equal((await hashPassword(scheme, 'pässw0rd', quick[scheme], user)) !== stored, isSalted);
    });
  }

  it('takes an encoding', async () => {
    assert.equal(await hashPassword('sha256.hex', 'test'), `{SHA256.HEX}${createHash('sha256').update('test').digest('hex')}`);
  });

  for (const [scheme, rounds] of [
    ['BLF-CRYPT', 3],
    ['BLF-CRYPT', 32],
    ['SHA512-CRYPT', 999],
    ['SHA512-CRYPT', 1_000_000_000],
    ['ARGON2ID', 0],
  ] as const) {
    it(`refuses ${rounds} rounds of ${scheme}`, () => assert.rejects(hashPassword(scheme, 'x', rounds), { code: 'bad-rounds' }));
  }

  it('refuses a scheme it does not know', () => assert.rejects(hashPassword('ROT13', 'x'), { code: 'unknown-scheme' }));
});

describe('unusable stored passwords', () => {
  for (const stored of [
    '{SHA256}short',
    '{SHA}***',
    '{SSHA}AAAA',
    '{ARGON2ID}$argon2id$v=19$m=9$nothing',
    '{ARGON2ID}plain',
    '{PBKDF2}$1$salt$0$00',
    '{SCRAM-SHA-256}1,2,3,4',
    '{SHA512-CRYPT}!',
    '{CRYPT}*',
    '{NOPE}x',
    '{PLAIN-MD5.hex}zz',
  ]) {
    it(`${stored} is an error, not a match`, () => assert.rejects(verify(stored, stored)));
  }
  it('an empty crypt hash matches nothing', async () => assert.equal(await verify('{CRYPT}', ''), false));
  it('a bare value is in the default scheme', async () => {
    assert.equal(await verify('secret', 'secret', 'PLAIN'), true);
    assert.equal(await verify('VPNBq7TMIy0Aw', 'pässw0rd'), true);
  });
});

describe('MD4 and MD5 blocks', () => {
  it('MD4 gives the digests of RFC 1320', () => {
    assert.equal(md4(Buffer.from('')).toString('hex'), '31d6cfe0d16ae931b73c59d7e0c089c0');
    assert.equal(md4(Buffer.from('message digest')).toString('hex'), 'd9130a8164549fe818874806e1c7014b');
  });
  it('MD5 and HMAC-MD5 from states agree with the library', () => {
    const md5 = (raw: Buffer): Buffer => createHash('md5').update(raw).digest();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.uint8Array({ maxLength: 200 }), (key, message) => {
        assert.deepEqual(md5Finish(initialDigestState, Buffer.from(message), 0), md5(Buffer.from(message)));
        const states = hmacMd5KeyStates(Buffer.from(key), md5);
        assert.deepEqual(hmacMd5FromStates(states, Buffer.from(message)), createHmac('md5', key).update(message).digest());
      }),
    );
  });
});

describe('slow schemes', () => {
  it('do not hold up the event loop', async () => {
    const stored = await hashPassword('SHA512-CRYPT', 'secret', 200_000);
    let turns = 0;
    let isDone = false;
    const count = (): void => {
      turns += 1;
      if (!isDone) setImmediate(count);
    };
    setImmediate(count);
    await verify(stored, 'secret');
    isDone = true;
    assert.ok(turns > 3, `${turns} turns of the event loop`);
  });
  it('are known as such', () => {
    assert.deepEqual(listSchemes().filter(isExpensiveScheme), [
      'ARGON2I',
      'ARGON2ID',
      'BLF-CRYPT',
      'CRYPT',
      'PBKDF2',
      'SCRAM-SHA-1',
      'SCRAM-SHA-256',
      'SHA256-CRYPT',
      'SHA512-CRYPT',
    ]);
  });
});
