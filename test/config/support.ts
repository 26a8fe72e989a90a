// Building configurations in a temporary directory.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { loadConfig } from '#config/load.js';
import { parseText } from '#config/parser.js';
import { ProblemList, problemText } from '#config/problem.js';
import type { ResolvedConfig } from '#config/resolve.js';
import { settingsGroups } from '#services/registry.js';

/** Writes files into a new directory that goes away with the test. */
export function writeFiles(test: TestContext, files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'roost-config-'));
  test.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const [name, contents] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), contents);
  }
  return folder;
}

export interface Loaded {
  readonly config: ResolvedConfig;
  /** `2: message (suggestion)`: without the path of the file. */
  readonly errors: readonly string[];
  readonly warnings: readonly string[];
}

/** Loads a configuration given as text. */
export function load(test: TestContext, contents: string): Loaded {
  const folder = writeFiles(test, { 'a.conf': contents });
  const path = join(folder, 'a.conf');
  const config = loadConfig(path, { groups: settingsGroups, checksMachine: false, environment: { HOME: '/home/me' } });
  const texts = (severity: string): string[] =>
    config.problems
      .filter((problem) => problem.severity === severity)
      .map((problem) => problemText(problem).replaceAll(`${path}:`, '').replaceAll(path, 'a.conf'));
  return { config, errors: texts('error'), warnings: texts('warning') };
}

/** Parses only. */
export function parse(contents: string, path = '/conf/a.conf') {
  const problems = new ProblemList();
  const defaults: Readonly<Record<string, string>> = { default_vsz_limit: '256 M', instance_name: 'roost' };
  const parsed = parseText(contents, path, { problems, environment: { HOME: '/home/me' }, findDefault: (key) => defaults[key] });
  return { nodes: parsed.nodes, problems: problems.all.map((problem) => problemText(problem).replaceAll(`${path}:`, '')) };
}
