// Runs test files side by side, each in a process of its own, and reports on them.
//
// In place of `node --test`, which tells of tests under the name of the file that defines them rather than the one that runs, and which lets a file
// pass that ends early with exit code 0. A file passes when its process ends by itself with code 0, has told of a test, and has ended each it told of.
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TestFile, TestReport } from './test-report.mjs';

const reporter = fileURLToPath(new URL('test-events.mjs', import.meta.url));
const progressEveryMs = 15_000;
/** Between SIGTERM and SIGKILL for a file that is past its time. */
const graceMs = 3_000;

/**
 * Runs the files in the given order and prints the report to stdout.
 *
 * @param {string[]} paths
 * @param {{concurrency: number, fileTimeoutMs: number, environment: NodeJS.ProcessEnv}} options
 * @returns {Promise<number>} exit code, 0 when everything passed
 */
export async function runTests(paths, { concurrency, fileTimeoutMs, environment }) {
  const folder = mkdtempSync(join(tmpdir(), 'roost-tests-'));
  const files = paths.map((path, index) => new TestFile(path, join(folder, String(index))));
  const report = new TestReport(files);
  const children = new Set();
  let interruptedBy;
  const interrupt = (signal) => {
    interruptedBy = signal;
    for (const child of children) endGroup(child, signal);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, interrupt);
  const progress = setInterval(() => process.stdout.write(report.progress()), progressEveryMs);
  const waiting = [...files];
  const runNext = async () => {
    for (let file = waiting.shift(); file !== undefined && interruptedBy === undefined; file = waiting.shift()) {
      await runFile(file, { fileTimeoutMs, environment, children });
      process.stdout.write(report.ended(file));
    }
  };
  try {
    await Promise.all(Array.from({ length: concurrency }, runNext));
  } finally {
    clearInterval(progress);
    rmSync(folder, { recursive: true, force: true });
  }
  process.stdout.write(report.summary(interruptedBy));
  if (process.env.ROOST_FAILED_TESTS) writeFileSync(process.env.ROOST_FAILED_TESTS, report.failureLines());
  return report.hasPassed && interruptedBy === undefined ? 0 : 1;
}

/** Never rejects: what goes wrong is what the file is reported with. */
async function runFile(file, { fileTimeoutMs, environment, children }) {
  const output = openSync(file.outputPath, 'w');
  file.begin();
  const child = spawn(
    process.execPath,
    ['--enable-source-maps', `--test-reporter=${reporter}`, '--test-reporter-destination=stdout', resolve(file.path)],
    // A group of its own, which ends with it when it hangs; its output in a file, which nobody has to read for it to go on.
    { env: { ...environment, ROOST_TEST_EVENTS: file.eventsPath }, stdio: ['ignore', output, output], detached: true },
  );
  closeSync(output);
  children.add(child);
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    endGroup(child, 'SIGTERM');
    setTimeout(() => endGroup(child, 'SIGKILL'), graceMs).unref();
  }, fileTimeoutMs);
  const end = await new Promise((done) => {
    child.on('error', (error) => done({ error }));
    child.on('exit', (code, signal) => done({ code, signal }));
  });
  clearTimeout(timer);
  children.delete(child);
  const text = (path) => (existsSync(path) ? readFileSync(path, 'utf8') : '');
  file.end({ ...end, lateAfterMs: isLate ? fileTimeoutMs : undefined }, text(file.eventsPath), text(file.outputPath));
}

function endGroup(child, signal) {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}
