// The command line of `roostadm`: from arguments to a command of the table, and from its end to an exit code.
import { Command, CommanderError, Option } from 'commander';
import { version } from '#config/version.js';
import { CodedError } from '#util/coded-error.js';
import type { CommandCall, CommandSpec } from './command.js';
import { commands } from './commands.js';
import { Context } from './context.js';
import { AdminError, exitCodes } from './exit-codes.js';
import type { Output } from './output.js';
import { createPrinter, isOutputFormat, type OutputFormat, outputFormats } from './print.js';

/** Exit code of a command ended by Ctrl-C, as shells have it. */
const interruptedExitCode = 130;

interface GlobalOptions {
  readonly config?: string;
  readonly format?: string;
  readonly json?: boolean;
  readonly verbose?: boolean;
  readonly debug?: boolean;
}

/**
 * Runs one command.
 * @param argv without the program's name
 * @param signal ends the command early
 * @returns exit code; everything there is to say was written
 */
export async function runAdminCommand(argv: readonly string[], output: Output, signal: AbortSignal): Promise<number> {
  let exitCode: number = exitCodes.ok;
  const program = buildProgram(output, async (spec, leaf) => {
    exitCode = await runCommand(spec, leaf, output, signal);
  });
  try {
    await program.parseAsync(rewrite(argv), { from: 'user' });
    return exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    // Help that was asked for is no mistake; a group without its command is.
    return error.code === 'commander.helpDisplayed' || error.code === 'commander.version' ? exitCodes.ok : exitCodes.usage;
  }
}

/** `help mailbox list` is `mailbox list --help`, and `--json` may stand anywhere, even behind a search query. */
function rewrite(argv: readonly string[]): string[] {
  const [first, ...rest] = argv;
  if (first === 'help') return [...rest, '--help'];
  const end = argv.indexOf('--');
  const at = argv.indexOf('--json');
  if (at < 0 || (end >= 0 && at > end)) return [...argv];
  return ['--json', ...argv.filter((_, index) => index !== at)];
}

function buildProgram(output: Output, run: (spec: CommandSpec, leaf: Command) => Promise<void>): Command {
  const program = new Command('roostadm')
    .description('Administers a Roost mail server: users and their mail, sessions, processes, passwords.')
    .version(version, '--version', 'print the version')
    .option('-c, --config <file>', 'configuration file (default: /etc/roost/roost.conf)')
    .addOption(new Option('-f, --format <format>', 'form of the output').choices(outputFormats))
    .option('--json', 'the same as -f json')
    .option('-v, --verbose', 'say more')
    .option('-D, --debug', 'say everything')
    .usage('[options] <command> [arguments]')
    .addHelpText('after', '\nroostadm help <command> shows what a command takes.')
    .helpCommand(false)
    // An option behind a command's name belongs to that command.
    .enablePositionalOptions()
    .exitOverride()
    .configureHelp({ subcommandTerm: (command) => `${command.name()} ${command.usage()}`.trim() })
    .configureOutput({
      writeOut: (text) => void output.write(text),
      writeErr: (text) => output.error(text),
      outputError: (text, write) => write(`roostadm: Fatal: ${text.replace(/^error: /, '')}`),
    });
  const groups = new Map<string, Command>([['', program]]);
  for (const spec of commands) addCommand(groups, spec, run);
  return program;
}

function addCommand(groups: Map<string, Command>, spec: CommandSpec, run: (spec: CommandSpec, leaf: Command) => Promise<void>): void {
  const words = spec.name.split(' ');
  const parent = groupOf(groups, words.slice(0, -1));
  const leaf = parent.command(words.at(-1) ?? '').description(spec.summary);
  for (const { syntax, doc } of spec.arguments ?? []) leaf.argument(syntax, doc);
  if (spec.isMail === true) {
    leaf.option('-u, --user <user>', 'whose mail; * and ? stand for any characters');
    leaf.option('-A, --all', 'of all users');
    leaf.option('-F, --user-file <file>', 'of the users in this file, one a line');
  }
  for (const { flags, doc, repeats } of spec.options ?? []) {
    const option = new Option(flags, doc);
    if (repeats === true) option.argParser((value: string, earlier: readonly string[] | undefined) => [...(earlier ?? []), value]);
    leaf.addOption(option);
  }
  if (spec.takesQuery === true) leaf.passThroughOptions();
  addGlobalOptions(leaf);
  leaf.action(() => run(spec, leaf));
}

