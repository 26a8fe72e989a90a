// The Dovecot 2.3 configuration dialect: files to a tree in which each node knows its file and line. Nothing is interpreted here beyond
// syntax, includes, `$variables` and `<file`; names and values are resolve.ts' matter. The parser never stops at a problem: it reports it,
// guesses what was meant so that one slip does not hide the rest, and goes on.
import { findFiles, readWhole, relativeTo, systemErrorText } from './files.js';
import { type LogicalLine, splitLines } from './lines.js';
import type { Place, ProblemList } from './problem.js';
import { replaceVariables, Scope } from './variables.js';

export interface SettingNode {
  readonly kind: 'setting';
  /** As written, perhaps a path: `service/imap/process_limit`. */
  readonly key: string;
  /** Unquoted, variables replaced, a `<file` read. */
  readonly text: string;
  /** Absolute path, when the text is the contents of a file. */
  readonly file?: string | undefined;
  readonly place: Place;
}

export interface SectionNode {
  readonly kind: 'section';
  /** `service`, `protocol`, `namespace`. */
  readonly type: string;
  /** '' when it has none. */
  readonly name: string;
  readonly children: readonly ConfigNode[];
  /** Of the line with the opening brace. */
  readonly place: Place;
}

export type ConfigNode = SettingNode | SectionNode;

export interface ParsedConfig {
  readonly path: string;
  readonly nodes: readonly ConfigNode[];
  /** Every file read, in order, for watching and messages. */
  readonly files: readonly string[];
}

export interface ParseOptions {
  readonly problems: ProblemList;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Default text of a setting, for `$default_vsz_limit`. */
  readonly findDefault?: (key: string) => string | undefined;
  /** False leaves `<file` unread (its text is then ''), so that settings can be printed without the right to read keys. */
  readonly readsValueFiles?: boolean;
}

const maxNestedSections = 32;
const maxNestedIncludes = 32;
const maxIncludedFiles = 2000;
const maxNodes = 200_000;

/** Parses a file and what it includes. Never throws: an unreadable file is a problem too. */
export function parseFile(path: string, options: ParseOptions): ParsedConfig {
  const parser = new Parser(path, options);
  let contents: string;
  try {
    contents = readWhole(path).toString('utf8');
  } catch (error) {
    options.problems.error(
      undefined,
      `Couldn't open configuration file ${path}: ${systemErrorText(error)}`,
      'name another one with -c FILE',
    );
    return { path, nodes: [], files: [] };
  }
  return parser.run(contents);
}

/** Parses text as if it had been read from `path`. Never throws. */
export function parseText(contents: string, path: string, options: ParseOptions): ParsedConfig {
  return new Parser(path, options).run(contents);
}

interface OpenSection {
  readonly type: string;
  readonly name: string;
  readonly place: Place;
  readonly children: ConfigNode[];
  readonly scope: Scope;
}

class Parser {
  readonly #path: string;
  readonly #problems: ProblemList;
  readonly #options: ParseOptions;
  readonly #environment: Readonly<Record<string, string | undefined>>;
  readonly #files: string[] = [];
  readonly #includeChain: string[] = [];
  #nodeCount = 0;

  constructor(path: string, options: ParseOptions) {
    this.#path = path;
    this.#options = options;
    this.#problems = options.problems;
    this.#environment = options.environment ?? process.env;
  }

