// `key=value key=value`, one line for each row.
import type { Output } from '../output.js';
import { textOf, titleOf } from './cells.js';
import type { ColumnSpec, Printer } from './format.js';

export function createFlowPrinter(columns: readonly ColumnSpec[], output: Output): Printer {
  return {
    async row(cells) {
      let line = '';
      for (const [index, column] of columns.entries()) {
        const cell = cells[index] ?? '';
        if (index > 0) line += ' ';
        if (column.hidesTitle !== true) line += `${titleOf(column)}=`;
        const text = textOf(cell);
        if (text !== undefined) line += text;
        else if (typeof cell === 'object' && 'chunks' in cell) {
          await output.write(line);
          line = '';
          for await (const chunk of cell.chunks) await output.write(chunk);
        }
      }
      await output.write(`${line}\n`);
    },
    end: async () => undefined,
  };
}
