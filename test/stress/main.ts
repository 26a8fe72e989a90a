// node dist-test/stress/main.js --seconds 600 --sessions 20 [--seed 7] [--target server-one,server-many]
import { cpSync, createWriteStream, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runStress, StressFailure } from './run.js';
import { openTarget, type StressTarget } from './targets.js';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: process.env['ROOST_STRESS_SECONDS'] ?? '60' },
    sessions: { type: 'string', default: process.env['ROOST_STRESS_SESSIONS'] ?? '20' },
    seed: { type: 'string', default: process.env['ROOST_STRESS_SEED'] ?? String(Date.now() % 100_000) },
    /** For each server; several with commas. */
    target: { type: 'string', default: process.env['ROOST_STRESS_TARGET'] ?? 'server-one,server-many' },
    /** A file for everything that is sent and received. */
    trace: { type: 'string' },
  },
});

/** The files of a failed run, for a look at what the server made of them. */
function keep(target: StressTarget): string {
  const inbox = target.maildirs?.['INBOX'];
  if (inbox === undefined) return 'nothing';
  const folder = mkdtempSync(join(tmpdir(), 'roost-stress-failed-'));
  try {
    cpSync(inbox, folder, { recursive: true, preserveTimestamps: true });
    return folder;
  } catch (error) {
    // The server may still be at work.
    return `${folder}, in part: ${String(error)}`;
  }
}

/** Warnings and errors of the server, the last of them. */
function notable(log: string): string {
  return log
    .split('\n')
    .filter((line) => !/: Info: /.test(line))
    .slice(-40)
    .join('\n');
}

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
