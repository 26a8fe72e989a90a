import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ImapPreAuth } from '#pre-auth/imap.js';
import { maxImapLineBytes, maxImapLiteralBytes } from '#pre-auth/imap-input.js';
import type { PreAuthOffer } from '#pre-auth/machine.js';
import { referralOf } from '#pre-auth/referral.js';
import { everySplit, openOffer, runMachine } from './machine-fixture.js';

function machine(offer: Partial<PreAuthOffer> = {}): ImapPreAuth {
  const made = new ImapPreAuth();
  made.offer({ ...openOffer, ...offer });
  return made;
}
const run = (text: string, offer: Partial<PreAuthOffer> = {}): string[] => runMachine(machine(offer), [text]);
const bad = 'BAD Error in IMAP command received by server.\r\n';

describe('IMAP before login', () => {
  it('greets with its capabilities', () => {
    assert.equal(
      machine().greeting(),
      '* OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ STARTTLS AUTH=PLAIN AUTH=SCRAM-SHA-256] Roost ready.\r\n',
    );
  });

  it('hides plaintext mechanisms and says LOGINDISABLED where passwords would be in the clear', () => {
    assert.equal(
      machine({ allowsPlaintext: false }).greeting(),
      '* OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ STARTTLS LOGINDISABLED AUTH=SCRAM-SHA-256] Roost ready.\r\n',
    );
    assert.equal(
      machine({ allowsPlaintext: false, requiresTls: true }).greeting(),
      '* OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ STARTTLS LOGINDISABLED] Roost ready.\r\n',
    );
  });

  for (const [input, expected] of [
    ['a NOOP\r\n', ['a OK NOOP completed.\r\n']],
    ['a noop\n', ['a OK NOOP completed.\r\n']],
    [
      'a CAPABILITY\r\n',
      [
        '* CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ STARTTLS AUTH=PLAIN AUTH=SCRAM-SHA-256\r\na OK Pre-login capabilities listed, post-login capabilities have more.\r\n',
      ],
    ],
    ['a LOGOUT\r\n', ['* BYE Logging out\r\na OK Logout completed.\r\n']],
    ['a ID NIL\r\n', ['* ID ("name" "Roost")\r\na OK ID completed.\r\n']],
    ['a ID ("name" "x" "version" NIL)\r\n', ['* ID ("name" "Roost")\r\na OK ID completed.\r\n']],
    ['a LOGIN bob secret\r\n', ['auth PLAIN "\\u0000bob\\u0000secret"']],
    ['a LOGIN "bob" "se\\"cr\\\\et"\r\n', ['auth PLAIN "\\u0000bob\\u0000se\\"cr\\\\et"']],
    ['a LOGIN {3}\r\nbob {6}\r\nsecret\r\n', ['+ OK\r\n', '+ OK\r\n', 'auth PLAIN "\\u0000bob\\u0000secret"']],
    ['a LOGIN {3+}\r\nbob {6+}\r\nse\r\net\r\n', ['auth PLAIN "\\u0000bob\\u0000se\\r\\net"']],
    ['a LOGIN bob ""\r\n', ['auth PLAIN "\\u0000bob\\u0000"']],
    ['a AUTHENTICATE PLAIN\r\nAGJvYgBzZWNyZXQ=\r\n', ['auth PLAIN -', 'response "\\u0000bob\\u0000secret"']],
    ['a AUTHENTICATE plain AGJvYgBzZWNyZXQ=\r\n', ['auth PLAIN "\\u0000bob\\u0000secret"']],
    ['a AUTHENTICATE PLAIN =\r\n', ['auth PLAIN ""']],
    [
      'a AUTHENTICATE PLAIN\r\n*\r\na NOOP\r\n',
      ['auth PLAIN -', 'a BAD Authentication aborted by client.\r\n', 'a OK NOOP completed.\r\n'],
    ],
    ['a AUTHENTICATE PLAIN\r\n!\r\n', ['auth PLAIN -', 'a BAD Invalid base64 data in continued response\r\n']],
    ['a AUTHENTICATE NTLM\r\n', ['a NO [ALERT] Unsupported authentication mechanism.\r\n']],
    ['a STARTTLS\r\n', ['a OK Begin TLS negotiation now.\r\n']],
    ['a SELECT INBOX\r\n', [`a ${bad}`]],
    ['a LOGIN bob\r\n', [`a ${bad}`]],
    ['a LOGIN bob pass more\r\n', [`a ${bad}`]],
    ['a LOGIN bob (x)\r\n', [`a ${bad}`]],
    ['a LOGIN "bob pass\r\n', [`a ${bad}`]],
    ['a NOOP x\r\n', [`a ${bad}`]],
    ['\r\n', [`* ${bad}`]],
    ['a\r\n', [`a ${bad}`]],
    ['{5}\r\nabc', ['+ OK\r\n']],
  ] as const) {
    it(`answers ${JSON.stringify(input)}`, () => assert.deepEqual(run(input), expected));
  }

  it('says PRIVACYREQUIRED, with an alert, to a password in the clear', () => {
    const [text = ''] = run('a LOGIN bob secret\r\n', { allowsPlaintext: false });
    assert.match(text, /^\* BAD \[ALERT\] Plaintext authentication not allowed without SSL\/TLS, but your client did it anyway\./);
    assert.match(text, /\r\na NO \[PRIVACYREQUIRED\] Plaintext authentication disallowed on non-secure \(SSL\/TLS\) connections\.\r\n$/);
    const [required = ''] = run('a AUTHENTICATE SCRAM-SHA-256\r\n', { requiresTls: true, allowsPlaintext: false });
    assert.equal(required, 'a NO [PRIVACYREQUIRED] Authentication not allowed until SSL/TLS is enabled.\r\n');
  });

  it('refuses STARTTLS where there is none, and twice', () => {
    assert.deepEqual(run('a STARTTLS\r\n', { offersTls: false }), ["a BAD TLS support isn't enabled.\r\n"]);
    assert.deepEqual(run('a STARTTLS\r\n', { offersTls: false, isTls: true }), ['a BAD TLS is already active.\r\n']);
  });

  it('ends after three bad commands', () => {
    assert.deepEqual(run('a X\r\nb Y\r\nc Z\r\nd NOOP\r\n'), [`a ${bad}`, `b ${bad}`, `c ${bad}* BYE Too many invalid IMAP commands.\r\n`]);
  });

  it('announces LITERAL- where the mail process wants it so', () => {
    assert.match(machine({ isLiteralMinus: true }).greeting(), / IDLE LITERAL- /);
  });

  it('leaves what follows the login for the mail process', () => {
    const made = machine();
    made.push(Buffer.from('a CAPABILITY\r\nb LOGIN bob secret\r\nc SELECT INBOX\r\n'));
    assert.equal(made.next().kind, 'reply');
    assert.equal(made.next().kind, 'auth');
    assert.equal(made.takeRest().toString(), 'c SELECT INBOX\r\n');
    assert.deepEqual(made.handoffFields(), { tag: 'b', capability: 'asked' });
  });

  it('keeps the client ID for the mail process', () => {
    const made = machine();
    runMachine(made, ['a ID ("Name" "Mail" "version" "1")\r\nb LOGIN x y\r\n']);
    assert.deepEqual(made.handoffFields(), { tag: 'b', capability: '', id: '{"name":"Mail","version":"1"}' });
  });

  it('keeps ID fields for the authentication where that is wanted', () => {
    for (const [retainsId, expected] of [
      [true, '"name" "M\\"x" "version" "1"'],
      [false, undefined],
    ] as const) {
      const made = machine({ retainsId });
      assert.equal(made.retainedId, undefined);
      runMachine(made, ['a ID ("Name" "M\\"x" "version" "1")\r\n']);
      assert.equal(made.retainedId, expected);
    }
  });

  it('refers a user to another server', () => {
    const made = machine();
    runMachine(made, ['a LOGIN bob x\r\n']);
    const referral = referralOf('imap', 'bob', { nologin: '', host: 'two.example.test', port: '1143' });
    assert.equal(
      made.authFailed('login_disabled', 'Try there', 'here', referral),
      'a NO [REFERRAL imap://bob;AUTH=*@two.example.test:1143/] Try there\r\n',
    );
  });

  for (const [fields, expected] of [
    [{ host: 'h' }, 'imap://b%40x;AUTH=*@h/'],
    [{ host: 'h', port: '143' }, 'imap://b%40x;AUTH=*@h/'],
    [{ host: '::1', port: '99' }, undefined],
    [{ host: 'h]\r\nb OK' }, undefined],
    [{ port: '1' }, undefined],
  ] as const) {
    it(`makes ${expected} of ${JSON.stringify(fields)}`, () => assert.equal(referralOf('imap', 'b@x', fields), expected));
  }

  for (const [code, reason, expected] of [
    ['mismatch', undefined, 'a NO [AUTHENTICATIONFAILED] Authentication failed.\r\n'],
    ['temp_fail', undefined, 'a NO [UNAVAILABLE] Temporary authentication failure. [here]\r\n'],
    ['authz_fail', undefined, 'a NO [AUTHORIZATIONFAILED] Authorization failed\r\n'],
    ['user_disabled', undefined, 'a NO [CONTACTADMIN] Login disabled for this user\r\n'],
    ['login_disabled', 'Moved', 'a NO [CONTACTADMIN] Moved\r\n'],
    ['pass_expired', undefined, 'a NO [EXPIRED] Password expired\r\n'],
    ['invalid_base64', undefined, 'a BAD Invalid base64 data in continued response\r\n'],
    ['auth_mech_invalid', undefined, 'a NO [ALERT] Unsupported authentication mechanism.\r\n'],
    ['auth_mech_ssl_required', undefined, 'a NO [PRIVACYREQUIRED] Authentication not allowed until SSL/TLS is enabled.\r\n'],
    ['anonymous_denied', undefined, 'a NO [AUTHENTICATIONFAILED] Authentication failed.\r\n'],
    ['aborted', undefined, 'a BAD Authentication aborted by client.\r\n'],
    ['mismatch', 'two\r\nlines', 'a NO [AUTHENTICATIONFAILED] two lines\r\n'],
  ] as const) {
    it(`turns ${code} with reason ${JSON.stringify(reason)} into one reply`, () => {
      const made = machine();
      runMachine(made, ['a LOGIN bob x\r\n']);
      assert.equal(made.authFailed(code, reason, 'here'), expected);
    });
  }
});

