// `npm start`, `npm test` and the rest on a fresh clone: installs from the lock file and builds when needed, then does the job.
// Uses only Node itself until the packages are there.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runTests } from './run-tests.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);
const [job, ...rest] = process.argv.slice(2);
/** A test file that hangs fails by name, rather than the whole run by whoever waits for it. */
const fileTimeoutMs = 600_000;
const waiting = /^dist-test\/(system|transcripts|service-kit|cli)\//;

/** Packages match the lock file when npm's own record of the last install is not older and was made from the same text. */
function installIfNeeded() {
  const marker = join(root, 'node_modules', '.roost-lock');
  const lock = readFileSync(join(root, 'package-lock.json'), 'utf8');
  if (existsSync(marker) && readFileSync(marker, 'utf8') === lock) return;
  say('installing packages (npm ci) ...');
  const result = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { stdio: ['ignore', 2, 2] });
  if (result.status !== 0) fail('npm ci failed');
  writeFileSync(marker, lock);
}

async function buildIfNeeded() {
  const { build, walk } = await import('./build.mjs');
  const stamp = join(root, 'dist', '.built');
  const newest = (folder) => Math.max(0, ...[...walk(join(root, folder))].map((path) => statSync(path).mtimeMs));
  const sources = Math.max(
    newest('src'),
    newest('test'),
    statSync(join(root, 'packaging', 'build.mjs')).mtimeMs,
    statSync(join(root, 'package-lock.json')).mtimeMs,
  );
  if (existsSync(stamp) && statSync(stamp).mtimeMs > sources) return;
  say('building ...');
  const startedAt = new Date();
  if ((await build()) > 0) fail('build failed');
  writeFileSync(stamp, startedAt.toISOString());
}

function say(text) {
  process.stderr.write(`roost: ${text}\n`);
}

function fail(text) {
  say(text);
  process.exit(1);
}

/** Runs a command in the foreground; signals reach it through the process group, we only wait. */
function run(command, args, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { stdio: 'inherit', ...options });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
    child.on('error', (error) => fail(String(error)));
    child.on('exit', (code, signal) => resolve(signal ? 128 : code));
  });
}

/** Test files below a folder of dist-test, leaving out those that need more than npm packages. */
function testFiles(folder) {
  const files = [];
  const visit = (path) => {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (entry.isDirectory()) visit(join(path, entry.name));
      else if (entry.name.endsWith('.test.js')) files.push(join(path, entry.name));
    }
  };
  if (existsSync(folder)) visit(folder);
  return files.sort();
}

/** Files that mostly wait for servers, evenly among those that mostly compute: side by side they take less time than one kind after the other. */
function mixed(files) {
  const waits = files.filter((path) => waiting.test(path));
  const computes = files.filter((path) => !waiting.test(path));
  const order = (paths) => paths.map((path, index) => ({ path, at: (index + 0.5) / paths.length }));
  return [...order(waits), ...order(computes)].sort((a, b) => a.at - b.at).map(({ path }) => path);
}

/** NODE_EXTRA_CA_CERTS alone costs Node 20 100 ms a start, and no test talks to the outside. */
function testEnvironment() {
  const { NODE_EXTRA_CA_CERTS: _, ...environment } = process.env;
  return environment;
}

const jobs = {
  build: async () => 0,
  start: () => run(process.execPath, ['dist/bin/roost.cjs', 'dev', ...rest]),
  test: () => {
    const wanted =
      rest.length > 0
        ? rest.flatMap((path) => (path.endsWith('.js') ? [path] : testFiles(join('dist-test', path))))
        : testFiles('dist-test').filter((path) => !/^dist-test\/(interop|bench|stress)\//.test(path));
    return nodeTest(wanted);
  },
  interop: () => nodeTest(testFiles('dist-test/interop')),
  bench: () => run(process.execPath, ['dist-test/bench/main.js', ...rest], { env: testEnvironment() }),
};

if (!(job in jobs)) fail(`unknown job ${job}; one of ${Object.keys(jobs).join(', ')}`);
function nodeTest(files) {
  if (files.length === 0) fail('no test files found');
  return runTests(mixed(files), { concurrency: 3, fileTimeoutMs, environment: testEnvironment() });
}

installIfNeeded();
await buildIfNeeded();
process.exitCode = await jobs[job]();
