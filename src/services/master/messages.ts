// What the foreground command itself says, before there is a log and after it.

/** Exit codes of `roost`: fatal (wrong configuration, cannot start) as Dovecot's. */
export const exitCodes = { ok: 0, fatal: 89 } as const;

/** @returns the exit code that goes with it */
export function complain(problems: readonly string[]): number {
  for (const problem of problems) process.stderr.write(`roost: Fatal: ${problem}\n`);
  return exitCodes.fatal;
}

export function say(text: string): void {
  process.stderr.write(`roost: ${text}\n`);
}
