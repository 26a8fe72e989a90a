// What is printed of a run of test files: little while all is well, and everything about the failures where a shortened log still shows it, at the end.
import { readFileSync } from 'node:fs';

/** Without a file that ended for this long, the progress line names the tests that are running. */
const stalledAfterMs = 45_000;
const linesWhereItFails = 60;
/** Lines of details that all failures share at the end. */
const linesAtTheEnd = 160;
const failuresAtTheEnd = 60;
const outputLines = 40;
const maxLineLength = 400;
const slowestFiles = 10;
const cancelledTypes = ['cancelledByParent', 'testAborted'];

/** One test file: what its process told (test-events.mjs) and how it ended. */
export class TestFile {
  state = 'waiting';
  durationMs = 0;
  /** Details of what failed: `names` of suites and test, none for the file itself. */
  failures = [];
  counts = { tests: 0, suites: 0, pass: 0, fail: 0, cancelled: 0, skipped: 0, todo: 0 };
  skipReasons = [];
  /** Errors thrown after their test had passed, which fail nothing. */
  lateErrors = [];
  #startedAt = 0;

  constructor(path, base) {
    this.path = path;
    this.eventsPath = `${base}.events`;
    this.outputPath = `${base}.output`;
  }

  begin() {
    this.state = 'running';
    this.#startedAt = performance.now();
  }

  /** @param {{code?: number | null, signal?: string | null, error?: Error, lateAfterMs?: number}} end */
  end(end, events, output) {
    this.state = 'ended';
    this.durationMs = performance.now() - this.#startedAt;
    const { queued, running } = this.#read(eventsIn(events));
    const isFailing = this.failures.length > 0;
    const details = howItEnded(end, isFailing);
    if (details.length === 0 && queued > 0) details.push('the process ended before its tests did');
    if (details.length === 0 && this.counts.tests + this.counts.suites === 0 && !isFailing)
      details.push('told of no test; it ended early, or holds none');
    if (details.length === 0) return;
    if (running !== '') details.push(`“${running}” was running`);
    const lines = output.split('\n').filter((line) => line !== '');
    if (lines.length > 0) details.push('its output ends:', ...lines.slice(-outputLines).map((line) => `  ${line}`));
    this.counts.tests += 1;
    this.counts.fail += 1;
    this.failures.push({ path: this.path, names: [], durationMs: this.durationMs, details });
  }

  /** Names of the tests that run now, from what the process has told so far. */
  runningNow() {
    try {
      return runningIn(eventsIn(readFileSync(this.eventsPath, 'utf8')));
    } catch {
      return '';
    }
  }

  #read(events) {
    const names = [];
    let queued = 0;
    for (const event of events) {
      if (event.type === 'enqueue') queued += 1;
      else if (event.type === 'start') names.splice(event.nesting, Number.POSITIVE_INFINITY, event.name);
      else if (event.type === 'pass' || event.type === 'fail') {
        queued -= 1;
        this.#verdict(event, [...names.slice(0, event.nesting), event.name]);
      } else if (event.type === 'diagnostic' && event.message.includes('asynchronous activity after the test ended'))
        this.lateErrors.push(`${this.path}: ${event.message}`);
    }
    return { queued, running: runningIn(events) };
  }

  #verdict(event, names) {
    const isExpected = event.todo !== undefined && event.todo !== false;
    this.#count(event, isExpected);
    if (event.type === 'pass' || isExpected || event.failure?.failureType === 'subtestsFailed') return;
    this.failures.push({
      path: this.path,
      names,
      durationMs: event.durationMs,
      details: event.failure?.lines ?? ['failed without an error'],
    });
  }

  #count(event, isExpected) {
    const isSkipped = event.skip !== undefined && event.skip !== false;
    if (isSkipped) {
      const reason = event.skip === true || event.skip === '' ? 'no reason given' : String(event.skip);
      this.skipReasons.push(event.kind === 'suite' ? `${reason} (a whole suite)` : reason);
    }
    if (event.kind === 'suite') {
      this.counts.suites += 1;
      return;
    }
    this.counts.tests += 1;
    if (isSkipped) this.counts.skipped += 1;
    else if (isExpected) this.counts.todo += 1;
    else if (event.type === 'pass') this.counts.pass += 1;
    else if (cancelledTypes.includes(event.failure?.failureType)) this.counts.cancelled += 1;
    else this.counts.fail += 1;
  }
}

/** The text of a whole run; each method returns what is to be printed. */
export class TestReport {
  #files;
  #failures = [];
  #startedAt = performance.now();
  #lastEndAt = performance.now();

  constructor(files) {
    this.#files = files;
  }

  get hasPassed() {
    return this.#failures.length === 0 && this.#files.length > 0 && this.#files.every(({ state }) => state === 'ended');
  }

