// What the text formats have in common.
import type { Cell, ColumnSpec } from './format.js';

export function titleOf({ key, title }: ColumnSpec): string {
  return title ?? key;
}

/** The text of a cell; undefined for content that comes in chunks. */
export function textOf(cell: Cell): string | undefined {
  if (typeof cell === 'string') return cell;
  if (typeof cell === 'number') return String(cell);
  return 'shown' in cell ? cell.shown : undefined;
}

/** The text of any cell, content read to its end. */
export async function wholeText(cell: Cell): Promise<string> {
  if (typeof cell !== 'object' || 'shown' in cell) return textOf(cell) ?? '';
  const chunks: Uint8Array[] = [];
  for await (const chunk of cell.chunks) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}
