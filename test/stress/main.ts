// node dist-test/stress/main.js --seconds 600 --sessions 20 [--seed 7] [--target server-one,server-many] [--only COPY,MOVE,APPEND] [--mailboxes 1]
import { cpSync, createWriteStream, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runStress } from './run.js';
import { stepNames } from './steps.js';
import { openTarget, type StressTarget } from './targets.js';
import { StressFailure } from './verdict.js';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: process.env['ROOST_STRESS_SECONDS'] ?? '60' },
    sessions: { type: 'string', default: process.env['ROOST_STRESS_SESSIONS'] ?? '20' },
    seed: { type: 'string', default: process.env['ROOST_STRESS_SEED'] ?? String(Date.now() % 100_000) },
    /** For each server; several with commas. */
    target: { type: 'string', default: process.env['ROOST_STRESS_TARGET'] ?? 'server-one,server-many' },
    /** No other steps than these (steps.ts). */
    only: { type: 'string' },
    /** How many of the target's mailboxes are used. */
    mailboxes: { type: 'string' },
    /** A file for everything that is sent and received. */
    trace: { type: 'string' },
  },
});

const copyAttempts = 20;

/** The files of a failed run, for a look at what the server made of them. */
function keep(target: StressTarget): string {
  const inbox = target.maildirs?.['INBOX'];
  if (inbox === undefined) return 'nothing';
  const folder = mkdtempSync(join(tmpdir(), 'roost-stress-failed-'));
  let problem: unknown;
  // The server may still be at work: files change their names.
  for (let attempt = 1; attempt <= copyAttempts; attempt += 1) {
    try {
      cpSync(inbox, folder, { recursive: true, preserveTimestamps: true });
      return folder;
    } catch (error) {
      problem = error;
    }
  }
  return `${folder}, in part: ${String(problem)}`;
}

/** Warnings and errors of the server, the last of them. */
function notable(log: string): string {
  return log
    .split('\n')
    .filter((line) => !/: Info: /.test(line))
    .slice(-40)
    .join('\n');
}

function namesOf(list: string): ReadonlySet<string> {
  const names = new Set(list.toUpperCase().split(','));
  for (const name of names)
    if (!stepNames.has(name)) throw new Error(`there is no step ${name}; there are ${[...stepNames].sort().join(', ')}`);
  return names;
}

const only = values.only === undefined ? undefined : namesOf(values.only);
const trace = values.trace === undefined ? undefined : createWriteStream(values.trace);

for (const name of values.target.split(',')) {
  console.log(`${name}: ${values.seconds} s, ${values.sessions} sessions, seed ${values.seed}`);
  const target = await openTarget(name);
  try {
    const { commands, messages } = await runStress({
      seed: Number(values.seed),
      sessions: Number(values.sessions),
      seconds: Number(values.seconds),
      ...target,
      connect: target.connect,
      mailboxes: target.mailboxes.slice(0, values.mailboxes === undefined ? undefined : Number(values.mailboxes)),
      ...(only !== undefined && { only }),
      ...(trace !== undefined && { trace: (session: string, line: string) => trace.write(`${session} ${line}\n`) }),
      progress: (seconds, commands) => {
        const memory = target.memory?.();
        const mb = (size: number): string => `${Math.round(size / 1_024)} MB`;
        console.log(
          `  ${seconds} s: ${commands} commands${memory === undefined ? '' : `, ${memory.processes} processes, ${mb(memory.sum)}, the largest ${mb(memory.largest)}`}`,
        );
      },
    });
    console.log(`${name}: ${commands} commands, ${messages} messages, no violation`);
  } catch (error) {
    if (!(error instanceof StressFailure)) throw error;
    console.log(`${name}: ${error.message}\n${notable(target.log?.() ?? '')}`);
    console.log(`kept ${keep(target)}`);
    process.exitCode = 1;
  } finally {
    await target[Symbol.asyncDispose]();
  }
}