function groupOf(groups: Map<string, Command>, words: readonly string[]): Command {
  const name = words.join(' ');
  const known = groups.get(name);
  if (known !== undefined) return known;
  const parent = groupOf(groups, words.slice(0, -1));
  const members = commands.filter((spec) => spec.name.startsWith(`${name} `)).map((spec) => spec.name.split(' ')[words.length] ?? '');
  const group = parent
    .command(words.at(-1) ?? '')
    .description([...new Set(members)].join(', '))
    .usage('<command>')
    .enablePositionalOptions()
    .helpCommand(false);
  groups.set(name, group);
  return group;
}

/** They may also stand behind the command, unless it has another use for the letter. */
function addGlobalOptions(leaf: Command): void {
  const taken = new Set(leaf.options.map(({ short }) => short));
  const add = (short: string, rest: string): void => {
    leaf.addOption(new Option(taken.has(short) ? rest : `${short}, ${rest}`, '').hideHelp());
  };
  add('-c', '--config <file>');
  leaf.addOption(new Option(taken.has('-f') ? '--format <format>' : '-f, --format <format>').choices(outputFormats).hideHelp());
  add('-v', '--verbose');
  add('-D', '--debug');
}

async function runCommand(spec: CommandSpec, leaf: Command, output: Output, signal: AbortSignal): Promise<number> {
  const options: GlobalOptions & Readonly<Record<string, unknown>> = leaf.optsWithGlobals();
  const format = chosenFormat(options, spec.format);
  const context = new Context({
    output,
    configFile: options.config,
    isVerbose: options.verbose === true,
    isDebug: options.debug === true,
    signal,
  });
  try {
    await spec.run(callOf(leaf, context, format));
    return context.exitCode;
  } catch (error) {
    return report(error, context);
  } finally {
    context.close();
  }
}

function chosenFormat({ json, format }: GlobalOptions, byDefault: OutputFormat): OutputFormat {
  if (json === true) return 'json';
  return format !== undefined && isOutputFormat(format) ? format : byDefault;
}

function callOf(leaf: Command, context: Context, format: OutputFormat): CommandCall {
  const own = new Map<string, unknown>(
    leaf.options.map((option) => [option.long?.slice(2) ?? '', leaf.getOptionValue(option.attributeName())]),
  );
  return {
    args: leaf.args,
    context,
    isJson: format === 'json',
    flag: (name) => own.get(name) === true,
    text: (name) => {
      const value = own.get(name);
      return typeof value === 'string' ? value : undefined;
    },
    texts: (name) => {
      const value = own.get(name);
      return Array.isArray(value) ? value.map(String) : [];
    },
    print: (columns) => createPrinter(format, columns, context.output),
    say: async (text) => {
      if (format !== 'json') await context.output.write(text);
    },
  };
}

/** What ended a command, in one line. @returns exit code */
function report(error: unknown, { output, signal, isDebug, exitCode }: Context): number {
  if (signal.aborted) return interruptedExitCode;
  if (error instanceof AdminError) {
    if (error.message !== '') output.error(`roostadm: ${error.level}: ${error.message}\n`);
    return exitCode === 0 ? exitCodes[error.code] : exitCode;
  }
  const isExpected = error instanceof CodedError;
  const text = error instanceof Error ? error.message : String(error);
  const stack = error instanceof Error && isDebug ? `\n${error.stack}` : '';
  output.error(`roostadm: Fatal: ${isExpected ? text : `internal error: ${text}`}${stack}\n`);
  return isExpected ? exitCodes.temporary : exitCodes.software;
}
