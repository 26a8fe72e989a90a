import { runAdminCommand } from '#cli/main.js';
import { standardOutput } from '#cli/standard-output.js';

/** Entry of `roostadm`. */
export function main(argv: readonly string[]): Promise<number> {
  const ending = new AbortController();
  const stop = (): void => ending.abort(new Error('interrupted'));
  // Once: whoever asks a second time means it.
  process.once('SIGINT', stop).once('SIGTERM', stop);
  return runAdminCommand(argv, standardOutput(stop), ending.signal);
}
