import { runServerCommand } from '#cli/server/main.js';

/** Entry of `roost`. */
export function main(argv: readonly string[]): Promise<number> {
  const output = {
    out: (text: string): void => void process.stdout.write(text),
    error: (text: string): void => void process.stderr.write(text),
  };
  return runServerCommand(argv, output, () => import('#services/master/main.js'));
}