  run(contents: string): ParsedConfig {
    const root: OpenSection = { type: '', name: '', place: { file: this.#path, line: 1 }, children: [], scope: new Scope() };
    this.#readFile(this.#path, contents, root, 0);
    return { path: this.#path, nodes: root.children, files: this.#files };
  }

  #readFile(file: string, contents: string, parent: OpenSection, depth: number): void {
    this.#files.push(file);
    this.#includeChain.push(relativeTo(file, file.slice(file.lastIndexOf('/') + 1)));
    const nul = contents.indexOf('\0');
    if (nul >= 0) {
      const line = contents.slice(0, nul).split('\n').length;
      this.#problems.error({ file, line }, 'Configuration file contains a NUL byte', 'is it a text file?');
    }
    const stack: OpenSection[] = [parent];
    for (const logical of splitLines(contents.replaceAll('\0', ''), file, this.#problems)) this.#readLine(logical, file, stack, depth);
    while (stack.length > 1) {
      const open = stack.pop();
      if (open !== undefined) {
        this.#problems.error(
          open.place,
          `Missing '}' (section started at ${open.place.file}:${open.place.line})`,
          `close ${describe(open)} {`,
        );
        this.#attach(stack, open);
      }
    }
    this.#includeChain.pop();
  }

  #readLine(logical: LogicalLine, file: string, stack: OpenSection[], depth: number): void {
    // Problems in a closing brace of a continued line are reported where that line ends, as Dovecot does.
    const place = { file, line: logical.endLine };
    const current = stack[stack.length - 1];
    if (current === undefined) return;
    const [, key = '', blanks = '', rest = ''] = /^([^\s=]*)(\s*)([\s\S]*)$/.exec(logical.text) ?? [];
    if (key === '!include' || key === '!include_try') {
      this.#include(unquote(rest).text, key === '!include_try', place, current, depth + stack.length);
    } else if (rest.startsWith('=')) {
      this.#readSetting(key, rest.slice(1).trim(), place, current);
    } else if (key === '}' && rest === '') {
      this.#close(place, stack);
    } else {
      this.#readSectionStart({ key, blanks, rest, text: logical.text }, place, stack, depth);
    }
  }

  #readSetting(key: string, written: string, place: Place, current: OpenSection): void {
    if (key === '') {
      this.#problems.error(place, "Expecting '{'", 'a setting needs a name before the =');
      return;
    }
    if (!this.#countNode(place)) return;
    let text = written;
    let file: string | undefined;
    if (written.startsWith('<')) {
      file = relativeTo(place.file, written.slice(1).trim());
      text = '';
      if (this.#options.readsValueFiles !== false) {
        try {
          text = readWhole(file).toString('utf8');
        } catch (error) {
          this.#problems.error(place, `${key}: Can't open file ${file}: ${systemErrorText(error)}`);
        }
      }
    } else {
      const unquoted = unquote(written);
      text = unquoted.text;
      if (!unquoted.wasQuoted && written.includes('$')) {
        const replaced = replaceVariables(written, {
          scope: current.scope,
          environment: this.#environment,
          findDefault: (name) => this.#options.findDefault?.(name),
        });
        for (const name of replaced.unknown) {
          this.#problems.error(place, `Unknown variable: ${name}`, 'write the value in quotes if the $ belongs to it');
        }
        text = replaced.text;
        file = replaced.file;
      }
    }
    current.scope.set(key, { text, file });
    current.children.push({ kind: 'setting', key, text, file, place });
  }

  #readSectionStart(
    line: { key: string; blanks: string; rest: string; text: string },
    place: Place,
    stack: OpenSection[],
    depth: number,
  ): void {
    const current = stack[stack.length - 1];
    if (current === undefined || !this.#countNode(place)) return;
    const [, quoted, bare, afterName = ''] =
      /^(?:("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|([^\s{"'][^\s]*))?\s*([\s\S]*)$/.exec(line.rest) ?? [];
    let type = line.key;
    let name = quoted === undefined ? (bare ?? '') : unquote(quoted).text;
    let isOneLine = false;
    if (!afterName.startsWith('{') || line.blanks === '') {
      if (!line.text.endsWith('{')) {
        this.#problems.error(place, "Expecting '{'", explainBareLine(line.key, line.rest));
        return;
      }
      this.#problems.error(place, "Expecting '{'", 'put a blank before the brace, and a name with blanks into quotes');
      [type = '', name = ''] = line.text.slice(0, -1).trim().split(/\s+/, 2);
    } else if (afterName !== '{') {
      this.#problems.error(place, "Garbage after '{'", 'begin a new line after the opening brace');
      isOneLine = afterName.endsWith('}');
    }
    if (stack.length + depth > maxNestedSections) {
      this.#problems.error(place, `Sections are nested deeper than ${maxNestedSections} levels`);
    }
    const scope = current.scope.child(mergesByIdentity(type, name) ? `${type} ${name}` : undefined);
    const section: OpenSection = { type, name, place, children: [], scope };
    if (isOneLine) current.children.push({ kind: 'section', type, name, place, children: [] });
    else stack.push(section);
  }

  #close(place: Place, stack: OpenSection[]): void {
    if (stack.length < 2) {
      this.#problems.error(place, "Unexpected '}'", 'no section is open here');
      return;
    }
    const closed = stack.pop();
    if (closed !== undefined) this.#attach(stack, closed);
  }

  #attach(stack: OpenSection[], { type, name, place, children }: OpenSection): void {
    // Deeper levels were reported when they opened; they are dropped so that later recursion has a bound.
    if (stack.length <= maxNestedSections) stack[stack.length - 1]?.children.push({ kind: 'section', type, name, place, children });
  }

  #include(pattern: string, isOptional: boolean, place: Place, current: OpenSection, depth: number): void {
    if (pattern === '') {
      this.#problems.error(place, 'Include without a file name');
      return;
    }
    const paths = findFiles(relativeTo(place.file, pattern));
    if (paths.length === 0) {
      if (!isOptional) this.#problems.error(place, `No matches for ${pattern}`, '!include_try accepts that');
      return;
    }
    for (const path of paths) {
      if (this.#includeChain.includes(path)) this.#problems.error(place, `Recursive include file: ${path}`);
      else if (this.#includeChain.length > maxNestedIncludes)
        this.#problems.error(place, `Includes are nested deeper than ${maxNestedIncludes}`);
      else if (this.#files.length >= maxIncludedFiles) this.#problems.error(place, `More than ${maxIncludedFiles} files are included`);
      else this.#includeOne(path, isOptional, place, current, depth);
    }
  }

  #includeOne(path: string, isOptional: boolean, place: Place, current: OpenSection, depth: number): void {
    let contents: string;
    try {
      contents = readWhole(path).toString('utf8');
    } catch (error) {
      if (!isOptional) this.#problems.error(place, `Couldn't open include file ${path}: ${systemErrorText(error)}`);
      else this.#problems.warning(place, `Couldn't open include file ${path}: ${systemErrorText(error)}`);
      return;
    }
    this.#readFile(path, contents, current, depth);
  }

  #countNode(place: Place): boolean {
    this.#nodeCount += 1;
    if (this.#nodeCount === maxNodes + 1) this.#problems.error(place, `Configuration has more than ${maxNodes} settings`);
    return this.#nodeCount <= maxNodes;
  }
}

/** Blocks of which two with equal names are one. Two `passdb {` without names are two. */
export function mergesByIdentity(type: string, name: string): boolean {
  return name !== '' || type === 'plugin' || type === 'dict';
}

function describe({ type, name }: { readonly type: string; readonly name: string }): string {
  return name === '' ? type : `${type} ${name}`;
}

function explainBareLine(key: string, rest: string): string {
  if (key === '}') return 'a closing brace stands alone on its line';
  if (key.startsWith('!')) return 'the directives are !include and !include_try';
  if (key.endsWith('{')) return 'put a blank before the brace';
  if (rest === '') return `write ${key} = value`;
  return 'a setting is written key = value, a section key name {';
}

/** Removes quotes when the text begins and ends with the same one; `\` then takes the next character as it is. */
export function unquote(text: string): { readonly text: string; readonly wasQuoted: boolean } {
  const quote = text[0];
  if ((quote !== '"' && quote !== "'") || text.length < 2 || !text.endsWith(quote)) return { text, wasQuoted: false };
  return { text: text.slice(1, -1).replace(/\\(.)/gs, '$1'), wasQuoted: true };
}
