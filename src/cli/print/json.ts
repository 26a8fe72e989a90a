// An array of objects, written while it grows. Numbers, lists and times have their types.
import type { Output } from '../output.js';
import type { Cell, ColumnSpec, Printer } from './format.js';

export function createJsonPrinter(columns: readonly ColumnSpec[], output: Output): Printer {
  let isFirst = true;
  return {
    async row(cells) {
      let text = isFirst ? '[{' : ',\n{';
      isFirst = false;
      for (const [index, { key }] of columns.entries()) {
        text += `${index === 0 ? '' : ','}${JSON.stringify(key)}:`;
        const cell = cells[index] ?? '';
        if (typeof cell === 'object' && 'chunks' in cell) {
          await output.write(`${text}"`);
          text = '"';
          await writeString(cell.chunks, output);
        } else text += JSON.stringify(plain(cell));
      }
      await output.write(`${text}}`);
    },
    end: () => output.write(isFirst ? '[]\n' : ']\n'),
  };
}

function plain(cell: Exclude<Cell, { readonly chunks: unknown }>): unknown {
  return typeof cell === 'object' ? cell.json : cell;
}

/** Octets that are no UTF-8 become U+FFFD: JSON is text. */
async function writeString(chunks: AsyncIterable<Uint8Array>, output: Output): Promise<void> {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  for await (const chunk of chunks) await output.write(JSON.stringify(decoder.decode(chunk, { stream: true })).slice(1, -1));
  await output.write(JSON.stringify(decoder.decode()).slice(1, -1));
}
