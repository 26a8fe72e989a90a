// What .ci/run says last when a step fails. Commands of the steps are replaced by ones that do as the test wants.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';

const gate = fileURLToPath(new URL('../../.ci/run', import.meta.url));

/** Runs the gate with `npm` as given; every other command it could start does nothing. */
function runGate(test: TestContext, npm: string): { code: number | null; output: string } {
  const folder = mkdtempSync(join(tmpdir(), 'roost-gate-'));
  test.after(() => rmSync(folder, { recursive: true, force: true }));
  const commands = join(folder, 'commands');
  for (const path of ['checkout/.ci', 'shared/acceptance', 'commands']) mkdirSync(join(folder, path), { recursive: true });
  cpSync(gate, join(folder, 'checkout/.ci/run'));
  writeFileSync(join(folder, 'shared/acceptance/smoke.sh'), 'exit 0\n');
  for (const name of ['dpkg', 'sudo', 'apt-get']) writeFileSync(join(commands, name), '#!/bin/sh\nexit 0\n', { mode: 0o755 });
  writeFileSync(join(commands, 'npm'), `#!/bin/sh\n${npm}\n`, { mode: 0o755 });
  const { status, stdout } = spawnSync('bash', [join(folder, 'checkout/.ci/run')], {
    env: { ...process.env, PATH: `${commands}:${process.env['PATH']}`, TMPDIR: folder },
    encoding: 'utf8',
  });
  return { code: status, output: stdout };
}

describe('.ci/run', () => {
  it('ends with its last step when all steps do', (test) => {
    const { code, output } = runGate(test, 'exit 0');
    assert.equal(code, 0, output);
    assert.match(output, /==> done \(at \d+ s\)\n$/);
  });

  it('says which step failed and the failed tests, last', (test) => {
    const { code, output } = runGate(test, `[ "$1" = test ] || exit 0; echo 'mail.test.js › a test: what' >"$ROOST_FAILED_TESTS"; exit 3`);
    assert.equal(code, 3);
    assert.match(output, /\n==> step "npm test" failed after \d+ s: npm test \(code 3\)\nfailed tests:\nmail\.test\.js › a test: what\n$/);
  });

  it('names no tests of an earlier step', (test) => {
    const npm = `case "$*" in test) echo 'a test' >"$ROOST_FAILED_TESTS";; *lint) exit 1;; esac`;
    assert.match(runGate(test, npm).output, /\n==> step "types, lint and format" failed after \d+ s: npm run --silent lint \(code 1\)\n$/);
  });

  for (const [what, command] of Object.entries({ check: 'check', lint: 'lint', interop: 'interop', bench: 'bench -- --smoke' })) {
    it(`fails when ${what} does`, (test) => {
      const { code, output } = runGate(test, `[ "$*" = "run --silent ${command}" ] && exit 5; exit 0`);
      assert.equal(code, 5);
      assert.match(output, /\n==> step ".*" failed after \d+ s: .*\n$/);
    });
  }
});
