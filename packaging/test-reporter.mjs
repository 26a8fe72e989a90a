// Reporter of `npm test` and `npm run interop`: little while all is well, and everything about the failures where a shortened log still shows it, at the end.
//
// Node's runner lets a file pass that ends early with exit code 0, its remaining tests unrun. Here such a file fails, and the exit code with it.
// ROOST_FAILED_TESTS names a file that gets a line for each failure, for whoever runs this among other things.
import { writeFileSync } from 'node:fs';
import { relative } from 'node:path';
import { inspect } from 'node:util';

const progressEveryMs = 15_000;
/** Without a finished test for this long, the progress line names the tests that are running. */
const stalledAfterMs = 30_000;
const linesWhereItFails = 60;
/** Lines of details that all failures share at the end. */
const linesAtTheEnd = 160;
const failuresAtTheEnd = 60;
const outputLines = 40;
const maxLineLength = 400;
const slowestFiles = 10;

/** Frames of the runner and of promises, which lead nowhere. */
const emptyFrame = /^\s*at (.*\(?node:(internal\/|async_hooks:)|new Promise \(<anonymous>\))/;

/** @param {AsyncIterable<{type: string, data: Record<string, any>}>} events of node:test, each file's in order */
async function* report(events) {
  const run = new Run();
  const iterator = events[Symbol.asyncIterator]();
  const tick = new Ticker(progressEveryMs);
  try {
    for (let next = iterator.next(); ; ) {
      const got = await Promise.race([next, tick.next]);
      if (got === undefined) {
        yield run.progress();
        tick.restart();
        continue;
      }
      if (got.done) break;
      next = iterator.next();
      yield* run.take(got.value);
    }
  } finally {
    tick.stop();
  }
  yield run.summary();
  if (run.failures.length > 0) process.exitCode = 1;
  if (process.env.ROOST_FAILED_TESTS)
    writeFileSync(process.env.ROOST_FAILED_TESTS, run.failures.map((failure) => `${oneLine(failure)}\n`).join(''));
}

// biome-ignore lint/style/noDefaultExport: what Node wants of a reporter.
export default report;

class Ticker {
  #timer;

  constructor(everyMs) {
    this.everyMs = everyMs;
    this.restart();
  }

  restart() {
    this.next = new Promise((resolve) => {
      this.#timer = setTimeout(resolve, this.everyMs, undefined);
    });
  }

  stop() {
    clearTimeout(this.#timer);
  }
}

/** What is known of the files and their tests so far. */
class Run {
  failures = [];
  #files = new Map();
  #counts = { tests: 0, suites: 0, pass: 0, fail: 0, cancelled: 0, skipped: 0, todo: 0 };
  #skipReasons = new Map();
  #late = [];
  #startedAt = performance.now();
  #finishedAt = performance.now();

  *take({ type, data }) {
    const path = data.file;
    if (type === 'test:diagnostic' && data.message.includes('asynchronous activity after the test ended')) this.#late.push(data.message);
    if (path === undefined) return;
    const file = this.#file(path);
    const isFile = data.nesting === 0 && data.name === path;
    if (type === 'test:stdout' || type === 'test:stderr') file.keepOutput(data.message);
    else if (type === 'test:enqueue' && !isFile) file.queued += 1;
    else if (type === 'test:dequeue') file.begin(isFile, data);
    else if (type === 'test:complete') this.#complete(file, isFile, data);
    else if (type === 'test:start') file.names.splice(data.nesting, Number.POSITIVE_INFINITY, data.name);
    else if (type === 'test:pass' || type === 'test:fail') yield* this.#verdict(file, isFile, type === 'test:pass', data);
  }

  #file(path) {
    let file = this.#files.get(path);
    if (file === undefined) {
      file = new TestFile(relative(process.cwd(), path));
      this.#files.set(path, file);
    }
    return file;
  }

  /** Comes at once, where pass and fail wait for the files before. */
  #complete(file, isFile, data) {
    this.#finishedAt = performance.now();
    if (isFile) file.end(data.details.duration_ms);
    else file.running.delete(data.nesting);
  }

  *#verdict(file, isFile, hasPassed, data) {
    if (!isFile) file.reported += 1;
    const { error, type: kind, duration_ms: durationMs } = data.details;
    const isExpected = data.todo !== undefined && data.todo !== false;
    // A file is reported itself when it told of no test, or when it failed in another way than by a test.
    if (!isFile || !hasPassed) this.#count(data, kind, hasPassed, isExpected);
    if (isFile && hasPassed) return;
    if (hasPassed || isExpected || error?.failureType === 'subtestsFailed') return;
    const names = isFile ? [] : [...file.names.slice(0, data.nesting), data.name];
    const details = detailsOf(error);
    if (isFile && file.running.size > 0) details.push(`${file.unfinished()} was running`);
    yield this.#fail({ file, names, durationMs, details, output: isFile ? file.output : [] });
  }

  #count(data, kind, hasPassed, isExpected) {
    if (kind === 'suite') {
      this.#counts.suites += 1;
      return;
    }
    this.#counts.tests += 1;
    if (data.skip !== undefined && data.skip !== false) {
      this.#counts.skipped += 1;
      const reason = data.skip === true || data.skip === '' ? 'no reason given' : String(data.skip);
      this.#skipReasons.set(reason, (this.#skipReasons.get(reason) ?? 0) + 1);
    } else if (isExpected) this.#counts.todo += 1;
    else if (hasPassed) this.#counts.pass += 1;
    else if (['cancelledByParent', 'testAborted'].includes(data.details.error?.failureType)) this.#counts.cancelled += 1;
    else this.#counts.fail += 1;
  }

  #fail(failure) {
    this.failures.push(failure);
    return `\nFAILED ${this.failures.length}: ${title(failure)}\n${indented(linesOf(failure), linesWhereItFails)}`;
  }

  progress() {
    const files = [...this.#files.values()];
    const { pass, skipped } = this.#counts;
    let text = `${this.#seconds()} s: ${files.filter((file) => file.hasEnded).length} of ${files.length} files, ${pass} tests passed, ${skipped} skipped, ${this.failures.length} failed\n`;
    const quietMs = performance.now() - this.#finishedAt;
    if (quietMs < stalledAfterMs) return text;
    text += `  no test has ended for ${Math.round(quietMs / 1000)} s; running:\n`;
    for (const file of files.filter((each) => each.hasBegun && !each.hasEnded)) text += `    ${file.path} ${file.unfinished()}\n`;
    return text;
  }

  /** Ends with the failures and the counts, each line of which must be true of a run that went wrong in any way. */
  summary() {
    let text = '';
    for (const file of this.#files.values()) if (file.hasBegun) text += this.#incomplete(file);
    if (this.#files.size === 0)
      text += this.#fail({ file: new TestFile('(none)'), names: [], durationMs: 0, details: ['no test file was run'], output: [] });
    const slowest = [...this.#files.values()].sort((a, b) => b.durationMs - a.durationMs).slice(0, slowestFiles);
    text += `\nslowest files:\n${slowest.map((file) => `  ${seconds(file.durationMs).padStart(7)} ${file.path}\n`).join('')}`;
    if (this.#skipReasons.size > 0) text += '\nskipped:\n';
    for (const [reason, count] of [...this.#skipReasons].sort((a, b) => b[1] - a[1])) text += `  ${String(count).padStart(4)} ${reason}\n`;
    if (this.#late.length > 0) text += `\nerrors after their test had passed:\n${indented(this.#late.slice(0, 10), linesWhereItFails)}`;
    text += this.#failuresAgain();
    const counts = Object.entries(this.#counts).map(([name, count]) => `${name} ${count}`);
    return `${text}\n${this.failures.length > 0 ? 'FAILED' : 'passed'}: ${counts.join(', ')}; ${this.#files.size} files, ${this.#seconds()} s\n`;
  }

  /** The failure of a file whose process ended, with whatever code, before all its tests had. */
  #incomplete(file) {
    // With source maps the tests of a file are told of under the name of its source.
    if (!file.path.startsWith('dist-test/') && file.reported >= file.queued && file.reported > 0) return '';
    if (file.path.startsWith('dist-test/')) return '';
    if (this.failures.some((failure) => failure.file === file && failure.names.length === 0)) return '';
    const what =
      file.reported > 0 || file.queued > 0 ? `ended while ${file.unfinished()} had not` : 'told of no test; it ended early, or holds none';
    this.#counts.fail += 1;
    this.#counts.tests += 1;
    return this.#fail({ file, names: [], durationMs: file.durationMs, details: [what], output: file.output });
  }

  #failuresAgain() {
    if (this.failures.length === 0) return '';
    const shown = this.failures.slice(0, failuresAtTheEnd);
    const each = fairShare(
      shown.map((failure) => linesOf(failure).length),
      linesAtTheEnd,
    );
    let text = `\n${this.failures.length} failed:\n`;
    for (const [index, failure] of shown.entries()) {
      text += `\n${index + 1}. ${title(failure)}\n${indented(linesOf(failure), each)}`;
    }
    const rest = this.failures.slice(failuresAtTheEnd);
    if (rest.length > 0) text += `\nand ${rest.length} more, shown above where they failed\n`;
    const paths = [...new Set(shown.map((failure) => failure.file.path))].slice(0, 10);
    return `${text}\nagain: npm test -- ${paths.join(' ')}\n`;
  }

  #seconds() {
    return Math.round((performance.now() - this.#startedAt) / 1000);
  }
}

class TestFile {
  /** Tests and suites the file told to be there, and those with a verdict. */
  queued = 0;
  reported = 0;
  hasBegun = false;
  hasEnded = false;
  durationMs = 0;
  /** Of the suites and the test whose verdict comes next. */
  names = [];
  /** Names by nesting, of what is running now. */
  running = new Map();
  output = [];

  constructor(path) {
    this.path = path;
  }

  begin(isFile, data) {
    if (isFile) this.hasBegun = true;
    else this.running.set(data.nesting, data.name);
  }

  end(durationMs) {
    this.hasEnded = true;
    this.durationMs = durationMs;
  }

  keepOutput(text) {
    this.output.push(...text.split('\n').filter((line) => line !== ''));
    if (this.output.length > outputLines) this.output = this.output.slice(-outputLines);
  }

  unfinished() {
    const names = [...this.running].sort((a, b) => a[0] - b[0]).map((entry) => entry[1]);
    return names.length > 0 ? `“${names.join(' › ')}”` : 'all of its tests';
  }
}

/** Message with difference and stack, then the causes; the runner's own wrapping and frames left out. */
function detailsOf(error) {
  if (error === undefined) return ['failed without an error'];
  const lines = [];
  if (error.failureType !== 'testCodeFailure') lines.push(error.message ?? String(error));
  if (error.exitCode !== undefined && error.exitCode !== null) lines.push(`the process ended with code ${error.exitCode}`);
  if (error.signal) lines.push(`the process ended by ${error.signal}`);
  const cause = error.cause;
  if (cause instanceof Error || (typeof cause === 'object' && cause !== null)) {
    const text = typeof cause.stack === 'string' ? stackWithCauses(cause) : inspect(cause, { depth: 4 });
    lines.push(...text.split('\n').filter((line) => !emptyFrame.test(line)));
  } else if (cause !== undefined && !lines.includes(String(cause))) lines.push(String(cause));
  return lines;
}

function stackWithCauses(error) {
  let text = '';
  for (let at = error, depth = 0; at !== undefined && at !== null && depth < 5; at = at.cause, depth += 1) {
    const own = typeof at.stack === 'string' ? at.stack : inspect(at, { depth: 4 });
    // A stack taken before the message was changed lacks it.
    const hasMessage = typeof at.message !== 'string' || own.includes(at.message);
    text += `${depth > 0 ? '\ncaused by: ' : ''}${hasMessage ? own : `${at.message}\n${own}`}`;
    if (Array.isArray(at.errors)) for (const each of at.errors.slice(0, 5)) text += `\none of them: ${each?.stack ?? String(each)}`;
  }
  return text;
}

function title({ file, names, durationMs }) {
  return `${[file.path, ...names].join(' › ')} (${seconds(durationMs)})`;
}

function oneLine(failure) {
  return shortened(`${title(failure)}: ${failure.details.find((line) => line.trim() !== '') ?? ''}`.replaceAll('\n', ' '));
}

function seconds(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function linesOf({ details, output }) {
  const lines = details.flatMap((line) => line.split('\n'));
  return output.length > 0 ? [...lines, 'its output ends:', ...output.map((line) => `  ${line}`)] : lines;
}

/** How many lines each may have so that all of them together have `room`, what the short ones leave going to the long ones. */
function fairShare(lengths, room) {
  let left = room;
  for (const [index, length] of lengths.toSorted((a, b) => a - b).entries()) {
    const share = Math.floor(left / (lengths.length - index));
    if (length > share) return Math.max(2, share);
    left -= length;
  }
  return room;
}

/** The beginning and the end of the lines when there are more than `most`. */
function indented(lines, most) {
  const kept = [...lines];
  if (kept.length > most) {
    const left = kept.length - most + 1;
    kept.splice(Math.ceil((most - 1) * 0.7), left, `... ${left} lines ...`);
  }
  return kept.map((line) => `    ${shortened(line)}\n`).join('');
}

function shortened(line) {
  return line.length > maxLineLength ? `${line.slice(0, maxLineLength)}... (${line.length} characters)` : line;
}
