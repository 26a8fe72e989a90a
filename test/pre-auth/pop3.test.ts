import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { PreAuthOffer } from '#pre-auth/machine.js';
import { maxPop3LineBytes, Pop3PreAuth } from '#pre-auth/pop3.js';
import { everySplit, openOffer, runMachine } from './machine-fixture.js';

function machine(offer: Partial<PreAuthOffer> = {}): Pop3PreAuth {
  const made = new Pop3PreAuth();
  made.offer({ ...openOffer, ...offer });
  return made;
}
const run = (text: string, offer: Partial<PreAuthOffer> = {}): string[] => runMachine(machine(offer), [text]);

describe('POP3 before login', () => {
  for (const [input, expected] of [
    [
      'CAPA\r\n',
      ['+OK\r\nCAPA\r\nTOP\r\nUIDL\r\nRESP-CODES\r\nPIPELINING\r\nAUTH-RESP-CODE\r\nSTLS\r\nUSER\r\nSASL PLAIN SCRAM-SHA-256\r\n.\r\n'],
    ],
    ['USER bob\r\nPASS secret\r\n', ['+OK\r\n', 'auth PLAIN "\\u0000bob\\u0000secret"']],
    ['user bob\npass  two words \n', ['+OK\r\n', 'auth PLAIN "\\u0000bob\\u0000 two words "']],
    ['PASS secret\r\n', ['-ERR No username given.\r\n']],
    ['USER\r\n', ['-ERR No username given.\r\n']],
    ['AUTH\r\n', ['+OK\r\nPLAIN\r\nSCRAM-SHA-256\r\n.\r\n']],
    ['AUTH PLAIN\r\nAGJvYgBzZWNyZXQ=\r\n', ['auth PLAIN -', 'response "\\u0000bob\\u0000secret"']],
    ['AUTH PLAIN AGJvYgBzZWNyZXQ=\r\n', ['auth PLAIN "\\u0000bob\\u0000secret"']],
    ['AUTH PLAIN =\r\n', ['auth PLAIN ""']],
    ['AUTH PLAIN\r\n*\r\n', ['auth PLAIN -', '-ERR Authentication aborted by client.\r\n']],
    ['AUTH NTLM\r\n', ['-ERR [AUTH] Unsupported authentication mechanism.\r\n']],
    ['STLS\r\n', ['+OK Begin TLS negotiation now.\r\n']],
    ['QUIT\r\n', ['+OK Logging out\r\n']],
    ['LIST\r\n', ['-ERR Unknown command.\r\n']],
    [
      'X\r\nY\r\nZ\r\nQUIT\r\n',
      ['-ERR Unknown command.\r\n', '-ERR Unknown command.\r\n', '-ERR Unknown command.\r\n-ERR Too many invalid bad commands.\r\n'],
    ],
  ] as const) {
    it(`answers ${JSON.stringify(input)}`, () => assert.deepEqual(run(input), expected));
  }

  it('hides USER and plaintext mechanisms where passwords would be in the clear, and refuses them', () => {
    const [capa = ''] = run('CAPA\r\n', { allowsPlaintext: false });
    assert.match(capa, /\r\nSTLS\r\nSASL SCRAM-SHA-256\r\n\.\r\n$/);
    assert.deepEqual(run('USER bob\r\n', { allowsPlaintext: false }), [
      '-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.\r\n',
    ]);
    assert.deepEqual(run('AUTH SCRAM-SHA-256\r\n', { requiresTls: true }), [
      '-ERR [AUTH] Authentication not allowed until SSL/TLS is enabled.\r\n',
    ]);
  });

  for (const [code, expected] of [
    ['mismatch', '-ERR [AUTH] Authentication failed.\r\n'],
    ['temp_fail', '-ERR [SYS/TEMP] Temporary authentication failure. [here]\r\n'],
    ['authz_fail', '-ERR [AUTH] Authorization failed\r\n'],
    ['user_disabled', '-ERR [SYS/PERM] Login disabled for this user\r\n'],
    ['login_disabled', '-ERR [SYS/PERM] Login disabled for this user\r\n'],
    ['pass_expired', '-ERR [AUTH] Password expired\r\n'],
    ['invalid_base64', '-ERR Invalid base64 data in continued response\r\n'],
    ['auth_mech_invalid', '-ERR Unsupported authentication mechanism.\r\n'],
    ['auth_mech_ssl_required', '-ERR [AUTH] Authentication not allowed until SSL/TLS is enabled.\r\n'],
    ['anonymous_denied', '-ERR [AUTH] Authentication failed.\r\n'],
    ['aborted', '-ERR Authentication aborted by client.\r\n'],
  ] as const) {
    it(`turns ${code} into one reply`, () => assert.equal(machine().authFailed(code, undefined, 'here'), expected));
  }

  it('forgets the user name after a failed password and after STLS', () => {
    const made = machine();
    runMachine(made, ['USER bob\r\nPASS x\r\n']);
    made.authFailed('mismatch', undefined, '');
    assert.deepEqual(runMachine(made, ['PASS y\r\n']), ['-ERR No username given.\r\n']);
    const upgraded = machine();
    runMachine(upgraded, ['USER bob\r\n']);
    upgraded.offer({ ...openOffer, isTls: true, offersTls: false });
    assert.deepEqual(runMachine(upgraded, ['PASS y\r\n']), ['-ERR No username given.\r\n']);
  });

  it('is the same at every split', () => {
    const script = 'CAPA\r\nUSER bob\r\nPASS a b\r\nAUTH PLAIN\r\nAGJvYg==\r\n';
    const whole = runMachine(machine(), [script]);
    for (const chunks of everySplit(script)) assert.deepEqual(runMachine(machine(), chunks), whole, JSON.stringify(chunks));
  });

  it('takes a line at the limit and ends at one octet more', () => {
    const pass = (length: number): string => `PASS ${'x'.repeat(length - 5)}`;
    assert.deepEqual(run(`${pass(maxPop3LineBytes)}\r\n`), ['-ERR No username given.\r\n']);
    assert.deepEqual(run(`${pass(maxPop3LineBytes + 1)}\r\n`), ['-ERR Input line is too long.\r\n']);
    assert.deepEqual(run('x'.repeat(maxPop3LineBytes + 2)), ['-ERR Input line is too long.\r\n']);
  });

  it('survives anything', () => {
    const piece = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 20 }),
      fc.constantFrom('USER ', 'PASS ', 'AUTH PLAIN', '\r\n', '\n', '*', '\0', '='),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
        const text = pieces.join('');
        const one = runMachine(machine(), [text]);
        assert.deepEqual(
          runMachine(
            machine(),
            [...Buffer.from(text)].map((octet) => Buffer.from([octet])),
          ),
          one,
        );
        for (const step of one) if (!step.startsWith('auth ') && !step.startsWith('response ')) assert.match(step, /^(?:[^\r\n\0]*\r\n)+$/);
      }),
      { numRuns: 300 },
    );
  });
});
