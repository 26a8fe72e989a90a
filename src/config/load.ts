import { checkSettings } from './checks.js';
import type { SettingsGroup } from './define.js';
import { type ParsedConfig, type ParseOptions, parseFile } from './parser.js';
import { type ConfigProblem, ProblemList } from './problem.js';
import { definitionsOf, type ResolvedConfig, resolveConfig } from './resolve.js';

/** Where `roost` looks without `-c`. */
export const defaultConfigFile = '/etc/roost/roost.conf';

export interface LoadOptions {
  /** Every group any role declares (services/registry.ts), so that each key is known. */
  readonly groups: readonly SettingsGroup[];
  readonly environment?: ParseOptions['environment'];
  /** False: do not read `<file` values, for printing. */
  readonly readsValueFiles?: boolean;
  /** False: leave out the checks that look at the machine (users, files). */
  readonly checksMachine?: boolean;
}

/**
 * Reads, resolves and checks a configuration. Never throws for its contents: look at `problems`; with an `error` among them the
 * settings must not be used.
 */
export function loadConfig(path: string, options: LoadOptions): ResolvedConfig & { readonly files: ParsedConfig['files'] } {
  const problems = new ProblemList();
  const definitions = definitionsOf(options.groups);
  const parsed = parseFile(path, {
    problems,
    environment: options.environment ?? process.env,
    readsValueFiles: options.readsValueFiles ?? true,
    // Debian's files build the list with `protocols = $protocols imap`, from a default of nothing.
    findDefault: (key) => (key === 'protocols' ? '' : definitions.get(key)?.defaultText),
  });
  const config = resolveConfig(parsed, options.groups, problems);
  checkSettings(config, problems, { checksMachine: options.checksMachine ?? true });
  return { ...config, problems: inFileOrder(problems.all, parsed.files), files: parsed.files };
}

/** As an administrator reads: file by file, line by line, and then what concerns the whole. */
function inFileOrder(problems: readonly ConfigProblem[], files: readonly string[]): readonly ConfigProblem[] {
  const rank = ({ place }: ConfigProblem): number => (place === undefined ? files.length : files.indexOf(place.file));
  return [...problems].sort((a, b) => rank(a) - rank(b) || (a.place?.line ?? 0) - (b.place?.line ?? 0));
}
