// A line of titles, then a line for each row, values separated by tabs. Tabs and line ends inside values are escaped (ipc/tab-escape.ts), so
// that a line is a row whatever a message holds.
import { encodeTabLine } from '#ipc/tab-escape.js';
import type { Output } from '../output.js';
import { titleOf, wholeText } from './cells.js';
import type { ColumnSpec, Printer } from './format.js';

export function createTabPrinter(columns: readonly ColumnSpec[], output: Output): Printer {
  const writeHeader = async (): Promise<void> => {
    if (isHeaderWritten) return;
    isHeaderWritten = true;
    await output.write(encodeTabLine(columns.map(titleOf)));
  };
  let isHeaderWritten = false;
  return {
    async row(cells) {
      await writeHeader();
      const texts: string[] = [];
      for (const cell of cells) texts.push(await wholeText(cell));
      await output.write(encodeTabLine(texts));
    },
    end: writeHeader,
  };
}
