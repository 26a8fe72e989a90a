import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { spawn } from 'node-pty';
import { parseStoredPassword, verifyPassword } from '#auth/password-scheme.js';
import { runAdmin } from '../support/running-roost.js';
import { admin } from './captured.js';

const program = fileURLToPath(new URL('../../dist/bin/roostadm.cjs', import.meta.url));
const isRight = (stored: string, password: string): Promise<boolean> => verifyPassword(parseStoredPassword(stored, ''), password);

/** Types at a terminal: each answer when its prompt has come. @returns everything the terminal showed, and the exit code */
function typeAt(
  args: readonly string[],
  answers: readonly (readonly [prompt: string, typed: string])[],
): Promise<{ screen: string; code: number }> {
  const { NODE_EXTRA_CA_CERTS: _, NODE_OPTIONS: _options, NODE_TEST_CONTEXT: _test, ...env } = process.env;
  const terminal = spawn(process.execPath, [program, ...args], { cols: 200, rows: 50, env });
  let screen = '';
  let next = 0;
  let seen = 0;
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      terminal.kill('SIGKILL');
      reject(new Error(`still running, the screen shows ${JSON.stringify(screen)}`));
    }, 15_000);
    terminal.onData((text) => {
      screen += text;
      const answer = answers[next];
      const at = answer === undefined ? -1 : screen.indexOf(answer[0], seen);
      if (answer === undefined || at < 0) return;
      seen = at + answer[0].length;
      next += 1;
      terminal.write(answer[1]);
    });
    terminal.onExit(({ exitCode }) => {
      clearTimeout(timer);
      resolve({ screen, code: exitCode });
    });
  });
}

const first = 'Enter new password: ';
const second = 'Retype new password: ';

describe('roostadm pw at a terminal', () => {
  it('asks twice, without echo', async () => {
    const { screen, code } = await typeAt(
      ['pw', '-s', 'SSHA256'],
      [
        [first, 'pässword\r'],
        [second, 'pässword\r'],
      ],
    );
    assert.equal(code, 0);
    const [, hash = ''] = new RegExp(`^${first}\\r\\n${second}\\r\\n(\\{SSHA256\\}\\S+)\\r\\n$`).exec(screen) ?? [];
    assert.ok(await isRight(hash, 'pässword'), screen);
  });

  it('knows the erase keys', async () => {
    const { screen, code } = await typeAt(
      ['pw', '-s', 'SSHA256'],
      [
        [first, 'wrong\u0015secreä\u007ft\r'],
        [second, 'secrett\b\r'],
      ],
    );
    assert.equal(code, 0);
    assert.ok(await isRight(/\{SSHA256\}\S+/.exec(screen)?.[0] ?? '', 'secret'), screen);
  });

  it('takes what was typed ahead for the second answer', async () => {
    const { screen, code } = await typeAt(['pw', '-s', 'PLAIN'], [[first, 'one\rone\r']]);
    assert.deepEqual([code, screen.endsWith('{PLAIN}one\r\n')], [0, true]);
  });

  it('refuses two that differ', async () => {
    const { screen, code } = await typeAt(
      ['pw'],
      [
        [first, 'one\r'],
        [second, 'two\r'],
      ],
    );
    assert.deepEqual([code, screen], [65, `${first}\r\n${second}\r\nroostadm: Error: Passwords don't match!\r\n`]);
  });

  for (const [name, key] of [
    ['Ctrl-C', '\u0003'],
    ['Ctrl-D', '\u0004'],
  ] as const) {
    it(`gives up at ${name}`, async () => {
      const { screen, code } = await typeAt(['pw'], [[first, key]]);
      assert.deepEqual([code, screen], [65, `${first}\r\nroostadm: Fatal: No password given\r\n`]);
    });
  }

  it('asks once to check a hash', async () => {
    const hash = '{SHA256}LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=';
    const { screen, code } = await typeAt(['pw', '-t', hash], [['Enter password to verify: ', 'x\r']]);
    assert.deepEqual([code, screen], [0, `Enter password to verify: \r\n${hash} (verified)\r\n`]);
  });
});

describe('roostadm pw without a terminal', () => {
  for (const [input, password] of [
    ['secret', 'secret'],
    ['secret\n', 'secret'],
    ['secret\r\nsecret\r\n', 'secret'],
    [' a b ', ' a b '],
  ] as const) {
    it(`reads ${JSON.stringify(input)} from the pipe`, async () => {
      assert.deepEqual(await runAdmin(['pw', '-s', 'PLAIN'], input), { code: 0, stdout: `{PLAIN}${password}\n`, stderr: '' });
    });
  }

  it('refuses no password, and two that differ', async () => {
    assert.deepEqual(await runAdmin(['pw'], ''), { code: 65, stdout: '', stderr: 'roostadm: Fatal: No password given\n' });
    assert.deepEqual(await runAdmin(['pw'], 'a\nb\n'), { code: 65, stdout: '', stderr: "roostadm: Error: Passwords don't match!\n" });
  });

  it('makes hashes that check out, in every scheme', async () => {
    const { stdout } = await admin('pw', '-l');
    const schemes = stdout.trimEnd().split(' ');
    assert.ok(schemes.length > 20);
    for (const scheme of schemes) {
      // One bcrypt, one Argon2 and the quick ones are enough of waiting.
      const rounds =
        { 'BLF-CRYPT': ['-r', '4'], CRYPT: ['-r', '4'], 'SHA512-CRYPT': ['-r', '1000'], 'SHA256-CRYPT': ['-r', '1000'] }[scheme] ?? [];
      const made = await admin('pw', '-s', scheme, '-p', 'secret', '-u', 'alice', '-V', ...rounds);
      assert.equal(made.code, 0, `${scheme}: ${made.stderr}`);
      assert.match(made.stdout, new RegExp(`^\\{${scheme}\\}\\S+ \\(verified\\)\\n$`));
    }
  });

  const mistakes: readonly (readonly [readonly string[], number, RegExp])[] = [
    [['-s', 'NOPE'], 64, /^roostadm: Fatal: Unknown scheme: NOPE\n$/],
    [['-s', 'BLF-CRYPT', '-r', '99', '-p', 'x'], 64, /^roostadm: Fatal: BLF-CRYPT/],
    [['-r', 'x', '-p', 'x'], 64, /^roostadm: Fatal: Invalid number of rounds: x\n$/],
    [['-s', 'DIGEST-MD5', '-p', 'x'], 64, /^roostadm: Fatal: DIGEST-MD5: username must be given \(-u\)\n$/],
    [['-p', 'x', '-t', '{SHA256}abc'], 65, /^roostadm: Fatal: reverse decode check failed: /],
    [['-p', 'y', '-t', '{PLAIN}x'], 65, /^roostadm: Fatal: reverse password verification check failed: Password mismatch\n$/],
    [['-p', 'y', '-t', '{NOPE}x'], 65, /^roostadm: Fatal: reverse decode check failed: Unknown password scheme NOPE\n$/],
  ];
  for (const [args, code, text] of mistakes) {
    it(`refuses ${args.join(' ')}`, async () => {
      const result = await admin('pw', ...args);
      assert.deepEqual([result.code, result.stdout], [code, '']);
      assert.match(result.stderr, text);
    });
  }

  it('has types in JSON', async () => {
    assert.deepEqual(JSON.parse((await admin('pw', '--json', '-s', 'PLAIN', '-p', 'x', '-V')).stdout), [
      { hash: '{PLAIN}x', verified: true },
    ]);
  });
});
