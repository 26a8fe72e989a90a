// `key: value`, one line for each value; a form feed on a line of its own between rows. Content starts on a new line.
import type { Output } from '../output.js';
import { textOf, titleOf } from './cells.js';
import type { ColumnSpec, Printer } from './format.js';

const lineFeed = 0x0a;

export function createPagerPrinter(columns: readonly ColumnSpec[], output: Output): Printer {
  let isFirst = true;
  return {
    async row(cells) {
      let lines = isFirst ? '' : '\f\n';
      isFirst = false;
      for (const [index, column] of columns.entries()) {
        const cell = cells[index] ?? '';
        const text = textOf(cell);
        if (text !== undefined) {
          lines += column.hidesTitle === true ? `${text}\n` : `${titleOf(column)}: ${text}\n`;
        } else if (typeof cell === 'object' && 'chunks' in cell) {
          await output.write(column.hidesTitle === true ? lines : `${lines}${titleOf(column)}:\n`);
          lines = (await writeChunks(cell.chunks, output)) ? '' : '\n';
        }
      }
      await output.write(lines);
    },
    end: async () => undefined,
  };
}

/** @returns whether the last line was ended */
async function writeChunks(chunks: AsyncIterable<Uint8Array>, output: Output): Promise<boolean> {
  let last: number | undefined = lineFeed;
  for await (const chunk of chunks) {
    if (chunk.length === 0) continue;
    last = chunk[chunk.length - 1];
    await output.write(chunk);
  }
  return last === lineFeed;
}
