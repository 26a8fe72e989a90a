// What a command of `roostadm` is: a row of the table in commands.ts, and what its `run` is given.
import type { Context } from './context.js';
import type { ColumnSpec, Printer } from './print/format.js';
import type { OutputFormat } from './print.js';

export interface CommandOption {
  /** As shown in the help: `-s, --subscriptions` or `-m, --mailbox <name>`. A long name is required: `flag` and `text` ask by it. */
  readonly flags: string;
  readonly doc: string;
  /** May stand more than once; read with `texts`. */
  readonly repeats?: boolean;
}

export interface CommandArgument {
  /** `<mailbox...>` or `[mask]`. */
  readonly syntax: string;
  readonly doc: string;
}

export interface CommandSpec {
  /** Words that name it: `auth cache flush`. */
  readonly name: string;
  readonly summary: string;
  readonly arguments?: readonly CommandArgument[];
  readonly options?: readonly CommandOption[];
  /** Works on the mail of users: takes -u, -A and -F. */
  readonly isMail?: boolean;
  /** The arguments are a search query, in which everything after the first word is taken as it is. */
  readonly takesQuery?: boolean;
  /** Without -f. */
  readonly format: OutputFormat;
  /** Fails by throwing AdminError, or goes on after `context.fail`. */
  run(call: CommandCall): Promise<void>;
}

/** One run of a command. */
export interface CommandCall {
  readonly args: readonly string[];
  readonly context: Context;
  /** @param name long name without dashes */
  flag(name: string): boolean;
  text(name: string): string | undefined;
  texts(name: string): readonly string[];
  /** A printer in the format asked for. Call it once; end it when all rows are printed. */
  print(columns: readonly ColumnSpec[]): Printer;
  /** Text that is nothing but text, such as `kicked connections from the following users:`. With `--json` it is left out. */
  say(text: string): Promise<void>;
  readonly isJson: boolean;
}
