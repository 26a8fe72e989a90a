// Rows of values in the form asked for with -f. Every command prints through this, so that each has every form.
import type { Output } from './output.js';
import { createFlowPrinter } from './print/flow.js';
import type { ColumnSpec, Printer, PrinterFactory } from './print/format.js';
import { createJsonPrinter } from './print/json.js';
import { createPagerPrinter } from './print/pager.js';
import { createTabPrinter } from './print/tab.js';
import { createTablePrinter } from './print/table.js';

export const outputFormats = ['flow', 'pager', 'tab', 'table', 'json'] as const;
export type OutputFormat = (typeof outputFormats)[number];

export function isOutputFormat(text: string): text is OutputFormat {
  return outputFormats.some((format) => format === text);
}

const factories: Readonly<Record<OutputFormat, PrinterFactory>> = {
  flow: createFlowPrinter,
  pager: createPagerPrinter,
  tab: createTabPrinter,
  table: createTablePrinter,
  json: createJsonPrinter,
};

export function createPrinter(format: OutputFormat, columns: readonly ColumnSpec[], output: Output): Printer {
  return factories[format](columns, output);
}
