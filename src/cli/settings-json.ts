// The configuration as rows for programs: `service/imap/client_limit`, `500`.
import { findItems, type PrintedItem, type PrintOptions, printedItems } from '#config/print.js';
import type { Context } from './context.js';

export async function settingRows(context: Context, options: PrintOptions, names: readonly string[]): Promise<[string, string][]> {
  const items = printedItems(await context.config(), options);
  if (names.length === 0) return rowsOf(items, '');
  const rows: [string, string][] = [];
  for (const name of names) {
    const found = findItems(items, name);
    if (found === undefined || found.length === 0) context.fail('config', `Unknown setting: ${name}`);
    else rows.push(...rowsOf(found, ''));
  }
  return rows;
}

function rowsOf(items: readonly PrintedItem[], prefix: string): [string, string][] {
  return items.flatMap((item): [string, string][] => {
    if (item.kind === 'setting') return [[prefix + item.key, item.shown]];
    return rowsOf(item.items, `${prefix}${item.key}${item.name === '' ? '' : `/${item.name}`}/`);
  });
}