  /** What failed in a file that has just ended. */
  ended(file) {
    this.#lastEndAt = performance.now();
    let text = '';
    for (const failure of file.failures) {
      this.#failures.push(failure);
      text += `\nFAILED ${this.#failures.length}: ${title(failure)}\n${indented(failure.details, linesWhereItFails)}\n`;
    }
    return text;
  }

  progress() {
    const ended = this.#files.filter(({ state }) => state === 'ended');
    const { pass, skipped } = this.#counts();
    const failed = this.#failures.length;
    let text = `${this.#seconds()} s: ${ended.length} of ${this.#files.length} files, ${pass} tests passed, ${skipped} skipped, ${failed} failed\n`;
    const quietMs = performance.now() - this.#lastEndAt;
    if (quietMs < stalledAfterMs) return text;
    text += `  no file has ended for ${Math.round(quietMs / 1000)} s; running:\n`;
    for (const file of this.#files.filter(({ state }) => state === 'running')) text += `    ${file.path} ${file.runningNow()}\n`;
    return text;
  }

  /** @param {string | undefined} interruptedBy signal that ended the run before all files had */
  summary(interruptedBy) {
    const slowest = this.#files.toSorted((a, b) => b.durationMs - a.durationMs).slice(0, slowestFiles);
    let text = `\nslowest files:\n${slowest.map((file) => `  ${seconds(file.durationMs).padStart(7)} ${file.path}\n`).join('')}`;
    const reasons = new Map();
    for (const reason of this.#files.flatMap(({ skipReasons }) => skipReasons)) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    if (reasons.size > 0) text += '\nskipped:\n';
    for (const [reason, count] of [...reasons].sort((a, b) => b[1] - a[1])) text += `  ${String(count).padStart(4)} ${reason}\n`;
    const late = this.#files.flatMap(({ lateErrors }) => lateErrors);
    if (late.length > 0) text += `\nerrors after their test had passed:\n${indented(late.slice(0, 10), linesWhereItFails)}`;
    text += this.#failuresAgain();
    const counts = Object.entries(this.#counts()).map(([name, count]) => `${name} ${count}`);
    const unrun = this.#files.filter(({ state }) => state !== 'ended').length;
    if (interruptedBy !== undefined) text += `\ninterrupted by ${interruptedBy}, ${unrun} files not run\n`;
    return `${text}\n${this.hasPassed ? 'passed' : 'FAILED'}: ${counts.join(', ')}; ${this.#files.length} files, ${this.#seconds()} s\n`;
  }

  /** A line for each failure. */
  failureLines() {
    return this.#failures
      .map((failure) => `${shortened(`${title(failure)}: ${failure.details.find((line) => line.trim() !== '') ?? ''}`)}\n`)
      .join('');
  }

  #counts() {
    const sums = { tests: 0, suites: 0, pass: 0, fail: 0, cancelled: 0, skipped: 0, todo: 0 };
    for (const { counts } of this.#files) for (const name of Object.keys(sums)) sums[name] += counts[name];
    return sums;
  }

  #failuresAgain() {
    if (this.#failures.length === 0) return '';
    const shown = this.#failures.slice(0, failuresAtTheEnd);
    const each = fairShare(
      shown.map(({ details }) => details.length),
      linesAtTheEnd,
    );
    let text = `\n${this.#failures.length} failed:\n`;
    for (const [index, failure] of shown.entries()) text += `\n${index + 1}. ${title(failure)}\n${indented(failure.details, each)}`;
    const rest = this.#failures.length - shown.length;
    if (rest > 0) text += `\nand ${rest} more, shown above where they failed\n`;
    const paths = [...new Set(shown.map(({ path }) => path))].slice(0, 10);
    return `${text}\nagain: npm test -- ${paths.join(' ')}\n`;
  }

  #seconds() {
    return Math.round((performance.now() - this.#startedAt) / 1000);
  }
}

/** The last line may be torn when the process was killed. */
function eventsIn(text) {
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
}

function runningIn(events) {
  const running = [];
  for (const { type, nesting, name } of events) {
    if (type === 'dequeue') running.splice(nesting, Number.POSITIVE_INFINITY, name);
    else if (type === 'complete') running.splice(nesting);
  }
  return running.join(' › ');
}

function howItEnded({ code, signal, error, lateAfterMs }, isFailing) {
  if (error !== undefined) return [`the process could not be started: ${error.message}`];
  if (lateAfterMs !== undefined) return [`had not ended after ${seconds(lateAfterMs)}`];
  if (signal !== null) return [`the process ended by ${signal}`];
  // A failed test makes it 1.
  return code === 0 || (code === 1 && isFailing) ? [] : [`the process ended with code ${code}`];
}

function title({ path, names, durationMs }) {
  return `${[path, ...names].join(' › ')} (${seconds(durationMs)})`.replaceAll('\n', ' ');
}

function seconds(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
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
