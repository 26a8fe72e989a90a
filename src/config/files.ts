// Reading configuration files. Synchronous on purpose: it runs before there is a server, and in the master only on reload.
import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';

/** Larger files are refused before they are read; no configuration or certificate comes near. */
export const maxFileBytes = 4 * 1024 * 1024;
const maxGlobAlternatives = 256;

/** Reads a regular file whole. Throws the system error, or an Error when it is not a file or too large. */
export function readWhole(path: string): Buffer {
  const descriptor = openSync(path, 'r');
  try {
    const facts = fstatSync(descriptor);
    if (facts.isDirectory()) throw new Error('Is a directory');
    if (facts.size > maxFileBytes) throw new Error(`File is larger than ${maxFileBytes} bytes`);
    // Pipes and /proc files have no size, so read until the end rather than `size` octets.
    const chunks: Buffer[] = [];
    let total = 0;
    for (;;) {
      const chunk = Buffer.allocUnsafe(Math.max(facts.size + 1, 8192));
      const count = readSync(descriptor, chunk, 0, chunk.length, null);
      if (count === 0) return Buffer.concat(chunks, total);
      total += count;
      if (total > maxFileBytes) throw new Error(`File is larger than ${maxFileBytes} bytes`);
      chunks.push(chunk.subarray(0, count));
    }
  } finally {
    closeSync(descriptor);
  }
}

const errnoTexts: Readonly<Record<string, string>> = {
  ENOENT: 'No such file or directory',
  EACCES: 'Permission denied',
  EISDIR: 'Is a directory',
  ENOTDIR: 'Not a directory',
  ELOOP: 'Too many levels of symbolic links',
  EMFILE: 'Too many open files',
};

/** The system's wording of an error, as an administrator knows it from other programs. */
export function systemErrorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  return (code === undefined ? undefined : errnoTexts[code]) ?? error.message;
}

/** A path as written in `file`, relative to that file's directory. `~` is not expanded. */
export function relativeTo(file: string, path: string): string {
  return isAbsolute(path) ? path : resolve(dirname(resolve(file)), path);
}

/** `a{b,c}d` into `abd`, `acd`; nested braces too. Unbalanced ones stay as they are. */
function expandBraces(pattern: string): string[] {
  const open = pattern.indexOf('{');
  if (open < 0) return [pattern];
  let depth = 0;
  let partStart = open + 1;
  const parts: string[] = [];
  for (let at = open; at < pattern.length; at += 1) {
    const char = pattern[at];
    if (char === '{') depth += 1;
    else if (char === ',' && depth === 1) {
      parts.push(pattern.slice(partStart, at));
      partStart = at + 1;
    } else if (char === '}') {
      depth -= 1;
      if (depth > 0) continue;
      parts.push(pattern.slice(partStart, at));
      const head = pattern.slice(0, open);
      const tails = expandBraces(pattern.slice(at + 1));
      return parts
        .flatMap((part) => expandBraces(part))
        .flatMap((part) => tails.map((tail) => `${head}${part}${tail}`))
        .slice(0, maxGlobAlternatives);
    }
  }
  return [pattern];
}

/** A matcher of one path component: `*`, `?`, `[a-z]`, `[!a]`. A leading dot must be written. */
function componentMatcher(component: string): RegExp | undefined {
  if (!/[*?[]/.test(component)) return undefined;
  let source = component.startsWith('.') ? '' : '(?!\\.)';
  for (let at = 0; at < component.length; at += 1) {
    const char = component.charAt(at);
    const close = char === '[' ? component.indexOf(']', at + 2) : -1;
    if (char === '*') source += '[^/]*';
    else if (char === '?') source += '[^/]';
    else if (close > 0) {
      const body = component.slice(at + 1, close).replace(/[\\\]^]/g, '\\$&');
      source += body.startsWith('!') || body.startsWith('\\^') ? `[^${body.replace(/^(!|\\\^)/, '')}]` : `[${body}]`;
      at = close;
    } else source += char.replace(/[\\^$.|+()[\]{}]/g, '\\$&');
  }
  try {
    return new RegExp(`^${source}$`, 's');
  } catch {
    // A range such as [z-a]: no file can match it.
    return /(?!)/;
  }
}

function exists(path: string): boolean {
  try {
    statSync(path);
    return true;
  } catch {
    return false;
  }
}

function listFolder(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** Existing files for an absolute shell pattern, sorted by byte value within each `{}` alternative. */
export function findFiles(pattern: string): string[] {
  return expandBraces(pattern).flatMap((alternative) => {
    let paths = ['/'];
    for (const component of alternative.split('/').filter((part) => part !== '')) {
      const matcher = componentMatcher(component);
      if (matcher === undefined) paths = paths.map((path) => join(path, component));
      else {
        paths = paths.flatMap((path) =>
          listFolder(path)
            .filter((name) => matcher.test(name))
            .map((name) => join(path, name)),
        );
      }
    }
    return paths.filter(exists).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  });
}
