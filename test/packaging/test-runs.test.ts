// The runner behind `npm test`, over files that go wrong in each way a test file can.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { before, describe, it } from 'node:test';

const runner = new URL('../../packaging/run-tests.mjs', import.meta.url).href;
const imports = "import { before, describe, it } from 'node:test';\nimport assert from 'node:assert/strict';\n";

/** `summary` is what comes after all test files, `failed` the file of failures. */
interface Outcome {
  readonly code: number | null;
  readonly output: string;
  readonly summary: string;
  readonly failed: string;
}

/** Runs the given bodies of test files, by name, and reports on them. */
async function runFiles(files: Readonly<Record<string, string>>, fileTimeoutMs = 600_000): Promise<Outcome> {
  const folder = mkdtempSync(join(tmpdir(), 'roost-runs-'));
  try {
    for (const [name, body] of Object.entries(files)) writeFileSync(join(folder, name), imports + body);
    const { NODE_TEST_CONTEXT: _, NODE_EXTRA_CA_CERTS: _certificates, ...environment } = process.env;
    const script = `import { runTests } from ${JSON.stringify(runner)};
      const options = { concurrency: 2, fileTimeoutMs: ${fileTimeoutMs}, environment: process.env };
      process.exitCode = await runTests(${JSON.stringify(Object.keys(files))}, options);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      cwd: folder,
      env: { ...environment, TMPDIR: folder, ROOST_FAILED_TESTS: join(folder, 'failed') },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [output, code] = await Promise.all([text(child.stdout), new Promise<number | null>((resolve) => child.on('exit', resolve))]);
    const left = readdirSync(folder).filter((name) => name.startsWith('roost-tests-'));
    assert.deepEqual(left, [], 'a folder is left behind');
    return {
      code,
      output,
      summary: output.slice(output.indexOf('\nslowest files:')),
      failed: readFileSync(join(folder, 'failed'), 'utf8'),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

describe('The report of a run where all tests pass', () => {
  let outcome: Outcome;
  before(async () => {
    outcome = await runFiles({
      'a.test.mjs':
        "describe('A', () => { it('passes', () => {}); it('is skipped', { skip: 'no moon' }, () => {}); it('waits', (t) => t.todo()); });",
      'b.test.mjs':
        "console.log('chatter'); it('is skipped too', { skip: 'no moon' }, () => {}); it('todo fails', { todo: true }, () => assert.fail());",
    });
  });

  it('has exit code 0 and no word of the tests themselves', () => {
    assert.equal(outcome.code, 0, outcome.output);
    assert.doesNotMatch(outcome.output, /passes|chatter|FAILED/);
    assert.equal(outcome.failed, '');
  });

  it('counts the skipped tests by reason', () => assert.match(outcome.summary, /^skipped:\n {5}2 no moon$/m));

  it('ends with the counts', () => {
    assert.match(outcome.summary, /\npassed: tests 5, suites 1, pass 1, fail 0, cancelled 0, skipped 2, todo 2; 2 files, \d+ s\n$/);
  });

  it('tells which files took longest', () =>
    assert.match(outcome.summary, /slowest files:\n +[\d.]+ m?s [ab]\.test\.mjs\n +[\d.]+ m?s [ab]\.test\.mjs\n/));
});

describe('The report of a run where tests fail', () => {
  let outcome: Outcome;
  before(async () => {
    outcome = await runFiles({
      'assert.test.mjs': `describe('outer', () => { describe('inner', () => {
          it('passes', () => {});
          it('compares', () => assert.deepEqual({ one: 1, two: 2 }, { one: 1, two: 3 }));
          it('has a cause', () => { throw new Error('above', { cause: new Error('beneath') }); });
          it('takes too long', { timeout: 20 }, () => new Promise((resolve) => setTimeout(resolve, 100))); }); });`,
      'suites.test.mjs': "describe('skipped suite', { skip: 'no moon' }, () => { it('is skipped', () => {}); });",
      'hook.test.mjs': "describe('hooked', () => { before(() => { throw new Error('no world'); }); it('is never run', () => {}); });",
      'pending.test.mjs': "it('waits for nothing', () => new Promise(() => {}));",
      'import.test.mjs': "throw new Error('at import');",
      'exit.test.mjs': 'process.exit(0);',
      'exit-code.test.mjs': "it('passes', () => {}); process.on('exit', () => { process.exitCode = 7; });",
      'leaves.test.mjs': `describe('leaver', () => { it('stays', () => {});
          it('leaves', async () => { await new Promise((resolve) => setTimeout(resolve, 100)); process.exit(0); }); it('is left', () => {}); });`,
      'killed.test.mjs': `describe('victim', () => { it('lives', () => {});
          it('dies', async () => { await new Promise((resolve) => setTimeout(resolve, 100)); process.kill(process.pid, 'SIGKILL'); }); });`,
    });
  });

  const failures: Readonly<Record<string, RegExp>> = {
    'a difference':
      /^\d+\. assert\.test\.mjs › outer › inner › compares \(.*\)\n(?: {4}.*\n)* {4}\+ {3}two: 2\n {4}- {3}two: 3\n(?: {4}.*\n)* {8}at .*assert\.test\.mjs:5/m,
    'the cause of an error':
      /^\d+\. assert\.test\.mjs › outer › inner › has a cause \(.*\)\n {4}Error: above\n(?: {4}.*\n)* {4}caused by: Error: beneath\n/m,
    'a test past its time': /^\d+\. assert\.test\.mjs › outer › inner › takes too long \(.*\)\n {4}test timed out after 20ms\n/m,
    'a hook': /^\d+\. hook\.test\.mjs › hooked \(.*\)\n {4}failed running before hook\n {4}Error: no world\n/m,
    'a test whose hook failed': /^\d+\. hook\.test\.mjs › hooked › is never run \(.*\)\n/m,
    'a promise nobody keeps': /^\d+\. pending\.test\.mjs › waits for nothing \(.*\)\n {4}Promise resolution is still pending/m,
    'a file that cannot be loaded, with its output':
      /^\d+\. import\.test\.mjs \(.*\)\n {4}the process ended with code 1\n(?: {4}.*\n)* {6}Error: at import\n/m,
    'a file that exits before its first test': /^\d+\. exit\.test\.mjs \(.*\)\n {4}told of no test/m,
    'a file that exits with a code': /^\d+\. exit-code\.test\.mjs \(.*\)\n {4}the process ended with code 7\n/m,
    'a file that exits in a test, with code 0':
      /^\d+\. leaves\.test\.mjs \(.*\)\n {4}the process ended before its tests did\n {4}“leaver › leaves” was running\n/m,
    'a file that is killed':
      /^\d+\. killed\.test\.mjs \(.*\)\n {4}the process ended by SIGKILL\n(?: {4}.*\n)* {4}“victim › dies” was running\n/m,
  };

  it('has exit code 1', () => assert.equal(outcome.code, 1));
  for (const [what, wanted] of Object.entries(failures)) it(`shows ${what} at the end`, () => assert.match(outcome.summary, wanted));
  it('counts a skipped suite', () => assert.match(outcome.summary, /^skipped:\n {5}1 no moon \(a whole suite\)$/m));
  it('shows each failure where it happened, too', () => {
    assert.equal(outcome.output.match(/^FAILED \d+: /gm)?.length, Object.keys(failures).length);
  });
  it('shows nothing more at the end', () => assert.match(outcome.summary, new RegExp(`^${Object.keys(failures).length} failed:$`, 'm')));
  it('writes a line for each to ROOST_FAILED_TESTS', () => {
    const lines = outcome.failed.trimEnd().split('\n');
    assert.equal(lines.length, Object.keys(failures).length);
    assert.ok(
      lines.some((line) => /^leaves\.test\.mjs \(.*\): the process ended before its tests did$/.test(line)),
      outcome.failed,
    );
  });
  it('ends with the counts', () =>
    assert.match(
      outcome.summary,
      /\nFAILED: tests \d+, suites 4, pass \d+, fail \d+, cancelled \d+, skipped 0, todo 0; 9 files, \d+ s\n$/,
    ));
});

describe('The report of a run with many failures', () => {
  let outcome: Outcome;
  before(async () => {
    outcome = await runFiles({
      'many.test.mjs': `for (let n = 1; n <= 90; n += 1) it('fails ' + n, () => { throw new Error('first line\\n'.repeat(n === 1 ? 500 : 1) + 'x'.repeat(5000)); });`,
    });
  });
  it('stays within some 200 lines and shortens long ones', () => {
    const lines = outcome.summary.split('\n');
    assert.ok(lines.length < 300, `${lines.length} lines`);
    assert.ok(lines.every((line) => line.length < 500));
    assert.match(outcome.summary, /^1\. many\.test\.mjs › fails 1 /m);
    assert.match(outcome.summary, /^and 30 more, shown above where they failed$/m);
  });
});

describe('The report of a run where a file hangs', () => {
  let outcome: Outcome;
  before(async () => {
    const hangs = "describe('patient', () => { it('hangs', () => new Promise(() => setInterval(() => {}, 1000))); });";
    outcome = await runFiles({ 'hangs.test.mjs': hangs }, 3_000);
  });

  it('fails', () => assert.equal(outcome.code, 1));
  // On a machine so busy that the file has not told of its test by then, no name is known.
  it('names the file, and the test when known', () => {
    assert.match(
      outcome.summary,
      /^1\. hangs\.test\.mjs \(.*\)\n {4}had not ended after 3\.0 s\n( {4}“patient › hangs” was running\n)?\n/m,
    );
  });
});
