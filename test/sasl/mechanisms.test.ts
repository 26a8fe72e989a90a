import assert from 'node:assert/strict';
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { CredentialForm, SaslBackend, SaslCredentials, SaslIdentity, SaslStep } from '#sasl/mechanism.js';
import { findMechanism, mechanismNames } from '#sasl/mechanisms.js';

const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64');

/** Knows bob with the password pencil. */
class Backend implements SaslBackend {
  certificateUser = '';
  readonly asked: SaslIdentity[] = [];
  async verifyPassword(identity: SaslIdentity, password: string): Promise<boolean> {
    this.asked.push(identity);
    return identity.authenticationId === 'bob' && password === 'pencil';
  }
  async acceptWithoutPassword(identity: SaslIdentity): Promise<boolean> {
    this.asked.push(identity);
    return identity.authenticationId === 'bob';
  }
  async verifyCredentials(
    identity: SaslIdentity,
    form: CredentialForm,
    check: (credentials: SaslCredentials) => boolean,
  ): Promise<boolean> {
    this.asked.push(identity);
    if (identity.authenticationId !== 'bob') return false;
    if (form === 'cram-md5') return check({ kind: 'plain', password: 'pencil' });
    return check(scramKeys(form === 'scram-sha1' ? 'sha1' : 'sha256'));
  }
}

function scramKeys(hash: 'sha1' | 'sha256'): Extract<SaslCredentials, { kind: 'scram' }> {
  const salted = pbkdf2Sync('pencil', salt, 4096, hash === 'sha1' ? 20 : 32, hash);
  const clientKey = createHmac(hash, salted).update('Client Key').digest();
  return {
    kind: 'scram',
    hash,
    iterations: 4096,
    salt,
    storedKey: createHash(hash).update(clientKey).digest(),
    serverKey: createHmac(hash, salted).update('Server Key').digest(),
  };
}

/** Runs the responses; 'initial' says whether the first one is an initial response. */
async function run(name: string, responses: readonly (string | Buffer)[], backend = new Backend(), initial = true): Promise<string[]> {
  const server = findMechanism(name)?.start(backend);
  assert.ok(server);
  const seen: string[] = [];
  const note = (step: SaslStep): boolean => {
    seen.push(step.kind === 'challenge' ? `+ ${step.octets}` : step.kind === 'malformed' ? step.reason : step.kind);
    return step.kind === 'challenge';
  };
  if (!initial && !note(await server.step(undefined))) return seen;
  for (const response of responses) if (!note(await server.step(Buffer.from(response)))) break;
  return seen;
}

describe('SASL PLAIN', () => {
  for (const [response, expected] of [
    ['\0bob\0pencil', ['success']],
    ['\0bob\0wrong', ['failure']],
    ['ann\0bob\0pencil', ['success']],
    ['bob\0pencil', ['PLAIN response needs two NULs']],
    ['\0bob\0pen\0cil', ['PLAIN response needs two NULs']],
    ['\0\0pencil', ['PLAIN response has no user name']],
    ['', ['PLAIN response needs two NULs']],
    ['\0bob\0pen\tcil', ['Attempted login with password having illegal chars']],
  ] as const) {
    it(`${JSON.stringify(response)}: ${expected.join()}`, async () => assert.deepEqual(await run('plain', [response]), expected));
  }
  it('asks with an empty challenge when there is no initial response', async () => {
    assert.deepEqual(await run('PLAIN', ['\0bob\0pencil'], new Backend(), false), ['+ ', 'success']);
  });
  it('refuses what is not UTF-8', async () => {
    assert.deepEqual(await run('PLAIN', [Buffer.from([0, 0xff, 0, 0xfe])]), ['PLAIN response is not UTF-8']);
  });
});

describe('SASL LOGIN', () => {
  it('asks for user and password', async () => {
    assert.deepEqual(await run('LOGIN', ['bob', 'pencil'], new Backend(), false), ['+ Username:', '+ Password:', 'success']);
  });
  it('takes the user as initial response', async () => {
    assert.deepEqual(await run('LOGIN', ['bob', 'wrong']), ['+ Password:', 'failure']);
  });
});

describe('SASL CRAM-MD5', () => {
  it('verifies the digest of its own challenge only', async () => {
    const server = findMechanism('CRAM-MD5')?.start(new Backend());
    const first = await server?.step(undefined);
    assert.equal(first?.kind, 'challenge');
    if (first?.kind !== 'challenge') return;
    const digest = createHmac('md5', 'pencil').update(first.octets).digest('hex');
    assert.deepEqual(await server?.step(Buffer.from(`bob ${digest}`)), { kind: 'success', finalData: undefined });
    const other = findMechanism('CRAM-MD5')?.start(new Backend());
    await other?.step(undefined);
    assert.deepEqual(await other?.step(Buffer.from(`bob ${digest}`)), { kind: 'failure' });
  });
});