describe('IMAP input before login', () => {
  const script = 'a ID ("x" "y")\r\nb LOGIN {3}\r\nbob {6+}\r\nsec"et\r\nc AUTHENTICATE PLAIN\r\nAGJvYg==\r\n';
  const whole = runMachine(machine(), [script]);
  it('is the same at every split', () => {
    for (const chunks of everySplit(script)) assert.deepEqual(runMachine(machine(), chunks), whole, JSON.stringify(chunks));
  });

  it('takes a line at the limit and refuses one octet more, at every split around it', () => {
    const line = (length: number): string => `a ${'x'.repeat(length - 2)}`;
    assert.deepEqual(run(`${line(maxImapLineBytes)}\r\nb NOOP\r\n`), [`a ${bad}`, 'b OK NOOP completed.\r\n']);
    assert.deepEqual(run(`${line(maxImapLineBytes + 1)}\r\nb NOOP\r\n`), [`* ${bad}`, 'b OK NOOP completed.\r\n']);
    for (const length of [maxImapLineBytes, maxImapLineBytes + 1]) {
      const text = `${line(length)}\r\nb NOOP\r\n`;
      for (let at = length - 2; at <= length + 3; at += 1)
        assert.deepEqual(runMachine(machine(), [text.slice(0, at), text.slice(at)]), run(text));
    }
    assert.deepEqual(runMachine(machine(), [line(maxImapLineBytes + 1), 'xx', '\r\nb NOOP\r\n']), [`* ${bad}`, 'b OK NOOP completed.\r\n']);
  });

  it('ends when an over-long line goes on', () => {
    const seen = runMachine(machine(), Array<string>(20).fill('x'.repeat(8000)));
    assert.deepEqual(seen, ['* BYE Input is too long.\r\n']);
  });

  it('takes a literal at the limit and refuses a larger one before any octet of it', () => {
    const text = 'p'.repeat(maxImapLiteralBytes);
    assert.deepEqual(run(`a LOGIN bob {${maxImapLiteralBytes}}\r\n${text}\r\n`), ['+ OK\r\n', `auth PLAIN "\\u0000bob\\u0000${text}"`]);
    assert.deepEqual(run(`a LOGIN bob {${maxImapLiteralBytes + 1}}\r\nb NOOP\r\n`), [
      'a BAD Literal is too long.\r\n',
      'b OK NOOP completed.\r\n',
    ]);
    assert.deepEqual(run(`a LOGIN bob {${maxImapLiteralBytes + 1}+}\r\n`), ['* BYE Input is too long.\r\n']);
  });

  it('limits all literals of a command together', () => {
    const four = `{4096+}\r\n${'x'.repeat(4096)} `.repeat(4);
    assert.deepEqual(run(`a LOGIN ${four}\r\n`), ['* BYE Input is too long.\r\n']);
  });

  it('limits the response of a SASL exchange', () => {
    const made = machine();
    assert.deepEqual(runMachine(made, [`a AUTHENTICATE PLAIN\r\n${'A'.repeat(maxImapLineBytes + 2)}`]), [
      'auth PLAIN -',
      '* BYE Input is too long.\r\n',
    ]);
  });

  it('survives anything, and never writes a line that the client could have broken', () => {
    const piece = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 20 }),
      fc.constantFrom(
        'a LOGIN ',
        '{3}\r\n',
        '{3+}\r\n',
        '"',
        '\\',
        '(',
        ')',
        ' ',
        '\r\n',
        '\n',
        'a ID (',
        'NIL',
        'a AUTHENTICATE PLAIN',
        '*',
        '\0',
      ),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
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
