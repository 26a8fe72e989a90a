// The line about a child's end, in the words an administrator knows.
import type { ChildEnd } from './child.js';

const megabyte = 1024 * 1024;

/** Exit codes that say more than their number. */
const exitTexts: Readonly<Record<number, string>> = {
  9: 'Invalid argument of node',
  81: "Can't open log file",
  82: 'Internal logging error',
  84: 'exec() failed',
  89: 'Fatal failure',
};
export const outOfMemoryCode = 83;
/** What a shell makes of SIGABRT. */
const abortCode = 134;

/** Signal numbers of Linux; only those that end a process in practice. */
const signalNumbers: Readonly<Partial<Record<NodeJS.Signals, number>>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
};

/** @returns undefined for a good end (exit code 0) */
export function exitText(service: string, pid: number, end: ChildEnd, vszLimitBytes: number): string | undefined {
  if (end.startError !== undefined) return `service(${service}): fork() failed: ${end.startError.message}`;
  // V8 and the C++ library abort when memory has run out, and for other reasons as well.
  const isAbort = end.code === abortCode || end.signal === 'SIGABRT';
  const isOutOfMemory = end.code === outOfMemoryCode || (isAbort && end.isOutOfMemory === true);
  const limit = vszLimitBytes === 0 ? 'unlimited' : `${Math.round(vszLimitBytes / megabyte)} MB`;
  const memory = `Out of memory (service ${service} { vsz_limit=${limit} }, you may need to increase it)`;
  if (end.signal !== undefined) {
    const number = signalNumbers[end.signal] ?? end.signal;
    return `service(${service}): child ${pid} killed with signal ${number}${isOutOfMemory ? ` (${memory})` : ''}`;
  }
  if (end.code === undefined || end.code === 0) return undefined;
  const text = isOutOfMemory ? memory : exitTexts[end.code];
  return `service(${service}): child ${pid} returned error ${end.code}${text === undefined ? '' : ` (${text})`}`;
}
