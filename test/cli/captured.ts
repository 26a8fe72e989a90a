// Running roostadm inside the test: what it writes is collected.
import { runAdminCommand } from '#cli/main.js';
import type { Output } from '#cli/output.js';
import type { CommandResult, RunningRoost } from '../support/running-roost.js';

export interface CapturedOutput extends Output {
  readonly text: string;
  readonly errors: string;
}

export function captureOutput(): CapturedOutput {
  const chunks: Buffer[] = [];
  let errors = '';
  return {
    write: async (text) => void chunks.push(Buffer.from(text)),
    error: (text) => {
      errors += text;
    },
    get text() {
      return Buffer.concat(chunks).toString('utf8');
    },
    get errors() {
      return errors;
    },
  };
}

export async function admin(...argv: readonly string[]): Promise<CommandResult> {
  const output = captureOutput();
  const code = await runAdminCommand(argv, output, new AbortController().signal);
  return { code, stdout: output.text, stderr: output.errors };
}

/** The same with the configuration of a server. */
export const adminOf =
  (roost: RunningRoost) =>
  (...argv: readonly string[]): Promise<CommandResult> =>
    admin('-c', roost.configFile, ...argv);
