// Columns below each other. The widths are those of the first rows; a longer value later pushes its line apart.
import type { Output } from '../output.js';
import { titleOf, wholeText } from './cells.js';
import type { ColumnSpec, Printer } from './format.js';

/** Rows that are looked at before the first one is printed. */
const measuredRows = 1000;

export function createTablePrinter(columns: readonly ColumnSpec[], output: Output): Printer {
  let held: string[][] | undefined = [];
  let widths: readonly number[] = [];
  const hasHeader = !columns.every(({ hidesTitle }) => hidesTitle === true);

  const line = (texts: readonly string[]): string => {
    const parts = columns.map(({ alignsRight }, index) => {
      const text = texts[index] ?? '';
      const width = widths[index] ?? 0;
      return alignsRight === true ? padStart(text, width) : padEnd(text, width);
    });
    return `${parts.join(' ').trimEnd()}\n`;
  };
  const release = async (): Promise<void> => {
    const rows = held ?? [];
    held = undefined;
    const header = hasHeader ? [columns.map(titleOf)] : [];
    widths = columns.map((_, index) => Math.max(0, ...[...header, ...rows].map((texts) => displayWidth(texts[index] ?? ''))));
    await output.write([...header, ...rows].map(line).join(''));
  };
  return {
    async row(cells) {
      const texts: string[] = [];
      // A table has one line for each row: what would break it is shown as an escape.
      for (const cell of cells) texts.push((await wholeText(cell)).replace(/[\0-\x1f\x7f]/g, (c) => escapes[c] ?? '?'));
      if (held === undefined) {
        await output.write(line(texts));
        return;
      }
      held.push(texts);
      if (held.length >= measuredRows) await release();
    },
    async end() {
      if (held !== undefined) await release();
    },
  };
}

const escapes: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** Columns on a terminal: combining marks take none, wide characters of East Asian scripts two. */
export function displayWidth(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const character of text) {
    if (/\p{M}/u.test(character)) continue;
    width +=
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u.test(
        character,
      )
        ? 2
        : 1;
  }
  return width;
}

function padEnd(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - displayWidth(text)));
}

function padStart(text: string, width: number): string {
  return ' '.repeat(Math.max(0, width - displayWidth(text))) + text;
}