describe('SASL EXTERNAL', () => {
  it('takes the name of the certificate, and another one as authorization id', async () => {
    const backend = new Backend();
    backend.certificateUser = 'bob';
    assert.deepEqual(await run('EXTERNAL', [''], backend), ['success']);
    assert.deepEqual(await run('EXTERNAL', ['ann'], backend), ['success']);
    assert.deepEqual(backend.asked, [
      { authenticationId: 'bob', authorizationId: '' },
      { authenticationId: 'bob', authorizationId: 'ann' },
    ]);
  });
  it('fails without a certificate', async () => assert.deepEqual(await run('EXTERNAL', ['bob']), ['failure']));
});

describe('SASL SCRAM', () => {
  /** A client by the book (RFC 5802 section 3); gives the server's last step. */
  async function exchange(
    hash: 'sha1' | 'sha256',
    password: string,
    changes: { readonly header?: string; readonly nonce?: string } = {},
  ): Promise<string> {
    const header = changes.header ?? 'n,,';
    const server = findMechanism(`SCRAM-${hash === 'sha1' ? 'SHA-1' : 'SHA-256'}`)?.start(new Backend());
    const bare = 'n=bob,r=rOprNGfwEbeRWgbNEkqO';
    const first = await server?.step(Buffer.from(`${header}${bare}`));
    if (first?.kind !== 'challenge') return first?.kind === 'malformed' ? first.reason : String(first?.kind);
    const serverFirst = first.octets.toString();
    const [, nonce = '', rawSalt = '', count = ''] = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(serverFirst) ?? [];
    assert.ok(nonce.startsWith('rOprNGfwEbeRWgbNEkqO') && nonce.length > 40);
    const salted = pbkdf2Sync(password, Buffer.from(rawSalt, 'base64'), Number(count), hash === 'sha1' ? 20 : 32, hash);
    const clientKey = createHmac(hash, salted).update('Client Key').digest();
    const storedKey = createHash(hash).update(clientKey).digest();
    const withoutProof = `c=${Buffer.from(header).toString('base64')},r=${changes.nonce ?? nonce}`;
    const authMessage = `${bare},${serverFirst},${withoutProof}`;
    const signature = createHmac(hash, storedKey).update(authMessage).digest();
    const proof = Buffer.from(clientKey.map((octet, index) => octet ^ (signature[index] ?? 0)));
    const last = await server?.step(Buffer.from(`${withoutProof},p=${proof.toString('base64')}`));
    if (last?.kind === 'malformed') return last.reason;
    if (last?.kind !== 'success') return String(last?.kind);
    const serverSignature = createHmac(hash, createHmac(hash, salted).update('Server Key').digest()).update(authMessage).digest('base64');
    assert.equal(last.finalData?.toString(), `v=${serverSignature}`);
    return 'success';
  }

  for (const hash of ['sha1', 'sha256'] as const) {
    it(`${hash}: right and wrong password`, async () => {
      assert.equal(await exchange(hash, 'pencil'), 'success');
      assert.equal(await exchange(hash, 'pen'), 'failure');
    });
  }
  it('refuses another nonce, channel binding, and a changed header', async () => {
    assert.equal(await exchange('sha256', 'pencil', { nonce: 'rOprNGfwEbeRWgbNEkqOx' }), 'SCRAM: nonce differs');
    assert.equal(await exchange('sha256', 'pencil', { header: 'p=tls-unique,,' }), 'SCRAM: channel binding is not supported');
    assert.equal(await exchange('sha256', 'pencil', { header: 'y,,' }), 'success');
    const server = findMechanism('SCRAM-SHA-256')?.start(new Backend());
    await server?.step(Buffer.from('n,,n=bob,r=abc'));
    assert.deepEqual(await server?.step(Buffer.from('c=eSws,r=abc,p=AAAA')), {
      kind: 'malformed',
      reason: 'SCRAM: channel binding data differs',
    });
  });
  it('decodes =2C and =3D in names', async () => {
    const backend = new Backend();
    await run('SCRAM-SHA-256', ['n,a=x=3Dy,n=a=2Cb,r=abc'], backend);
    assert.deepEqual(backend.asked, [{ authenticationId: 'a,b', authorizationId: 'x=y' }]);
    assert.deepEqual(await run('SCRAM-SHA-256', ['n,,n=a=2,r=abc']), ['SCRAM: invalid first message']);
  });
  it('fails for unknown users', async () => assert.deepEqual(await run('SCRAM-SHA-256', ['n,,n=eve,r=abc']), ['failure']));
});

describe('every SASL mechanism', () => {
  for (const name of mechanismNames) {
    it(`${name} never accepts and never throws on random octets`, async () => {
      const octets = fc.oneof(
        fc.uint8Array({ maxLength: 60 }),
        fc.string({ maxLength: 60 }).map((text) => new TextEncoder().encode(text)),
      );
      await fc.assert(
        fc.asyncProperty(fc.array(octets, { maxLength: 4 }), fc.boolean(), async (responses, initial) => {
          const seen = await run(
            name,
            responses.map((response) => Buffer.from(response)),
            new Backend(),
            initial,
          );
          assert.ok(!seen.includes('success'));
        }),
        { numRuns: 100 },
      );
    });
  }
});
