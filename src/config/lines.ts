// The lowest layer of the configuration syntax: octets to logical lines, with comments removed and continued lines joined.
import type { ProblemList } from './problem.js';

/** A line of meaning: no comment, no blanks at its ends, never empty. `line` is where it starts, `endLine` where it ends. */
export interface LogicalLine {
  readonly text: string;
  readonly line: number;
  readonly endLine: number;
}

/** A joined line may not grow without end. */
const maxLineLength = 256 * 1024;

const isBlank = (char: string | undefined): boolean => char === ' ' || char === '\t' || char === '\r';

/** Index of the `#` that starts a comment, or -1. Quotes count anywhere in a line, also unbalanced ones: `it's # kept`. */
function commentStart(text: string): number {
  let at = 0;
  while (at < text.length) {
    const char = text[at];
    if (char === '#') return at;
    if (char === '"' || char === "'") {
      at += 1;
      while (at < text.length && text[at] !== char) at += text[at] === '\\' && at + 1 < text.length ? 2 : 1;
    }
    at += 1;
  }
  return -1;
}

/** Splits the contents of `file`; reports ambiguous comments and over-long lines. */
export function splitLines(contents: string, file: string, problems: ProblemList): LogicalLine[] {
  const found: LogicalLine[] = [];
  let pending: { text: string; readonly line: number } | undefined;
  const finish = (endLine: number): void => {
    if (pending !== undefined && pending.text !== '') found.push({ text: pending.text.trim(), line: pending.line, endLine });
    pending = undefined;
  };
  const physical = contents.replace(/^\uFEFF/, '').split('\n');
  for (const [index, raw] of physical.entries()) {
    const line = index + 1;
    let text = raw.trim();
    if (text === '' || text.startsWith('#')) {
      // A comment does not continue: the line before it is complete.
      finish(line - 1);
      continue;
    }
    const hash = commentStart(text);
    if (hash > 0) {
      if (!isBlank(text[hash - 1])) {
        problems.warning(
          { file, line },
          "Ambiguous '#' character in line, treating it as comment. Add a space before it to remove this warning.",
          'or put the value into quotes if the # belongs to it',
        );
      }
      text = text.slice(0, hash).trimEnd();
    }
    const continues = text.endsWith('\\');
    if (continues) text = text.slice(0, -1).trimEnd();
    pending = pending === undefined ? { text, line } : { text: `${pending.text} ${text}`, line: pending.line };
    if (pending.text.length > maxLineLength) {
      problems.error({ file, line: pending.line }, `Line is longer than ${maxLineLength} characters`);
      pending = undefined;
    } else if (!continues) finish(line);
  }
  finish(physical.length);
  return found;
}
