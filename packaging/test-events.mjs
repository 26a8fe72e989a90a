// Reporter inside the process of one test file: tells run-tests.mjs of each event by a line of JSON in the file that ROOST_TEST_EVENTS names.
// Written at once, so that what a test did before it ended the process, or never ended, is known.
import { openSync, writeSync } from 'node:fs';
import { inspect } from 'node:util';

/** Frames of the runner and of promises, which lead nowhere. */
const emptyFrame = /^\s*at (.*\(?node:(internal\/|async_hooks:)|new Promise \(<anonymous>\))/;
const maxCauses = 5;
const told = new Set(['test:enqueue', 'test:dequeue', 'test:complete', 'test:start', 'test:pass', 'test:fail', 'test:diagnostic']);

/** @param {AsyncIterable<{type: string, data: Record<string, any>}>} events of node:test */
// biome-ignore lint/style/noDefaultExport: what Node wants of a reporter.
export default async function* tellEvents(events) {
  const path = process.env.ROOST_TEST_EVENTS;
  // What the tests start must not write here.
  delete process.env.ROOST_TEST_EVENTS;
  const file = openSync(path, 'a');
  for await (const { type, data } of events) {
    if (!told.has(type)) continue;
    const { name, nesting, skip, todo, message, details } = data;
    const error = details?.error;
    const failure = error && { failureType: error.failureType, lines: detailsOf(error) };
    const line = {
      type: type.slice(5),
      name,
      nesting,
      skip,
      todo,
      message,
      kind: details?.type,
      durationMs: details?.duration_ms,
      failure,
    };
    writeSync(file, `${JSON.stringify(line)}\n`);
  }
  yield '';
}

/** Message with difference and stack, then the causes; the runner's own wrapping and frames left out. */
function detailsOf(error) {
  const lines = error.failureType === 'testCodeFailure' ? [] : [error.message];
  const { cause } = error;
  if (typeof cause === 'object' && cause !== null) lines.push(...withCauses(cause));
  else if (cause !== undefined && cause !== error.message) lines.push(...inspect(cause).split('\n'));
  return lines;
}

function withCauses(error) {
  const lines = [];
  for (let at = error, depth = 0; typeof at === 'object' && at !== null && depth < maxCauses; at = at.cause, depth += 1) {
    lines.push(...linesOf(at, depth === 0 ? '' : 'caused by: '));
    if (Array.isArray(at.errors)) for (const each of at.errors.slice(0, maxCauses)) lines.push(...linesOf(each, 'one of them: '));
  }
  return lines;
}

function linesOf(error, prefix) {
  if (typeof error?.stack !== 'string') return `${prefix}${inspect(error, { depth: 4 })}`.split('\n');
  // A stack taken before the message was changed lacks it.
  const message = typeof error.message === 'string' && !error.stack.includes(error.message) ? `${error.message}\n` : '';
  return `${prefix}${message}${error.stack}`.split('\n').filter((line) => !emptyFrame.test(line));
}
